"""Reading and decoding one image: bytes to pixels, or an outcome that says why not."""

from __future__ import annotations

import hashlib
import random
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from schemas.model_card import Preprocessing
from schemas.outcomes import OutcomeKind, Reason
from schemas.records import Change, Outcome, WorkItem
from workers.errors import ItemError, TransientError
from workers.imaging.decode import DecodeLimits, decode
from workers.imaging.preprocess import to_input
from workers.indexing.watch import Watch
from workers.ports import Fetched, ObjectStore
from workers.telemetry import StageClock

OUTAGE_AFTER = 8
"""So many transient failures with no success between them are an outage of the store, not the fault of the images."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Read:
    """An image's bytes, with the plan's item."""

    item: WorkItem
    object: Fetched


@dataclass(frozen=True, kw_only=True, slots=True)
class Decoded:
    """An image as the network takes it."""

    item: WorkItem
    etag: str
    size: int
    """Bytes of the object."""
    content_digest: str
    """SHA-256 of the bytes, hexadecimal."""
    pixels: NDArray[np.uint8]
    """(S, S, 3) RGB."""
    width: int
    height: int
    """Pixels of the original, orientation applied."""


class Fetcher:
    """The two stages before inference. Thread-safe; each image passes `read`, then `decode`."""

    def __init__(
        self,
        store: ObjectStore,
        *,
        preprocessing: Preprocessing,
        limits: DecodeLimits,
        watch: Watch,
        read_clock: StageClock,
        decode_clock: StageClock,
        pauses_s: Sequence[float] = (0.5, 1.0, 2.0),
    ) -> None:
        """Bind the stages to a source and to the model's input; an object is asked for again after each of `pauses_s`."""
        self._store = store
        self._preprocessing = preprocessing
        self._limits = limits
        self._watch = watch
        self._read_clock = read_clock
        self._decode_clock = decode_clock
        self._pauses_s = pauses_s
        self._lock = threading.Lock()
        self._failures_in_a_row = 0

    def read(self, item: WorkItem) -> Read | Outcome:
        """The object's bytes, bounded; what cannot be read becomes an outcome. So does what is to be deleted, unless it is
        there again: the plan may be old, and a delete that comes late must not take a newer image along.

        Raises:
            TransientError: the store is down, as opposed to this object being hard to get.
        """
        try:
            fetched = self._get(item)
        except ItemError as error:
            self._count_answer()
            if item.change is Change.DELETE and error.reason is Reason.VANISHED:
                return Outcome(key=item.key, kind=OutcomeKind.DELETED)
            return refused(item, error)
        except _HardToGetError as error:
            return Outcome(
                key=item.key,
                kind=OutcomeKind.FAILED,
                etag=item.etag,
                size=item.size,
                reason=Reason.STORE_UNAVAILABLE,
                detail=str(error),
            )
        self._read_clock.add(size=len(fetched.data))
        return Read(item=item, object=fetched)

    def _get(self, item: WorkItem) -> Fetched:
        """The object; asked for several times, for the store may only be away for a moment.

        Raises:
            _HardToGetError: the store answers, but not for this object.
        """
        for pause_s in self._pauses_s:
            try:
                return self._ask(item)
            except TransientError:
                if self._count_failure() >= OUTAGE_AFTER:
                    raise
            time.sleep(pause_s * random.uniform(0.5, 1.0))  # noqa: S311 - jitter
        try:
            return self._ask(item)
        except TransientError:
            if self._count_failure() >= OUTAGE_AFTER or not self._answers():
                raise
        try:
            return self._ask(item)  # the store may have come back since the last time
        except TransientError as error:
            raise _HardToGetError(str(error)) from error

    def _ask(self, item: WorkItem) -> Fetched:
        with self._read_clock.busy():
            if item.change is Change.DELETE:
                self._store.stat(item.key)
            fetched = self._store.get(item.key, max_bytes=self._limits.max_bytes)
        self._count_answer()
        return fetched

    def _answers(self) -> bool:
        """Whether the store is there at all, as opposed to one object being hard to get."""
        try:
            next(iter(self._store.list()), None)
        except TransientError:
            return False
        return True

    def decode(self, value: Read | Outcome) -> Decoded | Outcome:
        """The network's input out of the bytes; an outcome passes through."""
        if isinstance(value, Outcome):
            return value
        fetched = value.object
        with self._decode_clock.busy(), self._watch.holding(value.item):
            digest = hashlib.sha256(fetched.data).hexdigest()
            try:
                image = decode(fetched.data, min_side_px=self._preprocessing.input_size, limits=self._limits)
            except ItemError as error:
                return refused(value.item, error, etag=fetched.etag, size=fetched.size, digest=digest)
            pixels = to_input(image, self._preprocessing)
        self._decode_clock.add(size=pixels.nbytes)
        return Decoded(
            item=value.item,
            etag=fetched.etag,
            size=fetched.size,
            content_digest=digest,
            pixels=pixels,
            width=image.width,
            height=image.height,
        )

    def _count_answer(self) -> None:
        with self._lock:
            self._failures_in_a_row = 0

    def _count_failure(self) -> int:
        with self._lock:
            self._failures_in_a_row += 1
            return self._failures_in_a_row


class _HardToGetError(Exception):
    """The object cannot be had from a store that is there."""


def refused(
    item: WorkItem, error: ItemError, *, etag: str | None = None, size: int | None = None, digest: str | None = None
) -> Outcome:
    """The outcome of an image that cannot be indexed: quarantined, or deleted when it is gone from the source."""
    gone = error.reason is Reason.VANISHED
    return Outcome(
        key=item.key,
        kind=OutcomeKind.DELETED if gone else OutcomeKind.QUARANTINED,
        etag=item.etag if etag is None else etag,
        size=item.size if size is None else size,
        content_digest=digest,
        reason=error.reason,
        detail=error.detail,
    )
