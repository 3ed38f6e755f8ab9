"""Which collection and which model answer for a catalog, without asking the ledger at every query."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from schemas.collection import CollectionSpec
from schemas.model_card import ModelCard
from schemas.records import Generation
from workers.errors import NotFoundError
from workers.ports import Ledger, VectorIndex

TTL_S: Final = 1.0
"""How long an answer is believed. A collection that a reindex took away meanwhile is noticed at once, because the index says
so; without a reindex nothing in it changes."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Resolved:
    """What answers for a catalog."""

    generation: Generation
    spec: CollectionSpec
    """The collection's, with the payload fields that can be filtered."""
    card: ModelCard
    """Of the model that the generation is bound to."""


class Resolver:
    """Resolves catalogs and remembers the answer for a moment. Thread-safe."""

    def __init__(
        self,
        *,
        ledger: Ledger,
        index: VectorIndex,
        card_for: Callable[[str], ModelCard],
        ttl_s: float = TTL_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`card_for` gives a model's card by its digest."""
        self._ledger = ledger
        self._index = index
        self._card_for = card_for
        self._ttl_s = ttl_s
        self._clock = clock
        self._lock = threading.Lock()
        self._known: dict[str, tuple[float, Resolved]] = {}

    def resolve(self, catalog: str) -> Resolved:
        """What answers for a catalog now, or did within the last `ttl_s` seconds.

        Raises:
            NotFoundError: no such catalog, or it was never indexed.
        """
        at, known = self._known.get(catalog, (0.0, None))
        if known is not None and self._clock() - at < self._ttl_s:
            return known
        return self.renew(catalog)

    def renew(self, catalog: str) -> Resolved:
        """As `resolve`, asking the ledger whatever is remembered."""
        asked_at = self._clock()
        with self._lock:
            at, known = self._known.get(catalog, (0.0, None))
            if known is not None and at > asked_at:  # another thread asked while this one waited for the lock
                return known
            self._known.pop(catalog, None)
            fresh = self._ask(catalog, known)
            self._known[catalog] = (self._clock(), fresh)
            return fresh

    def _ask(self, catalog: str, known: Resolved | None) -> Resolved:
        generation = active_generation(catalog, self._ledger)
        if known is not None and known.generation == generation:
            return known  # a collection's description and a model's card never change
        try:
            spec = self._index.info(generation.collection).spec
        except NotFoundError:
            generation = active_generation(catalog, self._ledger)  # switched between the two questions
            spec = self._index.info(generation.collection).spec
        return Resolved(generation=generation, spec=spec, card=self._card_for(generation.model_digest))


def active_generation(catalog: str, ledger: Ledger) -> Generation:
    """The generation that answers for a catalog.

    Raises:
        NotFoundError: no such catalog, or it was never indexed.
    """
    row = ledger.catalog(catalog)
    if row.active_generation is None:
        raise NotFoundError(f"the catalog {catalog!r} has not been indexed yet; run: catalog ingest {row.source_url}")
    return ledger.generation(catalog, row.active_generation)
