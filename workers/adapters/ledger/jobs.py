"""Jobs: made once, found by prefix, cancelled, confirmed, ended once."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict, fields
from typing import Any, Final

from sqlalchemy import Connection, Row, Select, func, insert, select, update

from schemas.ids import new_id
from schemas.outcomes import Reason
from schemas.records import (
    HIGHEST_PRIORITY,
    LOWEST_PRIORITY,
    Counts,
    Job,
    JobKind,
    JobOptions,
    JobState,
    StageStat,
)
from schemas.tables import batches, catalogs, generations, items, jobs
from workers.adapters.ledger.database import Database, clock
from workers.adapters.ledger.ending import end_job, free_job, is_open, is_open_scan
from workers.adapters.ledger.part import BatchState, LedgerPart, draw, lock_job, moment
from workers.adapters.ledger.posting import repost_open_keys
from workers.adapters.ledger.reports import to_reasons
from workers.errors import ContractError, JobConflictError, NotFoundError

_PREFIX: Final = re.compile(r"[0-9a-f]{4,32}")
_DOING: Final = {
    JobState.RUNNING: "is running",
    JobState.AWAITING_CONFIRMATION: "waits for its deletes to be confirmed",
    JobState.PAUSED: "is paused",
}
_COUNTS: Final = tuple(field.name for field in fields(Counts))


class JobsPart(LedgerPart):
    """Implements the part of `workers.ports.ledger.Jobs` that is about the jobs themselves."""

    def create_job(
        self,
        catalog: str,
        generation: int,
        kind: JobKind,
        options: JobOptions,
        *,
        idempotency_key: str,
        priority: int = 0,
    ) -> Job:
        """A running job; the same idempotency key again answers the job it made before."""
        _check_priority(priority)
        with self._database.read() as tx:
            known = _by_key(tx, catalog, idempotency_key)
            before = tx.execute(count_items(catalog)).scalar_one()
        if known is not None:
            return to_job(known)
        with self._database.write() as tx:
            # Serialises the makers of one catalog's jobs; its open job is looked for under this lock.
            there = select(generations.c.number).join(catalogs).where(generations.c.number == generation)
            if (
                tx.execute(there.where(catalogs.c.name == catalog).with_for_update(key_share=True)).one_or_none()
                is None
            ):
                raise NotFoundError(f"catalog {catalog!r} has no generation {generation}")
            known = _by_key(tx, catalog, idempotency_key)
            if known is not None:
                return to_job(known)
            other = tx.execute(select(jobs).where(jobs.c.catalog == catalog, is_open_scan())).one_or_none()
            if other is not None and kind.runs_alone:
                raise _conflict(other)
            if kind is JobKind.REINDEX:
                repost_open_keys(self._database, tx, catalog)
            return add_job(
                self._database,
                tx,
                catalog,
                generation,
                kind,
                options,
                idempotency_key=idempotency_key,
                known_before=before,
                priority=priority,
            )

    def job_by_key(self, catalog: str, idempotency_key: str) -> Job | None:
        """The job that was made under this idempotency key, if any."""
        with self._database.read() as tx:
            found = _by_key(tx, catalog, idempotency_key)
        return None if found is None else to_job(found)

    def job(self, job_id: str) -> Job:
        """One job by its id or an unambiguous prefix of at least 4 characters, or NotFoundError."""
        if _PREFIX.fullmatch(job_id) is None:
            raise NotFoundError(f"{job_id!r} is no job's id: give 4 to 32 hexadecimal digits")
        like = (jobs.c.id >= job_id, jobs.c.id < job_id + "g")
        with self._database.read() as tx:
            found = tx.execute(select(jobs).where(*like).order_by(jobs.c.sequence.desc()).limit(3)).all()
        if not found:
            raise NotFoundError(f"there is no job {job_id}")
        if len(found) > 1:
            raise NotFoundError(f"{job_id} begins several jobs' ids ({', '.join(row.id for row in found)}): give more")
        return to_job(found[0])

    def jobs(self, *, catalog: str | None = None, limit: int = 20) -> Sequence[Job]:
        """Newest first."""
        query = select(jobs).order_by(jobs.c.sequence.desc()).limit(limit)
        with self._database.read() as tx:
            return [
                to_job(row) for row in tx.execute(query if catalog is None else query.where(jobs.c.catalog == catalog))
            ]

    def open_jobs(self) -> Sequence[Job]:
        """Jobs that are not final: the highest priority first, then the oldest."""
        query = select(jobs).where(is_open()).order_by(jobs.c.priority.desc(), jobs.c.sequence)
        with self._database.read() as tx:
            return [to_job(row) for row in tx.execute(query)]

    def confirm_deletes(self, job_id: str) -> Job:
        """A person agrees to what the job has found: awaiting_confirmation becomes running, their number is kept."""
        with self._database.write() as tx:
            job = lock_job(tx, job_id)
            if job.state != JobState.AWAITING_CONFIRMATION:
                raise ContractError(f"job {job_id} is {job.state}: it does not wait for a confirmation")
            confirmed = {"state": JobState.RUNNING, "confirmed_deletes": jobs.c.found_vanished}
            tx.execute(update(jobs).where(jobs.c.id == job_id).values(**confirmed))
            return to_job(lock_job(tx, job_id))

    def allow_deletes(self, job_id: str) -> Job:
        """Set `options.allow_deletes`; a final job answers as it is."""
        with self._database.write() as tx:
            tx.execute(update(jobs).where(jobs.c.id == job_id, is_open()).values(allow_deletes=True))
            return to_job(lock_job(tx, job_id))

    def set_priority(self, job_id: str, priority: int) -> Job:
        """Let the job be served earlier or later; a final one answers as it is."""
        _check_priority(priority)
        with self._database.write() as tx:
            tx.execute(update(jobs).where(jobs.c.id == job_id, is_open()).values(priority=priority))
            return to_job(lock_job(tx, job_id))

    def pause_job(self, job_id: str, *, error: str, tripped: Reason | None = None) -> Job:
        """Hand out no batch of a running job any more; one that does not run answers as it is."""
        with self._database.write() as tx:
            job = lock_job(tx, job_id)
            if job.state != JobState.RUNNING:
                return to_job(job)
            values: dict[str, Any] = {"state": JobState.PAUSED, "error": error}
            if tripped is not None and tripped not in (job.tripped or ()):
                values["tripped"] = [*(job.tripped or ()), tripped]
            tx.execute(update(jobs).where(jobs.c.id == job_id).values(**values))
            return to_job(lock_job(tx, job_id))

    def resume_job(self, job_id: str) -> Job:
        """A paused job runs again; a running one answers as it is."""
        with self._database.write() as tx:
            job = lock_job(tx, job_id)
            if job.state not in (JobState.PAUSED, JobState.RUNNING):
                raise ContractError(f"job {job_id} is {job.state}: it does not wait to be resumed")
            if job.state == JobState.PAUSED:
                again: dict[str, Any] = {
                    "state": JobState.RUNNING,
                    "error": None,
                    "recent": [],
                }  # the pause is no part of its rate
                tx.execute(update(jobs).where(jobs.c.id == job_id).values(**again))
                # Messages that came in meanwhile were dropped: what they spoke of has to be published again.
                queued = (batches.c.job_id == job_id, batches.c.state == BatchState.QUEUED)
                tx.execute(update(batches).where(*queued).values(state=BatchState.READY))
            return to_job(lock_job(tx, job_id))

    def request_cancel(self, job_id: str) -> Job:
        """Ask the job to stop; a final job answers as it is."""
        with self._database.write() as tx:
            tx.execute(update(jobs).where(jobs.c.id == job_id, is_open()).values(cancel_requested=True))
            return to_job(lock_job(tx, job_id))

    def finish_job(self, job_id: str, state: JobState, *, error: str | None = None) -> Job:
        """Set the state once; a final job stays as it is. Final states free the job's batches and work rows."""
        with self._database.write() as tx:
            lock_job(tx, job_id)
            if state.is_final:
                end_job(tx, job_id, state, error=error)
            else:
                this = (jobs.c.id == job_id, is_open(), jobs.c.state != JobState.PAUSED)
                tx.execute(update(jobs).where(*this).values(state=state, error=error))
            job = to_job(lock_job(tx, job_id))
        if job.state.is_final:
            free_job(self._database, job_id)
        return job


