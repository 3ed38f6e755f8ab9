"""What the parts of the ledger share: the database, and the locks and fences that every write goes through."""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, Row, select, update

from schemas.records import Lease
from schemas.tables import batches, counters, jobs
from workers.adapters.ledger.database import Database, clock
from workers.errors import LeaseLostError, NotFoundError


class BatchState(StrEnum):
    """Where a batch stands."""

    READY = "ready"
    """Waits for its turn to be published."""
    QUEUED = "queued"
    """Published; no worker has claimed it yet."""
    LEASED = "leased"
    DONE = "done"


class LedgerPart:
    """One protocol of the port on one database; `SqlLedger` is all of them together."""

    def __init__(self, database: Database) -> None:
        self._database = database


def moment(seconds: float) -> datetime:
    """A stored moment as a time in UTC."""
    return datetime.fromtimestamp(seconds, UTC)


def lock_job(tx: Connection, job_id: str) -> Row[Any]:
    """The job's row, locked until the transaction ends; NotFoundError where there is none."""
    return find_job(tx, job_id, lock=True)


def find_job(tx: Connection, job_id: str, *, lock: bool = False) -> Row[Any]:
    """The job's row; NotFoundError where there is none."""
    query = select(jobs).where(jobs.c.id == job_id)
    row = tx.execute(query.with_for_update(key_share=True) if lock else query).one_or_none()
    if row is None:
        raise NotFoundError(f"there is no job {job_id}")
    return row


def hold(tx: Connection, lease: Lease, *, lease_s: float) -> Row[Any]:
    """Renew a lease and answer its job's row, locked. Every write of a lease begins with it.

    Raises:
        LeaseLostError: the token no longer holds the batch.
    """
    lost = LeaseLostError(f"batch {lease.batch_id} is held by another worker, or its job has ended")
    try:
        job = lock_job(tx, lease.job_id)
    except NotFoundError:
        raise lost from None
    held = (batches.c.id == lease.batch_id, batches.c.token == lease.token, batches.c.state == BatchState.LEASED)
    if tx.execute(update(batches).where(*held).values(lease_expires_at=clock() + lease_s)).rowcount != 1:
        raise lost
    return job


def draw(database: Database, tx: Connection, counter: str) -> int:
    """The next number of a counter; it only ever grows."""
    first = database.insert(counters).values(name=counter, value=1)
    drawn = first.on_conflict_do_update(index_elements=["name"], set_={"value": counters.c.value + 1})
    return int(tx.execute(drawn.returning(counters.c.value)).scalar_one())
