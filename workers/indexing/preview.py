"""What a run would do, without doing it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from schemas.extra_field import ExtraField
from schemas.ids import new_id
from schemas.records import Catalog, JobOptions, ManifestProblem
from workers.errors import ContractError
from workers.indexing.manifest import read_manifest
from workers.indexing.plan import Entry, Forecast, forecast
from workers.indexing.scope import Scope
from workers.indexing.submit import checked_name
from workers.ports import Ledger, ObjectStore


def preview(
    name: str,
    *,
    store: ObjectStore,
    ledger: Ledger,
    options: JobOptions,
    manifest: Path | None = None,
    extra_fields: tuple[ExtraField, ...] = (),
    on_key: Callable[[Entry], None] | None = None,
) -> tuple[Forecast, tuple[ManifestProblem, ...]]:
    """What `submit_sync` would lead to; nothing is kept.

    Raises:
        ContractError: as for `submit_sync`.
    """
    checked_name(name)
    known = {catalog.name: catalog for catalog in ledger.catalogs()}.get(name)
    if known is not None and known.source_url != store.url:
        raise ContractError(other_source(known, store.url))
    scope = Scope(include=options.include, exclude=options.exclude)
    generation = (known.active_generation if known is not None else None) or 0
    stage = new_id() if manifest is not None else None
    problems: tuple[ManifestProblem, ...] = ()
    try:
        if manifest is not None and stage is not None:
            fields = extra_fields or (known.extra_fields if known is not None else ())
            reading = read_manifest(manifest, source_url=store.url, extra_fields=fields)
            problems = (*ledger.stage_manifest(name, stage, reading.rows()), *reading.problems)
        seen = forecast(name, generation, store=store, ledger=ledger, scope=scope, stage=stage, on_key=on_key)
    finally:
        if stage is not None:
            ledger.discard_manifest(stage)
    return seen, tuple(sorted(problems, key=lambda problem: problem.line))


def other_source(catalog: Catalog, url: str) -> str:
    """Why a name cannot be used for this source, and what to do."""
    return (
        f"the catalog {catalog.name!r} belongs to the source {catalog.source_url}, not to {url}; "
        "choose another --name for this one, or drop the old one with: catalog drop"
    )
