"""From pixels to what the model sees; equal bytes are embedded once in a generation."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor
from contextlib import closing
from dataclasses import dataclass
from typing import Final

import numpy as np

from schemas.records import Lease, Outcome
from workers.errors import ItemError
from workers.flow import Ahead, grouped
from workers.impressions import Impression, impression_of
from workers.indexing.fetch import Decoded, refused
from workers.indexing.watch import Watch
from workers.ports import Embedder, Embeddings, Ledger, VectorIndex
from workers.telemetry import StageClock, WallClock

LOOKUP_BATCHES: Final = 4
"""Engine batches whose bytes are looked up in the ledger at once: a query costs as much as embedding an image."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Embedded:
    """An image with its impression; `is_copy` when equal bytes lent it theirs."""

    image: Decoded
    impression: Impression
    is_copy: bool = False


class Embedding:
    """The inference stage of one lease."""

    def __init__(
        self,
        lease: Lease,
        *,
        embedder: Embedder,
        engine: Executor,
        index: VectorIndex,
        ledger: Ledger,
        watch: Watch,
        wall: WallClock,
        embed_clock: StageClock,
        lookup_clock: StageClock,
    ) -> None:
        """Bind the stage to a lease's generation and its model; `engine` has a thread for each parallel inference."""
        self._lease = lease
        self._embedder = embedder
        self._engine = engine
        self._index = index
        self._ledger = ledger
        self._watch = watch
        self._wall = wall
        self._embed_clock = embed_clock
        self._lookup_clock = lookup_clock
        self._seen: dict[str, Impression] = {}
        self._waiting: dict[str, list[Decoded]] = {}
        self._ready: deque[Embedded | Outcome] = deque()
        """What needs no inference (any more)."""

    def run(self, values: Iterable[Decoded | Outcome], *, ready: Callable[[], bool]) -> Iterator[Embedded | Outcome]:
        """What the model sees in each image, in fixed-size batches of the engine across the whole lease.

        Images whose bytes were met before, in this lease or in the generation, become copies and cost no inference.
        Outcomes pass through. `ready` says whether `values` has one at hand: images of a slow source go on in small groups
        instead of waiting for company. While the engine works, the indexing thread looks up and hands over.
        """
        batches = Ahead(
            self._engine, self._infer, self._batches(values, ready), depth=self._embedder.parallel + 1, ready=ready
        )
        with closing(batches):
            for images, embeddings in self._wall.waiting(batches, self._embed_clock):
                self._settle(images, embeddings)
                while self._ready:
                    yield self._ready.popleft()
        while self._ready:
            yield self._ready.popleft()

    def _batches(self, values: Iterable[Decoded | Outcome], ready: Callable[[], bool]) -> Iterator[Sequence[Decoded]]:
        """Images that need inference, by the engine's batch size; fewer, and even none, where others wait to go on."""
        size = self._embedder.batch_size
        fresh: list[Decoded] = []
        for group in grouped(values, LOOKUP_BATCHES * size, enough=size, ready=ready):
            self._recall([value for value in group if isinstance(value, Decoded)])
            for value in group:
                if isinstance(value, Outcome):
                    self._ready.append(value)
                elif (impression := self._seen.get(value.content_digest)) is not None:
                    self._ready.append(Embedded(image=value, impression=impression, is_copy=True))
                elif value.content_digest in self._waiting:
                    self._waiting[value.content_digest].append(value)
                else:
                    self._waiting[value.content_digest] = []
                    fresh.append(value)
            while len(fresh) >= size:
                yield fresh[:size]
                fresh = fresh[size:]
            if len(self._ready) >= size:
                yield ()
        if fresh:
            yield fresh

    def _infer(self, images: Sequence[Decoded]) -> tuple[Sequence[Decoded], Embeddings | None]:
        if not images:
            return images, None
        with self._embed_clock.busy(items=len(images)), self._watch.holding(*(image.item for image in images)):
            return images, self._embedder.embed(np.stack([image.pixels for image in images]))

    def _settle(self, images: Sequence[Decoded], embeddings: Embeddings | None) -> None:
        """Make what the engine said of a batch ready, for its images and for those that wait with the same bytes."""
        if embeddings is None:
            return
        for row, image in enumerate(images):
            copies = self._waiting.pop(image.content_digest)
            try:
                impression = impression_of(embeddings, row, self._embedder.card)
            except ItemError as error:
                self._ready += (
                    refused(held.item, error, etag=held.etag, size=held.size, digest=held.content_digest)
                    for held in (image, *copies)
                )
                continue
            self._seen[image.content_digest] = impression
            self._ready.append(Embedded(image=image, impression=impression))
            self._ready += (Embedded(image=copy, impression=impression, is_copy=True) for copy in copies)

    def _recall(self, images: Sequence[Decoded]) -> None:
        """Learn what the generation already holds of these bytes: one look-up for the group, and one more on a hit."""
        unknown = {image.content_digest for image in images} - self._seen.keys() - self._waiting.keys()
        if not unknown:
            return
        with self._wall.working(self._lookup_clock, items=len(unknown)):
            originals = self._ledger.originals(self._lease.catalog, self._lease.generation, sorted(unknown))
            if not originals:
                return
            ids = {placement.point_id: digest for digest, placement in originals.items()}
            for point in self._index.retrieve(self._lease.collection, list(ids), with_vectors=True):
                # The point may have been rewritten since the ledger was read: only the same bytes lend their vector.
                if point.vector is not None and point.payload.content_digest == ids[point.id]:
                    self._seen[ids[point.id]] = Impression(
                        vector=point.vector,
                        category=point.payload.category_predicted,
                        confidence=point.payload.category_confidence,
                        attributes=point.payload.attributes,
                        box=point.payload.box,
                    )