def add_job(
    database: Database,
    tx: Connection,
    catalog: str,
    generation: int,
    kind: JobKind,
    options: JobOptions,
    *,
    idempotency_key: str,
    known_before: int,
    priority: int = 0,
) -> Job:
    """A new running job's row. The caller holds the catalog's row and has looked for conflicts."""
    job_id = new_id()
    row = {"id": job_id, "catalog": catalog, "generation": generation, "idempotency_key": idempotency_key}
    row |= {"kind": kind, "state": JobState.RUNNING, "stages": [], "known_before": known_before}
    row |= {"priority": priority, "sequence": draw(database, tx, "job")}
    tx.execute(insert(jobs).values(row | _asked(options) | {"created_at": clock()}))
    return to_job(lock_job(tx, job_id))


def made_by_key(tx: Connection, catalog: str, idempotency_key: str) -> Job | None:
    """The job that an idempotency key made."""
    row = _by_key(tx, catalog, idempotency_key)
    return None if row is None else to_job(row)


def to_job(row: Row[Any]) -> Job:
    """A row of `jobs` as the value the core knows."""
    return Job(
        id=row.id,
        catalog=row.catalog,
        generation=row.generation,
        kind=JobKind(row.kind),
        state=JobState(row.state),
        options=_options(row),
        counts=Counts(**{name: getattr(row, f"n_{name}") for name in _COUNTS}),
        planned=row.planned,
        finished=row.finished,
        scan_complete=row.scan_complete,
        scan_cursor=row.scan_cursor,
        deletes_planned=row.deletes_planned,
        cancel_requested=row.cancel_requested,
        created_at=moment(row.created_at),
        started_at=None if row.started_at is None else moment(row.started_at),
        finished_at=None if row.finished_at is None else moment(row.finished_at),
        error=row.error,
        stages=tuple(StageStat(**stage) for stage in row.stages),
        wall_s=row.wall_s,
        manifest_problems=row.manifest_problems,
        confirmed_deletes=row.confirmed_deletes,
        priority=row.priority,
        reasons=to_reasons(row.reasons or {}),
        tripped=tuple(Reason(value) for value in row.tripped or ()),
    )


