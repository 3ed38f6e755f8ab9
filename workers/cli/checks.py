"""What `catalog doctor` looks at, one check after the other; none changes anything."""

from __future__ import annotations

import os
import platform
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import numpy as np

from workers.bootstrap import Process, open_process
from workers.cli.output import size
from workers.deployment.local import missing_cure
from workers.errors import CatalogError

LOW_DISK_BYTES = 1024**3


@dataclass(frozen=True, kw_only=True, slots=True)
class Check:
    """One finding."""

    name: str
    ok: bool
    detail: str


def run_checks() -> Iterator[Check]:
    """Every check's finding; one that fails does not keep the others from running."""
    yield Check(name="python", ok=True, detail=f"{platform.python_version()} on {platform.platform()}")
    closing = ExitStack()
    try:
        process = closing.enter_context(open_process())
    except Exception as error:  # noqa: BLE001
        yield Check(name="settings", ok=False, detail=_said(error))
        return
    for name, look in _CHECKS.items():
        try:
            ok, detail = look(process)
        except Exception as error:  # noqa: BLE001 - whatever it is, the other checks are still worth seeing
            ok, detail = False, _said(error)
        yield Check(name=name, ok=ok, detail=detail)
    try:
        closing.close()
    except Exception as error:  # noqa: BLE001
        yield Check(name="closing", ok=False, detail=_said(error))


def _said(error: Exception) -> str:
    """An error as one line; the kind of one that nobody foresaw is part of it."""
    text = " ".join(str(error).split())
    return text if isinstance(error, CatalogError) else f"{type(error).__name__}: {text}"


def _settings(process: Process) -> tuple[bool, str]:
    given = sorted(name for name in os.environ if name.startswith("CATALOG_") and os.environ[name])
    return True, f"given: {', '.join(given)}" if given else "all defaults"


def _home(process: Process) -> tuple[bool, str]:
    free = shutil.disk_usage(process.home).free
    enough = free >= LOW_DISK_BYTES
    return enough, f"{process.home}, {size(free)} free{'' if enough else ': make room, an index needs it'}"


def _model(process: Process) -> tuple[bool, str]:
    bundle = process.chosen_bundle()
    return True, f"{bundle.card.name} ({bundle.card.architecture}, {bundle.card.graph.precision}), files are whole"


def _engine(process: Process) -> tuple[bool, str]:
    bundle = process.chosen_bundle()
    embedder = process.open_embedder(bundle)
    side = bundle.card.preprocessing.input_size
    embedder.embed(np.zeros((1, side, side, 3), dtype=np.uint8))
    return True, f"{embedder.engine}; {embedder.parallel} batches of {embedder.batch_size} at once"


def _ledger(process: Process) -> tuple[bool, str]:
    catalogs = process.ledger.catalogs()
    open_jobs = len(process.ledger.open_jobs())
    return True, f"{len(catalogs)} catalogs, {open_jobs} jobs not finished"


def _index(process: Process) -> tuple[bool, str]:
    place = process.index_place()
    wrong = []
    collections = {info.spec.name for info in process.index.collections()}
    for catalog in process.ledger.catalogs():
        if catalog.active_generation is None:
            continue
        collection = process.ledger.generation(catalog.name, catalog.active_generation).collection
        if collection not in collections:
            wrong.append(f"{collection}, the index of {catalog.name}, is missing; cure: {missing_cure(catalog.name)}")
        elif process.index.resolve(catalog.name) != collection:
            wrong.append(f"alias {catalog.name} does not name {collection}; the next ingest repairs it")
    points = sum(info.points for info in process.index.collections())
    found = "; ".join(wrong) or f"{points:,} points in {len(process.index.collections())} collections"
    return not wrong, f"{place}: {found}"


_CHECKS: dict[str, Callable[[Process], tuple[bool, str]]] = {
    "settings": _settings,
    "home": _home,
    "model": _model,
    "engine": _engine,
    "ledger": _ledger,
    "index": _index,
}
