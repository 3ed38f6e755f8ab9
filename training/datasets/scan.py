"""Looks at every image of a data set before anything is trained on it, and says what is wrong with which."""

from __future__ import annotations

import hashlib
import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from training.datasets.likeness import FINGERPRINT_SIZE, NEAR, fingerprint, nearest_across
from training.datasets.record import SPLITS, ClassCount, DataSet, FlawKind, Record
from workers.errors import ItemError
from workers.imaging.decode import decode
from workers.imaging.limits import DecodeLimits

_SIDE_PX: Final = 64
"""Twice what the fingerprint is taken at, so that scaling while decoding does not show in it."""
_AHEAD: Final = 16
"""Images in work for each thread; bounds memory."""
_DIGEST_BYTES: Final = 16


class ProblemKind(StrEnum):
    """What can be wrong with an image or a row."""

    ROW = "row"
    """A row of a table that gives no image."""
    LABEL = "label"
    """A label that cannot be right; masked."""
    BOX = "box_outside"
    """A box without area or outside its image; masked."""
    UNREADABLE = "unreadable"
    """No decoder takes it: training would stop at it."""
    LEAK_IDENTICAL = "leak_identical"
    """The same bytes in another split: what is measured on it was learned by heart."""
    LEAK_NEAR = "leak_near_identical"
    """Nearly the same picture in another split."""
    CONFLICT = "label_conflict"
    """The same bytes under another category."""


_OF_FLAW: Final[dict[FlawKind, ProblemKind]] = {
    "row": ProblemKind.ROW,
    "label": ProblemKind.LABEL,
    "box": ProblemKind.BOX,
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Problem:
    """One thing to look at."""

    kind: ProblemKind
    path: str
    """The image's file, or its name where it has none."""
    reason: str
    other: str | None = None
    """The other image of a leak or conflict."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Scan:
    """What a scan found."""

    images: int
    counts: tuple[ClassCount, ...]
    problems: tuple[Problem, ...]
    """In the order of `ProblemKind`, then of the data set."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Seen:
    """What one look at an image gave; two Nones where it cannot be read."""

    digest: bytes | None = None
    fingerprint: NDArray[np.float32] | None = None
    reason: str = ""


def scan(
    data: DataSet,
    *,
    near: float = NEAR,
    threads: int | None = None,
    on_progress: Callable[[int], None] | None = None,
) -> Scan:
    """Decode every image, compare all of them across splits, and gather what the reader left out.

    A query and a gallery image of one product may look alike, for that is what is searched; the same bytes are a leak
    there too. An image is reported once a kind, against its nearest counterpart in an earlier split.

    Args:
        data: As `read_source` gives it, with the splits of its publishers.
        near: Grey levels up to which two pictures count as the same (see `likeness`); 0 compares bytes alone.
        threads: Decoding threads; None: one a core.
        on_progress: Told of every image looked at.
    """
    records = data.records
    problems = [Problem(kind=_OF_FLAW[flaw.kind], path=flaw.name, reason=flaw.reason) for flaw in data.flaws]
    digests: list[bytes | None] = []
    fingerprints = np.full((len(records), FINGERPRINT_SIZE), np.nan, dtype=np.float32)
    for i, seen in enumerate(_looked_at(records, threads or os.cpu_count() or 1)):
        digests.append(seen.digest)
        if seen.fingerprint is None:
            problems.append(Problem(kind=ProblemKind.UNREADABLE, path=_place(records[i]), reason=seen.reason))
        else:
            fingerprints[i] = seen.fingerprint
        if on_progress is not None:
            on_progress(1)
    same = list(_same_bytes(data, digests))
    problems += same
    if near > 0:
        known = {problem.path for problem in same if problem.kind is ProblemKind.LEAK_IDENTICAL}
        problems += (p for p in _alike(records, fingerprints, near) if p.path not in known)
    order = list(ProblemKind)
    return Scan(
        images=len(records),
        counts=data.counts(),
        problems=tuple(sorted(problems, key=lambda problem: order.index(problem.kind))),
    )


def _looked_at(records: Sequence[Record], threads: int) -> Iterator[_Seen]:
    """One `_Seen` a record, in their order; decoders let go of the interpreter lock, so threads do."""
    waiting: deque[Future[_Seen]] = deque()
    with ThreadPoolExecutor(max_workers=threads, thread_name_prefix="scan") as pool:
        for record in records:
            waiting.append(pool.submit(_look_at, record))
            if len(waiting) >= _AHEAD * threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _look_at(record: Record) -> _Seen:
    try:
        content = record.read()
        pixels = decode(content, min_side_px=_SIDE_PX, limits=DecodeLimits()).pixels
    except ItemError as error:
        return _Seen(reason=str(error))
    except OSError as error:
        return _Seen(reason=f"cannot be read: {error.strerror or error}")
    return _Seen(digest=hashlib.blake2b(content, digest_size=_DIGEST_BYTES).digest(), fingerprint=fingerprint(pixels))


def _same_bytes(data: DataSet, digests: Sequence[bytes | None]) -> Iterator[Problem]:
    """Leaks and label conflicts among images with equal bytes, each against the first of them in the order of splits."""
    records = data.records
    first: dict[bytes, int] = {}
    for i in sorted(range(len(records)), key=lambda i: SPLITS.index(records[i].split)):
        digest = digests[i]
        if digest is None:
            continue
        one, other = records[i], records[first.setdefault(digest, i)]
        if one.split != other.split:
            yield Problem(
                kind=ProblemKind.LEAK_IDENTICAL,
                path=_place(one),
                reason=f"the same bytes in `{one.split}` as in `{other.split}`",
                other=_place(other),
            )
        if None not in (one.category, other.category) and one.category != other.category:
            labels = [data.labels[r.category] for r in (one, other) if r.category is not None]
            yield Problem(
                kind=ProblemKind.CONFLICT,
                path=_place(one),
                reason=f"the same bytes are {labels[0]!r} here and {labels[1]!r} there",
                other=_place(other),
            )


def _alike(records: Sequence[Record], fingerprints: NDArray[np.float32], near: float) -> Iterator[Problem]:
    splits = [SPLITS.index(r.split) for r in records]
    kin = [r.product if r.split in ("query", "gallery") else None for r in records]
    for likeness in nearest_across(fingerprints, splits, kin, radius=near):
        one, other = records[likeness.one], records[likeness.other]
        yield Problem(
            kind=ProblemKind.LEAK_NEAR,
            path=_place(one),
            reason=f"nearly the same picture in `{one.split}` as in `{other.split}` ({likeness.distance:.1f} grey levels)",
            other=_place(other),
        )


def _place(record: Record) -> str:
    return record.name if record.path is None else str(Path(record.path))
