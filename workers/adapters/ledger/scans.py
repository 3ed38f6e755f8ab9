"""Scans: the right to one, what it plans page by page, and the batches of retries and deletes."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, delete, exists, func, insert, or_, select, text, update

from schemas.ids import new_id
from schemas.outcomes import OutcomeKind
from schemas.records import Change, JobKind, PlannedPage, StageStat, WorkItem
from schemas.tables import NOT_SEARCHABLE, batches, items, jobs, placements, work
from workers.adapters.ledger.batches import merged
from workers.adapters.ledger.database import clock, slices
from workers.adapters.ledger.ending import HANDS_OUT, is_open
from workers.adapters.ledger.jobs import count_items, grown
from workers.adapters.ledger.part import BatchState, LedgerPart, find_job, lock_job
from workers.errors import LeaseLostError, NotFoundError

_SCANNED = ("seen", "ignored", "new", "changed", "unchanged", "manifest_orphans")
"""Counts that a scan makes by itself: one that begins again counts them again."""


class ScansPart(LedgerPart):
    """Implements the part of `workers.ports.ledger.Jobs` that plans."""

    def restart_scan(self, job_id: str) -> None:
        """Let the scan begin again at the first key; batches stay, whoever scans now loses the right to it."""
        again: dict[str, Any] = {
            "scan_cursor": None,
            "scan_complete": False,
            "deletes_cursor": None,
            "deletes_planned": False,
        }
        again |= {"scan_token": None, "found_vanished": 0} | {f"n_{name}": 0 for name in _SCANNED}
        with self._database.write() as tx:
            job = lock_job(tx, job_id)
            if job.kind != JobKind.RETRY:  # what that job retries was planned without a scan, and is not planned again
                again["n_retried"] = 0
            again["known_before"] = count_items(job.catalog).scalar_subquery()
            tx.execute(update(jobs).where(jobs.c.id == job_id).values(**again))
            tx.execute(update(items).where(items.c.vanished_by == job_id).values(vanished_by=None))

    def claim_scan(self, job_id: str, *, token: str, lease_s: float) -> bool:
        """Take the right to scan for a while; False while another token holds it, and for a final job."""
        free = or_(jobs.c.scan_token.is_(None), jobs.c.scan_token == token, jobs.c.scan_expires_at <= clock())
        claimed = {"scan_token": token, "scan_expires_at": clock() + lease_s}
        started = func.coalesce(jobs.c.started_at, clock())
        with self._database.write() as tx:
            lock_job(tx, job_id)
            this = (jobs.c.id == job_id, is_open(), free)
            return tx.execute(update(jobs).where(*this).values(**claimed, started_at=started)).rowcount == 1

    def release_scan(self, job_id: str, *, token: str, stages: Sequence[StageStat] = ()) -> None:
        """Give the right back and add what planning took to the job; a token that no longer holds it is harmless."""
        with self._database.write() as tx, suppress(LeaseLostError):
            job = _hold_scan(tx, job_id, token)
            free: dict[str, Any] = {"scan_token": None, "scan_expires_at": None, "stages": merged(job.stages, stages)}
            tx.execute(update(jobs).where(jobs.c.id == job_id).values(**free))

    def plan_page(self, job_id: str, *, token: str, page: PlannedPage) -> str | None:
        """Commit one stretch of the scan in one transaction. A key that the job has planned before keeps its batch."""
        with self._database.write() as tx:
            job = _hold_scan(tx, job_id, token)
            self._know(tx, job, [item for item in page.work if item.change is not Change.DELETE])
            batch_id, planned = self._plan(tx, job, page.work)
            settled: dict[str, Any] = {"scan_cursor": page.cursor, "scan_complete": page.complete}
            settled |= {"planned": jobs.c.planned + planned}
            settled |= {"found_vanished": jobs.c.found_vanished + _mark(tx, job, page.vanished)}
            tx.execute(update(jobs).where(jobs.c.id == job_id).values(**settled, **grown(page.counts)))
        return batch_id

    def plan_retry(self, job_id: str, *, limit: int) -> int:
        """Put up to `limit` quarantined or failed images into a batch; how many. 0: all are (`scan_complete` is set)."""
        here = (placements.c.catalog == items.c.catalog, placements.c.key == items.c.key)
        with self._database.write() as tx:
            job = lock_job(tx, job_id)
            if job.cancel_requested or job.state not in HANDS_OUT:
                return 0
            query = select(items.c.key, items.c.etag, items.c.size).join(placements, here[0] & here[1])
            query = query.where(placements.c.catalog == job.catalog, placements.c.generation == job.generation)
            query = query.where(text(NOT_SEARCHABLE), *_asked_for(job))
            query = query.where(placements.c.key > (job.scan_cursor or ""), _not_planned(job_id))
            found = tx.execute(query.order_by(placements.c.key).limit(limit)).all()
            chosen = [WorkItem(key=row.key, change=Change.RETRY, etag=row.etag, size=row.size) for row in found]
            _, planned = self._plan(tx, job, chosen)
            values: dict[str, Any] = {
                "scan_complete": not found,
                "started_at": func.coalesce(jobs.c.started_at, clock()),
            }
            values |= {"planned": jobs.c.planned + planned, "n_retried": jobs.c.n_retried + planned}
            values |= {"scan_cursor": found[-1].key} if found else {}
            tx.execute(update(jobs).where(jobs.c.id == job_id).values(**values))
        return planned

    def vanished(self, job_id: str) -> tuple[int, int]:
        """How many keys this job's scan found vanished, and how many keys the catalog had before the scan."""
        with self._database.read() as tx:
            job = find_job(tx, job_id)
        return job.found_vanished, job.known_before

    def plan_deletes(self, job_id: str, *, limit: int) -> int:
        """Put up to `limit` vanished keys that are not planned yet into a batch of deletes; how many."""
        with self._database.write() as tx:
            job = lock_job(tx, job_id)
            if job.cancel_requested or job.state not in HANDS_OUT:
                return 0
            query = select(items.c.key).where(items.c.vanished_by == job_id, items.c.catalog == job.catalog)
            query = query.where(items.c.key > (job.deletes_cursor or ""), _not_planned(job_id))
            keys = tx.execute(query.order_by(items.c.key).limit(limit)).scalars().all()
            _, planned = self._plan(tx, job, [WorkItem(key=key, change=Change.DELETE, etag="", size=0) for key in keys])
            values: dict[str, Any] = {"deletes_planned": not keys, "planned": jobs.c.planned + planned}
            values |= {"deletes_cursor": keys[-1]} if keys else {}
            tx.execute(update(jobs).where(jobs.c.id == job_id).values(**values))
        return planned

    def _know(self, tx: Connection, job: Row[Any], listed: Sequence[WorkItem]) -> None:
        """Write down what the listing says of these keys; what was marked as vanished is there again."""
        rows = [{"catalog": job.catalog, "key": item.key, "etag": item.etag, "size": item.size} for item in listed]
        if rows:
            known = self._database.insert(items)
            seen = {"etag": known.excluded.etag, "size": known.excluded.size, "vanished_by": None}
            upsert = known.on_conflict_do_update(index_elements=["catalog", "key"], set_=seen)
            self._database.insert_rows(tx, upsert, rows)

    def _plan(self, tx: Connection, job: Row[Any], chosen: Sequence[WorkItem]) -> tuple[str | None, int]:
        """One ready batch of those items that the job has not planned yet: its id, None without any, and how many."""
        if not chosen:
            return None, 0
        batch_id = new_id()
        batch = {"id": batch_id, "job_id": job.id, "ordinal": job.planned, "state": BatchState.READY}
        tx.execute(insert(batches).values(**batch, planned_at=clock()))
        rows = [
            {"job_id": job.id, "key": item.key, "batch_id": batch_id, "ordinal": place, "change": item.change}
            | {"etag": item.etag, "size": item.size, "losses": item.losses}
            for place, item in enumerate(chosen)
        ]
        self._database.insert_rows(tx, self._database.insert(work).on_conflict_do_nothing(), rows)
        # Counted, since a driver need not say how many of many rows it inserted (psycopg does not).
        mine = select(func.count()).select_from(work).where(work.c.batch_id == batch_id)
        planned: int = tx.execute(mine).scalar_one()
        if not planned:
            tx.execute(delete(batches).where(batches.c.id == batch_id))
        return (batch_id if planned else None), planned


