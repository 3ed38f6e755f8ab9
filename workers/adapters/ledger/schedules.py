"""Schedules and their fires. What makes a fire happen once is their primary key, (schedule, time)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, Row, delete, insert, select, text, update

from schemas.records import Fire, FireState, JobKind, JobOptions, Schedule
from schemas.tables import DUE, fires, schedules
from workers.adapters.ledger.catalogs import find_catalog
from workers.adapters.ledger.database import Database, clock
from workers.adapters.ledger.part import LedgerPart, moment
from workers.errors import ContractError, NotFoundError

KEPT_FIRES_S: Final = 90 * 86_400.0
"""A quarter: 26,000 rows of a schedule that fires every five minutes."""


class SchedulesPart(LedgerPart):
    """Implements `workers.ports.ledger.Schedules`."""

    def add_schedule(self, schedule: Schedule) -> Schedule:
        """Keep a new schedule."""
        options = {
            "include": list(schedule.options.include),
            "exclude": list(schedule.options.exclude),
            "allow_deletes": schedule.options.allow_deletes,
            "model": schedule.model,
        }
        row: dict[str, Any] = {
            "name": schedule.name,
            "catalog": schedule.catalog,
            "kind": schedule.kind,
            "cron": schedule.cron,
        }
        row |= {"timezone": schedule.timezone, "options": options, "enabled": schedule.enabled}
        row |= {"next_at": schedule.next_at.timestamp()}
        with self._database.write() as tx:
            find_catalog(tx, schedule.catalog, lock=True)
            if tx.execute(select(schedules.c.name).where(schedules.c.name == schedule.name)).first() is not None:
                raise ContractError(f"there is a schedule {schedule.name!r} already: remove it first, or choose a name")
            tx.execute(insert(schedules).values(**row, created_at=clock()))
            return _to_schedule(_find(tx, schedule.name))

    def schedule(self, name: str) -> Schedule:
        """One schedule, or NotFoundError naming those there are."""
        with self._database.read() as tx:
            return _to_schedule(_find(tx, name))

    def schedules(self) -> Sequence[Schedule]:
        """All of them, by name."""
        with self._database.read() as tx:
            return [_to_schedule(row) for row in tx.execute(select(schedules).order_by(schedules.c.name))]

    def remove_schedule(self, name: str) -> None:
        """Forget a schedule and its fires; its jobs stay."""
        with self._database.write() as tx:
            _find(tx, name)
            tx.execute(delete(schedules).where(schedules.c.name == name))

    def enable_schedule(self, name: str, *, enabled: bool, next_at: datetime) -> Schedule:
        """Let it fire from `next_at` on, or not at all."""
        changed = {"enabled": enabled, "next_at": next_at.timestamp()}
        with self._database.write() as tx:
            tx.execute(update(schedules).where(schedules.c.name == name).values(**changed))
            return _to_schedule(_find(tx, name))

    def move_schedule(self, schedule: Schedule, *, next_at: datetime, fires: Sequence[Fire]) -> bool:
        """Note what became of the times up to now and when it fires next; only the first to move on does."""
        this = (schedules.c.name == schedule.name, schedules.c.next_at == schedule.next_at.timestamp())
        moved = update(schedules).where(*this, schedules.c.enabled.is_(True)).values(next_at=next_at.timestamp())
        with self._database.write() as tx:
            if tx.execute(moved).rowcount != 1:
                return False
            _note(self._database, tx, fires)
            _forget_old(tx, schedule.name)
        return True

    def add_fire(self, fire: Fire) -> None:
        """Note one fire out of turn; one that is known stays as it is."""
        with self._database.write() as tx:
            _find(tx, fire.schedule)
            _note(self._database, tx, [fire])

    def due_fires(self) -> Sequence[Fire]:
        """Fires that nobody has settled yet, oldest first."""
        query = select(fires).where(text(DUE)).order_by(fires.c.at, fires.c.schedule)
        with self._database.read() as tx:
            return [_to_fire(row) for row in tx.execute(query)]

    def settle_fire(
        self, schedule: str, at: datetime, *, state: FireState, job_id: str | None, detail: str | None
    ) -> Fire:
        """Say what became of a due fire; one that is settled answers as it is."""
        this = (fires.c.schedule == schedule, fires.c.at == at.timestamp())
        settled = {"state": state, "job_id": job_id, "detail": detail}
        with self._database.write() as tx:
            tx.execute(update(fires).where(*this, fires.c.state == FireState.DUE).values(**settled))
            row = tx.execute(select(fires).where(*this)).one_or_none()
        if row is None:
            raise NotFoundError(f"the schedule {schedule!r} has no fire at {at.isoformat()}")
        return _to_fire(row)

    def fires(self, schedule: str, *, limit: int = 5) -> Sequence[Fire]:
        """The last fires, newest first."""
        query = select(fires).where(fires.c.schedule == schedule).order_by(fires.c.at.desc()).limit(limit)
        with self._database.read() as tx:
            return [_to_fire(row) for row in tx.execute(query)]


def _note(database: Database, tx: Connection, noted: Sequence[Fire]) -> None:
    rows = [
        {"schedule": fire.schedule, "at": fire.at.timestamp(), "state": fire.state}
        | {"job_id": fire.job_id, "detail": fire.detail}
        for fire in noted
    ]
    if rows:
        tx.execute(database.insert(fires).on_conflict_do_nothing(), rows)


def _forget_old(tx: Connection, name: str) -> None:
    old = (fires.c.schedule == name, fires.c.at < clock() - KEPT_FIRES_S, fires.c.state != FireState.DUE)
    tx.execute(delete(fires).where(*old))


def _find(tx: Connection, name: str) -> Row[Any]:
    row = tx.execute(select(schedules).where(schedules.c.name == name)).one_or_none()
    if row is None:
        names = tx.execute(select(schedules.c.name).order_by(schedules.c.name).limit(20)).scalars().all()
        known = f"there are {', '.join(names)}" if names else "there is none yet; make one with: catalog schedule add"
        raise NotFoundError(f"there is no schedule {name!r}: {known}")
    return row


def _to_schedule(row: Row[Any]) -> Schedule:
    asked = row.options
    options = JobOptions(
        include=tuple(asked["include"]), exclude=tuple(asked["exclude"]), allow_deletes=asked["allow_deletes"]
    )
    return Schedule(
        name=row.name,
        catalog=row.catalog,
        kind=JobKind(row.kind),
        cron=row.cron,
        timezone=row.timezone,
        options=options,
        model=asked["model"],
        enabled=row.enabled,
        created_at=moment(row.created_at),
        next_at=moment(row.next_at),
    )


def _to_fire(row: Row[Any]) -> Fire:
    return Fire(
        schedule=row.schedule, at=moment(row.at), state=FireState(row.state), job_id=row.job_id, detail=row.detail
    )
