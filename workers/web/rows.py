"""Catalogs' rows, remembered for a moment: a query need not ask the ledger where its catalog's pictures lie."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from schemas.records import Catalog
from workers.ports import Ledger

TTL_S: Final = 1.0


class CatalogRows:
    """Reads rows of catalogs. Thread-safe."""

    def __init__(self, ledger: Callable[[], Ledger], *, clock: Callable[[], float] = time.monotonic) -> None:
        self._ledger = ledger
        self._clock = clock
        self._known: dict[str, tuple[float, Catalog]] = {}

    def get(self, name: str) -> Catalog:
        """The row as it is, or was within the last second. NotFoundError: there is no such catalog."""
        at, known = self._known.get(name, (0.0, None))
        if known is not None and self._clock() - at < TTL_S:
            return known
        self._known.pop(name, None)
        row = self._ledger().catalog(name)
        self._known[name] = (self._clock(), row)
        return row