def _hold_scan(tx: Connection, job_id: str, token: str) -> Row[Any]:
    """The row of a job whose scan the token holds, locked; LeaseLostError where it does not."""
    lost = LeaseLostError(f"the scan of job {job_id} is held by another process, or the job has ended")
    try:
        job = lock_job(tx, job_id)
    except NotFoundError:
        raise lost from None
    if job.scan_token != token:
        raise lost
    return job


def _mark(tx: Connection, job: Row[Any], vanished: Sequence[str]) -> int:
    """Mark keys as missed by this job's scan; how many were not marked before."""
    unmarked = func.coalesce(items.c.vanished_by, "") != job.id
    marked = 0
    for keys in slices(vanished):
        these = (items.c.catalog == job.catalog, items.c.key.in_(keys), unmarked)
        marked += tx.execute(update(items).where(*these).values(vanished_by=job.id)).rowcount
    return marked


def _asked_for(job: Row[Any]) -> list[ColumnElement[bool]]:
    """Conditions on `placements`: what a retry's options choose."""
    retry = job.retry or {}
    kinds = [OutcomeKind.FAILED] if retry.get("failed_only") else [OutcomeKind.QUARANTINED, OutcomeKind.FAILED]
    chosen: list[ColumnElement[bool]] = [placements.c.outcome.in_(kinds)]
    if retry.get("reasons"):
        chosen.append(placements.c.reason.in_(retry["reasons"]))
    return chosen


def _not_planned(job_id: str) -> Any:
    return ~exists().where(work.c.job_id == job_id, work.c.key == items.c.key)
