"""Models loaded before the first picture comes, so that it is answered as fast as the ones after it."""

from __future__ import annotations

from typing import Final

import numpy as np

from workers.bootstrap import Process
from workers.errors import CatalogError
from workers.telemetry import log

MODELS: Final = 2
"""That are loaded ahead: the ones of most catalogs. Others are loaded when they are first asked for."""


def warm_up(process: Process) -> None:
    """Load the models that most catalogs answer with and run each of them once. What fails is logged: the first query
    that needs it says so to whom it concerns.
    """
    try:
        for digest in _in_use(process)[:MODELS]:
            embedder = process.serving_embedder(digest)
            size = embedder.card.preprocessing.input_size
            embedder.embed(np.zeros((1, size, size, 3), dtype=np.uint8))
    except CatalogError as error:
        log.warning("a model could not be loaded ahead", error=str(error))


def _in_use(process: Process) -> list[str]:
    """Digests of the models that catalogs answer with, those of most catalogs first."""
    ledger = process.ledger
    counts: dict[str, int] = {}
    for catalog in ledger.catalogs():
        if catalog.active_generation is not None:
            digest = ledger.generation(catalog.name, catalog.active_generation).model_digest
            counts[digest] = counts.get(digest, 0) + 1
    return sorted(counts, key=lambda digest: -counts[digest])
