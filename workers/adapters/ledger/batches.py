"""The life of one batch: published, claimed with a token, recorded as it goes, finished in a fenced transaction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from sqlalchemy import Connection, Row, func, select, update

from schemas.ids import new_id
from schemas.records import Change, JobState, Lease, ManifestRow, Outcome, StageStat, WorkItem
from schemas.tables import batches, catalogs, generations, jobs, manifest_rows, work
from workers.adapters.ledger.database import clock
from workers.adapters.ledger.ending import HANDS_OUT
from workers.adapters.ledger.manifests import to_manifest_row
from workers.adapters.ledger.part import BatchState, LedgerPart, draw, hold, lock_job
from workers.adapters.ledger.recording import Writer, settle
from workers.errors import ContractError, NotFoundError
from workers.ports.ledger import Claimed


class BatchesPart(LedgerPart):
    """Implements `workers.ports.ledger.Batches` but for `reap`, and what `Jobs` knows of batches."""

    def take_ready(self, job_id: str, *, window: int) -> Sequence[str]:
        """Mark ready batches as queued so that at most `window` of the job are queued or leased; their ids, in order."""
        mine = batches.c.job_id == job_id
        underway = batches.c.state.in_((BatchState.QUEUED, BatchState.LEASED))
        with self._database.write() as tx:
            job = lock_job(tx, job_id)
            if job.cancel_requested or job.state != JobState.RUNNING:
                return []
            room = window - tx.execute(select(func.count()).select_from(batches).where(mine, underway)).scalar_one()
            ready = select(batches.c.id).where(mine, batches.c.state == BatchState.READY)
            ready = ready.order_by(batches.c.ordinal, batches.c.id).limit(max(0, room))
            taken = tx.execute(ready).scalars().all()
            tx.execute(
                update(batches).where(batches.c.id.in_(taken)).values(state=BatchState.QUEUED, queued_at=clock())
            )
        return taken

    def requeue_queued(self, job_id: str, *, older_than_s: float = 0.0) -> int:
        """Make batches ready again that were published at least so long ago; how many."""
        queued = [batches.c.job_id == job_id, batches.c.state == BatchState.QUEUED]
        if older_than_s:
            queued.append(func.coalesce(batches.c.queued_at, 0.0) <= clock() - older_than_s)
        with self._database.write() as tx:
            lock_job(tx, job_id)
            return tx.execute(update(batches).where(*queued).values(state=BatchState.READY)).rowcount

    def unfinished_batches(self, job_id: str) -> int:
        """Batches that are ready, queued or leased."""
        unfinished = (batches.c.job_id == job_id, batches.c.state != BatchState.DONE)
        with self._database.read() as tx:
            return tx.execute(select(func.count()).select_from(batches).where(*unfinished)).scalar_one()

    def batches_underway(self, job_id: str) -> int:
        """Batches that are queued or leased."""
        underway = (batches.c.job_id == job_id, batches.c.state.in_((BatchState.QUEUED, BatchState.LEASED)))
        with self._database.read() as tx:
            return tx.execute(select(func.count()).select_from(batches).where(*underway)).scalar_one()

    def claim_batch(self, batch_id: str, *, worker: str, lease_s: float) -> Lease | None:
        """Lease a ready or queued batch, or None: the message was a duplicate, drop it."""
        free = (batches.c.id == batch_id, batches.c.state.in_((BatchState.READY, BatchState.QUEUED)))
        with self._database.write() as tx:
            job_id = tx.execute(select(batches.c.job_id).where(*free)).scalar_one_or_none()
            if job_id is None:
                return None
            try:
                job = lock_job(tx, job_id)
            except NotFoundError:
                return None
            if job.cancel_requested or job.state not in HANDS_OUT:
                return None
            leased: dict[str, Any] = {"state": BatchState.LEASED, "token": new_id(), "worker": worker}
            leased |= {"lease_expires_at": clock() + lease_s, "version": draw(self._database, tx, "version")}
            if tx.execute(update(batches).where(*free).values(leased)).rowcount != 1:
                return None
            if job.started_at is None:
                tx.execute(update(jobs).where(jobs.c.id == job_id).values(started_at=clock()))
            return _lease(tx, job, tx.execute(select(batches).where(batches.c.id == batch_id)).one())

    def record(self, lease: Lease, outcomes: Sequence[Outcome], *, lease_s: float) -> Claimed:
        """Write outcomes, count them and renew the lease, in one transaction. The first outcome of an item holds."""
        with self._database.write() as tx:
            job = hold(tx, lease, lease_s=lease_s)
            settle(self._database, tx, Writer.of(lease), outcomes, job=job)
        return _claimed(job)

    def renew(self, lease: Lease, *, lease_s: float) -> Claimed:
        """Hold the batch for longer."""
        with self._database.write() as tx:
            job = hold(tx, lease, lease_s=lease_s)
        return _claimed(job)

    def finish_batch(self, lease: Lease, *, stages: Sequence[StageStat], wall_s: float) -> None:
        """Close the batch and add its stage figures to the job.

        Raises:
            LeaseLostError: the token no longer holds the batch.
            ContractError: an item has no outcome yet.
        """
        with self._database.write() as tx:
            job = hold(tx, lease, lease_s=0.0)
            left = _left(tx, lease.batch_id)
            if left:
                raise ContractError(f"batch {lease.batch_id} cannot be finished: {left} items have no outcome yet")
            _let_go(tx, job, lease, BatchState.DONE, stages=stages, wall_s=wall_s)

    def release_batch(self, lease: Lease, *, stages: Sequence[StageStat] = (), wall_s: float = 0.0) -> None:
        """Give unfinished items back without counting a loss."""
        with self._database.write() as tx:
            job = hold(tx, lease, lease_s=0.0)
            state = BatchState.READY if _left(tx, lease.batch_id) else BatchState.DONE
            _let_go(tx, job, lease, state, stages=stages, wall_s=wall_s)


def _claimed(job: Row[Any]) -> Claimed:
    return Claimed(stop_requested=job.cancel_requested or job.state == JobState.PAUSED)


def merged(stored: Sequence[Mapping[str, Any]], spent: Sequence[StageStat]) -> list[dict[str, Any]]:
    """Stage figures with new ones added by stage; threads are the most there were."""
    stages = {stage["stage"]: StageStat(**stage) for stage in stored}
    for new in spent:
        old = stages.get(new.stage, StageStat(stage=new.stage, busy_s=0.0))
        stages[new.stage] = StageStat(
            stage=new.stage,
            busy_s=old.busy_s + new.busy_s,
            wait_s=old.wait_s + new.wait_s,
            items=old.items + new.items,
            bytes=old.bytes + new.bytes,
            threads=max(old.threads, new.threads),
        )
    return [asdict(stage) for stage in stages.values()]


def _left(tx: Connection, batch_id: str) -> int:
    left = (work.c.batch_id == batch_id, work.c.done.is_(False))
    return int(tx.execute(select(func.count()).select_from(work).where(*left)).scalar_one())


def _let_go(
    tx: Connection, job: Row[Any], lease: Lease, state: BatchState, *, stages: Sequence[StageStat], wall_s: float
) -> None:
    tx.execute(update(batches).where(batches.c.id == lease.batch_id).values(state=state, token=None))
    spent = {"stages": merged(job.stages, stages), "wall_s": jobs.c.wall_s + wall_s}
    tx.execute(update(jobs).where(jobs.c.id == job.id).values(**spent))


def _lease(tx: Connection, job: Row[Any], batch: Row[Any]) -> Lease:
    """Everything a worker needs to work the batch off."""
    left = (work.c.batch_id == batch.id, work.c.done.is_(False))
    rows = tx.execute(select(work).where(*left).order_by(work.c.ordinal)).all()
    this = (generations.c.catalog == job.catalog, generations.c.number == job.generation)
    generation = tx.execute(select(generations).where(*this)).one()
    return Lease(
        batch_id=batch.id,
        job_id=job.id,
        catalog=job.catalog,
        source_url=tx.execute(select(catalogs.c.source_url).where(catalogs.c.name == job.catalog)).scalar_one(),
        generation=job.generation,
        collection=generation.collection,
        model_digest=generation.model_digest,
        token=batch.token,
        version=batch.version,
        losses=batch.losses,
        items=tuple(
            WorkItem(key=row.key, change=Change(row.change), etag=row.etag, size=row.size, losses=row.losses)
            for row in rows
        ),
        manifest=_manifest(tx, job.catalog, batch.id),
    )


def _manifest(tx: Connection, catalog: str, batch_id: str) -> dict[str, ManifestRow]:
    """The manifest's rows for the batch's unfinished items."""
    left = (work.c.batch_id == batch_id, work.c.done.is_(False), manifest_rows.c.catalog == catalog)
    query = select(manifest_rows).join(work, work.c.key == manifest_rows.c.key).where(*left)
    return {row.key: to_manifest_row(row) for row in tx.execute(query)}