def _asked(options: JobOptions) -> dict[str, Any]:
    """A job's options as values of its row."""
    values: dict[str, Any] = {"include": list(options.include), "exclude": list(options.exclude)}
    values["allow_deletes"] = options.allow_deletes
    if options.reasons or options.failed_only:
        values["retry"] = {"reasons": list(options.reasons), "failed_only": options.failed_only}
    return values


def _options(row: Row[Any]) -> JobOptions:
    retry = row.retry or {}
    return JobOptions(
        include=tuple(row.include),
        exclude=tuple(row.exclude),
        allow_deletes=row.allow_deletes,
        reasons=tuple(Reason(value) for value in retry.get("reasons", ())),
        failed_only=retry.get("failed_only", False),
    )


def _check_priority(priority: int) -> None:
    if not LOWEST_PRIORITY <= priority <= HIGHEST_PRIORITY:
        raise ContractError(f"{priority} is no priority: give {LOWEST_PRIORITY} (last) to {HIGHEST_PRIORITY} (first)")


def count_items(catalog: str) -> Select[int]:
    """The number of keys that a catalog knows."""
    return select(func.count()).select_from(items).where(items.c.catalog == catalog)


def grown(counts: Counts) -> dict[str, Any]:
    """Values for an UPDATE of `jobs` that adds these counts."""
    return {f"n_{name}": jobs.c[f"n_{name}"] + value for name, value in asdict(counts).items() if value}


def _by_key(tx: Connection, catalog: str, idempotency_key: str) -> Row[Any] | None:
    this = (jobs.c.catalog == catalog, jobs.c.idempotency_key == idempotency_key)
    return tx.execute(select(jobs).where(*this)).one_or_none()


def _conflict(other: Row[Any]) -> JobConflictError:
    doing = _DOING[JobState(other.state)]
    return JobConflictError(
        f"job {other.id} of catalog {other.catalog!r} {doing}: wait for it or cancel it", job_id=other.id
    )
