"""Requests for jobs, from a program or a message, become rows of the ledger. Nothing is published here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import assert_never

from schemas.messages import JobRequest, KeysRequest, ReindexRequest, RetryRequest, SyncRequest, UpdateRequest
from schemas.records import AskedKey, Job, JobKind, JobOptions
from workers.bootstrap import Process
from workers.errors import ConfigurationError, ContractError, NotFoundError
from workers.indexing.sources import check_source
from workers.indexing.submit import submit_reindex, submit_retry, submit_sync
from workers.indexing.update import submit_update
from workers.ports import ObjectStore

EVERYTHING = JobOptions(include=("**",))
"""Keys that somebody names are looked at whatever the globs of the latest sync."""
_KINDS = {
    "sync": JobKind.SYNC,
    "reindex": JobKind.REINDEX,
    "retry": JobKind.RETRY,
    "keys": JobKind.KEYS,
    "update": JobKind.KEYS,
}


def submit(process: Process, request: JobRequest, *, idempotency_key: str, from_elsewhere: bool) -> Sequence[Job]:
    """Write the rows of what is asked for; the jobs, or those that the idempotency key made before.

    Args:
        process: where to.
        request: what for.
        idempotency_key: unless the request has one.
        from_elsewhere: it came as a message: a source is only taken from it where CATALOG_SOURCES says which ones may be.

    Raises:
        ContractError: it can never work as it is; the text says why.
        JobConflictError: another job of the catalog is not finished.
        TransientError: the ledger, the store or the index does not answer.
    """
    key = request.idempotency_key or idempotency_key
    known = _made_before(process, request, key)
    if known is not None:
        return [known]
    ledger, name = process.ledger, request.catalog
    match request:
        case SyncRequest():
            return [_sync(process, request, key, from_elsewhere=from_elsewhere)]
        case ReindexRequest():
            bundle = process.chosen_bundle()
            submitted = submit_reindex(
                name,
                ledger=ledger,
                index=process.index,
                card=bundle.card,
                keep_bundle=lambda: process.keep_bundle(bundle),
                idempotency_key=key,
                priority=request.priority,
            )
            return [submitted.job]
        case RetryRequest():
            options = JobOptions(reasons=request.reasons, failed_only=request.failed_only)
            submitted = submit_retry(
                name, ledger=ledger, options=options, idempotency_key=key, priority=request.priority
            )
            return [submitted.job]
        case KeysRequest():
            asked = [AskedKey(key=one) for one in dict.fromkeys(request.keys)]
            return ledger.create_keys_jobs(name, asked, options=EVERYTHING, idempotency_key=key)
        case UpdateRequest():
            updated = submit_update(
                name, request.fields, ledger=ledger, keys=request.keys, products=request.products, idempotency_key=key
            )
            return updated.jobs
        case _:
            assert_never(request)


def _made_before(process: Process, request: JobRequest, key: str) -> Job | None:
    job = process.ledger.job_by_key(request.catalog, key)
    if job is not None and job.kind is not _KINDS[request.kind]:
        raise ContractError(f"the idempotency key {key!r} belongs to the {job.kind.value} job {job.id[:8]}")
    return job


def _sync(process: Process, request: SyncRequest, key: str, *, from_elsewhere: bool) -> Job:
    bundle = process.chosen_bundle()
    submitted = submit_sync(
        request.catalog,
        store=_opened(process, _source(process, request, from_elsewhere=from_elsewhere), named=request.source),
        ledger=process.ledger,
        index=process.index,
        card=bundle.card,
        keep_bundle=lambda: process.keep_bundle(bundle),
        options=JobOptions(
            include=tuple(request.include), exclude=tuple(request.exclude), allow_deletes=request.allow_deletes
        ),
        idempotency_key=key,
        priority=request.priority,
    )
    return submitted.job


def _opened(process: Process, source: str, *, named: str | None) -> ObjectStore:
    """The source's store. One that the request names and that cannot be opened is the request's fault."""
    try:
        return process.open_source(source)
    except ConfigurationError as error:
        if named is None:
            raise
        raise ContractError(str(error)) from error


def _source(process: Process, request: SyncRequest, *, from_elsewhere: bool) -> str:
    """The source to fill the catalog from: its own, or the one that is asked for where that is allowed."""
    try:
        known: str | None = process.ledger.catalog(request.catalog).source_url
    except NotFoundError:
        if request.source is None:
            raise
        known = None
    if request.source is None or (known is not None and process.source_url(request.source) == known):
        assert known is not None  # noqa: S101 - for the type checker
        return known
    if from_elsewhere and process.settings.sources is None:
        raise ContractError(
            "a message may only name a source where CATALOG_SOURCES says which ones; set it for the workers"
        )
    check_source(request.source, process.settings.sources)
    return request.source
