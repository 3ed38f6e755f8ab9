"""What becomes of batches whose worker died: taken back, split in halves, and at the end one image is named."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Row, func, insert, or_, select, update

from schemas.ids import new_id
from schemas.outcomes import OutcomeKind, Reason
from schemas.records import Outcome
from schemas.tables import batches, work
from workers.adapters.ledger.database import Database, clock, slices
from workers.adapters.ledger.ending import free_job, leftovers
from workers.adapters.ledger.part import BatchState, LedgerPart, lock_job
from workers.adapters.ledger.recording import Writer, settle
from workers.errors import NotFoundError

LOSSES_ALONE: Final = 3
"""So often a worker has to die with one image alone before the image is blamed: once is a power cut or a deployment."""


class LossesPart(LedgerPart):
    """Implements `workers.ports.ledger.Batches.reap`."""

    def reap(self, *, worker_prefix: str | None = None) -> Sequence[str]:
        """Take back leases that ran out, or all leases of workers that are known to be dead. Also frees what final jobs
        left behind when their freeing was interrupted.
        """
        lost = _is_lost(worker_prefix)
        query = select(batches.c.id, batches.c.job_id, batches.c.token).where(lost).order_by(batches.c.job_id)
        with self._database.read() as tx:
            found, unfreed = tx.execute(query).all(), leftovers(tx)
        for job_id in unfreed:
            free_job(self._database, job_id)
        concerned: dict[str, None] = {}
        for batch_id, job_id, token in found:
            with self._database.write() as tx:
                if _take_back(self._database, tx, job_id, batch_id, lost & (batches.c.token == token)):
                    concerned[job_id] = None
        return list(concerned)


def _is_lost(worker_prefix: str | None) -> ColumnElement[bool]:
    expired: ColumnElement[bool] = batches.c.lease_expires_at <= clock()
    if worker_prefix is not None:
        expired = or_(expired, func.substr(batches.c.worker, 1, len(worker_prefix)) == worker_prefix)
    return (batches.c.state == BatchState.LEASED) & expired


def _take_back(database: Database, tx: Connection, job_id: str, batch_id: str, lost: ColumnElement[bool]) -> bool:
    """Take one batch back; False when its worker came in between after all."""
    try:
        job = lock_job(tx, job_id)
    except NotFoundError:
        return False
    batch = tx.execute(select(batches).where(batches.c.id == batch_id, lost)).one_or_none()
    if batch is None:
        return False
    left = (work.c.batch_id == batch_id, work.c.done.is_(False))
    unfinished = tx.execute(select(work).where(*left).order_by(work.c.ordinal)).all()
    state = BatchState.READY if unfinished else BatchState.DONE
    if len(unfinished) > 1:
        _split(tx, batch, [row.key for row in unfinished[(len(unfinished) + 1) // 2 :]])
    elif unfinished and _blame(database, tx, job, batch, unfinished[0]):
        state = BatchState.DONE
    back = {"state": state, "token": None, "losses": batch.losses + 1}
    tx.execute(update(batches).where(batches.c.id == batch_id).values(**back))
    return True


def _split(tx: Connection, batch: Row[Any], keys: Sequence[str]) -> None:
    """Move the keys into a batch of their own; the other half stays where it is."""
    half = {"id": new_id(), "job_id": batch.job_id, "ordinal": batch.ordinal, "state": BatchState.READY}
    tx.execute(insert(batches).values(half | {"losses": batch.losses + 1, "planned_at": batch.planned_at}))
    for some in slices(keys):
        these = (work.c.job_id == batch.job_id, work.c.key.in_(some))
        tx.execute(update(work).where(*these).values(batch_id=half["id"]))


def _blame(database: Database, tx: Connection, job: Row[Any], batch: Row[Any], row: Row[Any]) -> bool:
    """Count a loss of an image that was alone; True when that was its last one and it is quarantined."""
    losses = row.losses + 1
    tx.execute(update(work).where(work.c.job_id == job.id, work.c.key == row.key).values(losses=losses))
    if losses < LOSSES_ALONE:
        return False
    writer = Writer(
        job_id=job.id, batch_id=batch.id, catalog=job.catalog, generation=job.generation, version=batch.version
    )
    detail = f"the worker ended {losses} times while this image was alone in its hands, last {batch.worker}"
    outcome = Outcome(
        key=row.key,
        kind=OutcomeKind.QUARANTINED,
        etag=row.etag,
        size=row.size,
        reason=Reason.ENDS_WORKER,
        detail=detail,
    )
    settle(database, tx, writer, [outcome], job=job)
    return True
