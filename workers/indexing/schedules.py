"""Schedules: jobs that are made again and again, each time exactly once.

    a time has come -> a row (schedule, time), written by whoever is first -> a job under a key made of both

Any number of processes call `tick` whenever they like. The row's primary key and the job's idempotency key make one
job of it; whoever dies between the two leaves a row without a job, which the next tick takes up.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from schemas.model_card import ModelCard
from schemas.records import Fire, FireState, Job, JobKind, Schedule
from workers.errors import CatalogError, ContractError, JobConflictError, NotFoundError, TransientError
from workers.indexing.cron import next_time, upcoming
from workers.indexing.scope import Scope
from workers.indexing.submit import Submitted, open_scan, submit_reindex, submit_sync
from workers.ports import Ledger, ObjectStore, VectorIndex
from workers.telemetry import log

NOTED_MISSES: Final = 100
"""Missed fires that are written down, the last ones: an outage of a weekend has thousands of a schedule of minutes."""
LOOKBACK: Final = timedelta(days=7)
"""Missed fires further back are not even counted (finding them takes some 30 us each); the last one still runs."""


@dataclass(frozen=True, kw_only=True, slots=True)
class OfferedModel:
    """A model that a new generation may be bound to."""

    card: ModelCard
    keep: Callable[[], None]
    """Makes sure that it stays at hand."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Desk:
    """What making a due job needs; built by the composition root."""

    ledger: Ledger
    index: VectorIndex
    open_store: Callable[[str], ObjectStore]
    open_model: Callable[[str | None], OfferedModel]
    """Of a bundle's folder; None: the one at hand."""
    start: Callable[[Job], None]
    """Sets a job in motion; calling it twice is harmless. TransientError is survived: the job's row is there."""


def new_schedule(schedule: Schedule, *, ledger: Ledger, now: datetime) -> Schedule:
    """Keep a schedule, due for the first time after `now`.

    Raises:
        ContractError: a bad name, cron expression, time zone or glob, a kind that cannot be scheduled, or the name is taken.
        NotFoundError: no such catalog.
    """
    if not schedule.name or len(schedule.name) > 64 or not schedule.name.isprintable() or "/" in schedule.name:
        raise ContractError(f"{schedule.name!r} cannot name a schedule: use 1 to 64 printable characters but '/'")
    if schedule.kind not in (JobKind.SYNC, JobKind.REINDEX):
        raise ContractError(f"a {schedule.kind.value} job cannot be scheduled: there are sync and reindex")
    narrowed = schedule.options.include or schedule.options.exclude or schedule.options.allow_deletes
    if schedule.kind is JobKind.REINDEX and narrowed:
        raise ContractError(
            "a reindex takes exactly the images that are known: leave out --include, --exclude and --allow-deletes"
        )
    if schedule.kind is JobKind.SYNC and schedule.model is not None:
        raise ContractError("a sync keeps the catalog's model: --model is for --kind reindex")
    Scope(include=schedule.options.include, exclude=schedule.options.exclude)
    first = next_time(schedule.cron, schedule.timezone, after=now)
    return ledger.add_schedule(replace(schedule, next_at=first))


def enable(name: str, *, enabled: bool, ledger: Ledger, now: datetime) -> Schedule:
    """Let a schedule fire, or rest. What was due while it rested is not made up for."""
    schedule = ledger.schedule(name)
    first = next_time(schedule.cron, schedule.timezone, after=now)
    return ledger.enable_schedule(name, enabled=enabled, next_at=first)


def tick(desk: Desk, *, now: datetime) -> Sequence[Fire]:
    """Act on every schedule that is due; the fires that were settled. To be called every few seconds, by anyone.

    After an outage a schedule's last missed time is made up for, once; the others are noted as missed. A schedule that
    cannot be acted on (its store is down) stays due and stops no other.
    """
    for schedule in desk.ledger.schedules():
        if schedule.enabled and schedule.next_at <= now:
            try:
                _move_on(desk.ledger, schedule, now)
            except ContractError as error:  # its time zone has gone with an upgrade, say
                log.warning("schedule is stuck", schedule=schedule.name, error=str(error))
    settled = []
    for fire in desk.ledger.due_fires():
        try:
            settled.append(_act(desk, fire))
        except NotFoundError:
            continue  # the schedule was removed meanwhile
        except TransientError as error:
            log.warning("schedule is due, but its job cannot be made yet", schedule=fire.schedule, error=str(error))
    return settled


