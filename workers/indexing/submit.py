"""Making a job: the catalog, its generation and its manifest are settled, then the job's row is written."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from schemas.collection import CollectionSpec, FieldKind, PayloadIndex
from schemas.extra_field import ExtraField, ExtraKind
from schemas.ids import check_catalog_name, new_id
from schemas.model_card import ModelCard
from schemas.records import (
    Catalog,
    Generation,
    Job,
    JobKind,
    JobOptions,
    JobState,
)
from workers.errors import ContractError, JobConflictError, NotFoundError
from workers.indexing.jobs import repair_alias, switch
from workers.indexing.manifest import read_manifest
from workers.indexing.scope import Scope
from workers.indexing.staging import StagedManifest, StagedSummary
from workers.ports import Ledger, ObjectStore, VectorIndex


@dataclass(frozen=True, kw_only=True, slots=True)
class Submitted:
    """A job to be worked on."""

    job: Job
    resumed: bool
    """It was there already, left by an earlier command that did not reach its end."""
    manifest: StagedSummary = field(default_factory=StagedSummary)


_INDEX_KINDS: Final[dict[ExtraKind, FieldKind]] = {
    ExtraKind.TEXT: "keyword",
    ExtraKind.NUMBER: "float",
    ExtraKind.FLAG: "bool",
}


def submit_sync(
    name: str,
    *,
    store: ObjectStore,
    ledger: Ledger,
    index: VectorIndex,
    card: ModelCard,
    keep_bundle: Callable[[], None],
    options: JobOptions,
    manifest: Path | None = None,
    extra_fields: tuple[ExtraField, ...] = (),
    idempotency_key: str | None = None,
    priority: int | None = None,
) -> Submitted:
    """A job that brings the index in line with the source; one that was cut off with the same options is taken up again.

    `card` is the model a new catalog is bound to, `keep_bundle` makes sure that it stays at hand; a catalog that exists
    keeps the model it has. A `priority` that is given also moves a job that is taken up again.

    Raises:
        ContractError: a bad name, glob or manifest, or the name belongs to another source.
        JobConflictError: a job with other options is not finished.
    """
    checked_name(name)
    Scope(include=options.include, exclude=options.exclude)
    # Neither a source that cannot be read nor one with an unusable manifest may become a catalog.
    next(iter(store.list()), None)
    if manifest is not None:
        read_manifest(manifest, source_url=store.url, extra_fields=extra_fields)
    catalog = ledger.ensure_catalog(name, source_url=store.url, extra_fields=extra_fields)
    generation = _generation(catalog, ledger=ledger, index=index, card=card, keep_bundle=keep_bundle)
    stage = StagedManifest(catalog, manifest, ledger=ledger)
    try:
        _supersede(ledger, name, stage)
        job, resumed = _job(ledger, catalog, generation, JobKind.SYNC, options, idempotency_key, priority)
        if options.allow_deletes and not job.options.allow_deletes:
            job = ledger.allow_deletes(job.id)
        summary = stage.adopt(job)
        return Submitted(job=ledger.job(job.id), resumed=resumed, manifest=summary)
    except BaseException:
        stage.discard()
        raise


def submit_reindex(
    name: str,
    *,
    ledger: Ledger,
    index: VectorIndex,
    card: ModelCard,
    keep_bundle: Callable[[], None],
    idempotency_key: str | None = None,
    priority: int | None = None,
) -> Submitted:
    """A job that fills a new generation with the model of `card` and then lets it answer for the catalog.

    Raises:
        NotFoundError: no such catalog.
        JobConflictError: another kind of job is not finished.
    """
    catalog = ledger.catalog(name)
    unfinished = [g for g in ledger.generations(name) if g.number != catalog.active_generation]
    running = open_scan(ledger, name)
    if running is not None:
        same = running.kind is JobKind.REINDEX and any(
            g.number == running.generation and g.model_digest == card.digest for g in unfinished
        )
        if not same or running.state is JobState.PAUSED:
            raise _conflict(running)
        return Submitted(job=_moved(ledger, running, priority), resumed=True)
    keep_bundle()
    generation = _unfinished_generation(unfinished, card, catalog, ledger=ledger, index=index)
    if generation is None:
        generation = ledger.add_generation(name, model_digest=card.digest)
    index.create(_spec(generation, card, catalog))
    job, resumed = _job(ledger, catalog, generation, JobKind.REINDEX, JobOptions(), idempotency_key, priority)
    return Submitted(job=job, resumed=resumed)


def _unfinished_generation(
    unfinished: Sequence[Generation], card: ModelCard, catalog: Catalog, *, ledger: Ledger, index: VectorIndex
) -> Generation | None:
    """What an earlier reindex with this model and these fields began, where it goes on; others are dropped."""
    kept = None
    for generation in unfinished:
        if generation.model_digest == card.digest and _has_fields(generation, catalog, index):
            kept = generation
        else:
            index.drop(generation.collection)
            ledger.drop_generation(generation.catalog, generation.number)
    return kept


def submit_retry(
    name: str,
    *,
    ledger: Ledger,
    options: JobOptions | None = None,
    idempotency_key: str | None = None,
    priority: int | None = None,
) -> Submitted:
    """A job that tries the catalog's quarantined and failed images again: all, or those that `options` choose.

    Raises:
        NotFoundError: no such catalog, or it has never been indexed.
        JobConflictError: another kind of job is not finished.
    """
    catalog = ledger.catalog(name)
    if catalog.active_generation is None:
        raise NotFoundError(f"the catalog {name!r} has not been indexed yet; run: catalog ingest {catalog.source_url}")
    generation = ledger.generation(name, catalog.active_generation)
    asked = options or JobOptions()
    job, resumed = _job(ledger, catalog, generation, JobKind.RETRY, asked, idempotency_key, priority)
    return Submitted(job=job, resumed=resumed)


def drop_catalog(name: str, *, ledger: Ledger, index: VectorIndex) -> None:
    """Forget a catalog: alias and collections first, then the ledger's rows, so that a crash leaves nothing unnamed.

    Raises:
        NotFoundError: no such catalog.
        JobConflictError: a job of it is running; cancel it first.
    """
    ledger.catalog(name)
    running = open_scan(ledger, name)
    if running is not None and running.state is not JobState.AWAITING_CONFIRMATION:
        raise _conflict(running)
    index.drop_alias(name)
    for generation in ledger.generations(name):
        index.drop(generation.collection)
    ledger.drop_catalog(name)


def _generation(
    catalog: Catalog, *, ledger: Ledger, index: VectorIndex, card: ModelCard, keep_bundle: Callable[[], None]
) -> Generation:
    """The generation that answers for the catalog; the first one is made here and answers from its first point on."""
    if catalog.active_generation is not None:
        repair_alias(ledger, index, catalog)
        return ledger.generation(catalog.name, catalog.active_generation)
    keep_bundle()
    unfinished = [
        g for g in ledger.generations(catalog.name) if g.model_digest == card.digest and _has_fields(g, catalog, index)
    ]
    generation = unfinished[-1] if unfinished else ledger.add_generation(catalog.name, model_digest=card.digest)
    index.create(_spec(generation, card, catalog))
    switch(ledger, index, generation)
    return generation


def _has_fields(generation: Generation, catalog: Catalog, index: VectorIndex) -> bool:
    """Whether a collection that an earlier command made, if it came so far, filters by the fields declared today."""
    try:
        return index.info(generation.collection).spec.extra_indexes == _declared(catalog)
    except NotFoundError:
        return True


def _declared(catalog: Catalog) -> tuple[PayloadIndex, ...]:
    """Indexes for the manifest columns that the catalog keeps, so that they can be filtered by what they hold.

    An index comes with its collection, before the first point: one added later ruins filtered recall. A field that is
    declared later is filtered after the next reindex.
    """
    return tuple(PayloadIndex(field=field.name, kind=_INDEX_KINDS[field.kind]) for field in catalog.extra_fields)


def _spec(generation: Generation, card: ModelCard, catalog: Catalog) -> CollectionSpec:
    return CollectionSpec(
        name=generation.collection,
        catalog=generation.catalog,
        dimension=card.embedding_size,
        model_digest=card.digest,
        extra_indexes=_declared(catalog),
    )


def _job(
    ledger: Ledger,
    catalog: Catalog,
    generation: Generation,
    kind: JobKind,
    options: JobOptions,
    idempotency_key: str | None,
    priority: int | None,
) -> tuple[Job, bool]:
    try:
        key = idempotency_key or new_id()
        made = ledger.create_job(
            catalog.name, generation.number, kind, options, idempotency_key=key, priority=priority or 0
        )
        return made, False
    except JobConflictError as conflict:
        job = ledger.job(conflict.job_id)
        if job.kind is not kind or _scope(job.options) != _scope(options) or job.state is JobState.PAUSED:
            raise _conflict(job) from conflict
        return _moved(ledger, job, priority), True


def _scope(options: JobOptions) -> tuple[object, ...]:
    return options.include, options.exclude, options.reasons, options.failed_only


def _moved(ledger: Ledger, job: Job, priority: int | None) -> Job:
    return job if priority is None else ledger.set_priority(job.id, priority)


def _supersede(ledger: Ledger, name: str, stage: StagedManifest) -> None:
    """End a sync that a new one must not take up: what it found is out of date. What it indexed stays indexed."""
    running = open_scan(ledger, name)
    if running is None or running.kind is not JobKind.SYNC or running.state is JobState.PAUSED:
        return
    if running.state is JobState.AWAITING_CONFIRMATION:
        # Nobody has said that the images are really gone: look again instead of insisting on the old finding.
        ledger.finish_job(running.id, JobState.CANCELLED, error="a newer run looked again before it was confirmed")
    elif stage.differs():
        ledger.finish_job(running.id, JobState.CANCELLED, error="a newer run brought another manifest")


def open_scan(ledger: Ledger, name: str) -> Job | None:
    """The catalog's job that is not final and that no other may run beside."""
    return next((job for job in ledger.open_jobs() if job.catalog == name and job.kind.runs_alone), None)


def _conflict(job: Job) -> JobConflictError:
    let = f"let it go on with: catalog resume {job.id[:8]}" if job.state is JobState.PAUSED else "let it end"
    return JobConflictError(
        f"the {job.kind.value} job {job.id[:8]} of catalog {job.catalog!r} is not finished ({job.state.value}); "
        f"{let}, or stop it with: catalog cancel {job.id[:8]}",
        job_id=job.id,
    )


def checked_name(name: str) -> None:
    """Refuse a name that cannot name a catalog, as a ContractError."""
    try:
        check_catalog_name(name)
    except ValueError as error:
        raise ContractError(str(error)) from error
