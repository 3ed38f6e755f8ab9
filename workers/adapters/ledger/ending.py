"""How a job ends: its state is set once, its workers lose their leases, then its batches and work rows are freed."""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    Delete,
    Table,
    Text,
    Update,
    delete,
    exists,
    literal_column,
    select,
    update,
)

from schemas.records import JobState
from schemas.tables import BESIDE_SCANS, batches, failures, items, job_keys, jobs, work
from workers.adapters.ledger.database import Database, clock
from workers.adapters.ledger.part import BatchState

_ROWS: Final = 5000
"""Rows a freeing transaction takes: some 50 ms of SQLite's one writer."""
KEPT_REPORTS: Final = 30
"""Jobs of a catalog whose failures are kept one by one: a month of nightly runs. A store that refuses 100,000 images every
night would otherwise add as many rows a night for ever."""
FINAL: Final = tuple(state.value for state in JobState if state.is_final)


HANDS_OUT: Final = (JobState.RUNNING.value, JobState.AWAITING_CONFIRMATION.value)
"""States in which a job's batches may be planned and claimed."""
_OPEN: Final = [literal_column(f"'{state.value}'", Text) for state in JobState if not state.is_final]


def is_open() -> ColumnElement[bool]:
    """Condition on `jobs`: it is not final yet. Spelled as that of the partial indexes, so that they are used."""
    return jobs.c.state.in_(_OPEN)


def is_open_scan() -> ColumnElement[bool]:
    """Condition on `jobs`: it is not final yet, and no other scan of its catalog may run beside it."""
    return is_open() & (jobs.c.kind != literal_column(f"'{BESIDE_SCANS}'", Text))


def end_job(tx: Connection, job_id: str, state: JobState, *, error: str | None = None) -> None:
    """Give an open job a final state and take every lease on it away; a final one stays as it is."""
    ended = {"state": state, "error": error, "finished_at": clock(), "scan_token": None}
    if tx.execute(update(jobs).where(jobs.c.id == job_id, is_open()).values(**ended)).rowcount:
        tx.execute(update(batches).where(batches.c.job_id == job_id).values(state=BatchState.DONE, token=None))


def free_job(database: Database, job_id: str) -> None:
    """Delete a final job's work and batches and lift its marks, in bounded transactions. Until all of it is done,
    `leftovers` finds the job again.
    """
    delete_bounded(database, work, work.c.job_id == job_id)
    marked = items.c.vanished_by == job_id
    _in_stretches(database, update(items).values(vanished_by=None), items.c.key, (marked,))
    delete_bounded(database, batches, batches.c.job_id == job_id)
    delete_bounded(database, job_keys, job_keys.c.job_id == job_id)
    _forget_old_reports(database, job_id)
    with database.write() as tx:
        tx.execute(update(jobs).where(jobs.c.id == job_id).values(freed=True))


def _forget_old_reports(database: Database, job_id: str) -> None:
    """Drop the failures of the catalog's older jobs; their counts stay."""
    catalog = select(jobs.c.catalog).where(jobs.c.id == job_id).scalar_subquery()
    has_any = exists().where(failures.c.job_id == jobs.c.id)
    older = select(jobs.c.id).where(jobs.c.catalog == catalog, jobs.c.n_quarantined + jobs.c.n_failed > 0, has_any)
    with database.read() as tx:
        old = tx.execute(older.order_by(jobs.c.sequence.desc()).offset(KEPT_REPORTS)).scalars().all()
    for one in old:
        delete_bounded(database, failures, failures.c.job_id == one)


def leftovers(tx: Connection) -> list[str]:
    """Final jobs whose freeing was interrupted."""
    return list(tx.execute(select(jobs.c.id).where(jobs.c.freed.is_(False), jobs.c.state.in_(FINAL))).scalars())


def delete_bounded(database: Database, table: Table, *where: ColumnElement[bool]) -> None:
    """Delete the rows, a few thousand a transaction. `where` should fix the primary key up to its last column."""
    _in_stretches(database, delete(table), list(table.primary_key.columns)[-1], where)


def _in_stretches(
    database: Database, statement: Delete | Update, column: Column[Any], where: tuple[ColumnElement[bool], ...]
) -> None:
    behind = select(column).where(*where).order_by(column).offset(_ROWS).limit(1)
    while True:
        with database.write() as tx:
            end = tx.execute(behind).scalar_one_or_none()
            tx.execute(statement.where(*where) if end is None else statement.where(*where, column < end))
        if end is None:
            return