def run_now(desk: Desk, name: str, *, now: datetime) -> Fire:
    """Act on a schedule once, out of turn, also on one that rests; its times stay as they are.

    Raises:
        NotFoundError: no such schedule.
        TransientError: a dependency is down; noted as failed.
    """
    fire = Fire(schedule=name, at=now, state=FireState.DUE)
    desk.ledger.add_fire(fire)
    try:
        return _act(desk, fire)
    except TransientError as error:
        desk.ledger.settle_fire(name, now, state=FireState.FAILED, job_id=None, detail=str(error))
        raise


def _move_on(ledger: Ledger, schedule: Schedule, now: datetime) -> None:
    """Note the times that have come, and the next one: the last of them is due, the earlier ones were missed."""
    times = deque([schedule.next_at], maxlen=NOTED_MISSES + 1)
    next_at = None
    for at in upcoming(schedule.cron, schedule.timezone, after=max(schedule.next_at, now - LOOKBACK)):
        if at > now:
            next_at = at
            break
        times.append(at)
    if next_at is None:
        raise ContractError(f"the cron expression {schedule.cron!r} is never due again")
    *missed, due = times
    why = f"nobody looked in time; made up for by the run of {due.isoformat()}"
    noted = [Fire(schedule=schedule.name, at=at, state=FireState.MISSED, detail=why) for at in missed]
    noted.append(Fire(schedule=schedule.name, at=due, state=FireState.DUE))
    ledger.move_schedule(schedule, next_at=next_at, fires=noted)


def _act(desk: Desk, fire: Fire) -> Fire:
    """Make the fire's job, or find the one that was made of it, and settle the fire."""
    ledger = desk.ledger
    schedule, key = ledger.schedule(fire.schedule), f"schedule/{fire.schedule}/{fire.at.isoformat()}"
    other = open_scan(ledger, schedule.catalog)
    job = ledger.job_by_key(schedule.catalog, key)  # after looking for others: then `other` cannot be ours unnoticed
    if job is None and other is None:
        try:
            other = _submit(desk, schedule, key).job
        except JobConflictError as conflict:
            other = ledger.job(conflict.job_id)
        except TransientError:
            raise
        except CatalogError as error:
            return ledger.settle_fire(fire.schedule, fire.at, state=FireState.FAILED, job_id=None, detail=str(error))
        job = ledger.job_by_key(schedule.catalog, key)
    if job is None:
        why = "another scan of the catalog was not finished"
        if other is not None:
            why = f"one scan at a time: {other.kind.value} {other.id[:8]} was not finished ({other.state.value})"
        return ledger.settle_fire(fire.schedule, fire.at, state=FireState.SKIPPED, job_id=None, detail=why)
    settled = ledger.settle_fire(fire.schedule, fire.at, state=FireState.STARTED, job_id=job.id, detail=None)
    if not job.state.is_final:
        try:
            desk.start(job)
        except TransientError as error:
            log.warning("a due job waits for the broker", job=job.id, error=str(error))
    return settled


def _submit(desk: Desk, schedule: Schedule, key: str) -> Submitted:
    model = desk.open_model(schedule.model)
    if schedule.kind is JobKind.REINDEX:
        return submit_reindex(
            schedule.catalog,
            ledger=desk.ledger,
            index=desk.index,
            card=model.card,
            keep_bundle=model.keep,
            idempotency_key=key,
        )
    return submit_sync(
        schedule.catalog,
        store=desk.open_store(desk.ledger.catalog(schedule.catalog).source_url),
        ledger=desk.ledger,
        index=desk.index,
        card=model.card,
        keep_bundle=model.keep,
        options=schedule.options,
        idempotency_key=key,
    )
