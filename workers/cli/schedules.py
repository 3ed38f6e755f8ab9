"""Commands about schedules: `catalog schedule add | list | remove | pause | resume | run | tick`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from workers.cli.options import DEFAULT_NAME, Json

if TYPE_CHECKING:
    from collections.abc import Sequence

    from schemas.records import Fire, Job, Schedule
    from workers.bootstrap import Process
    from workers.cli.output import Output
    from workers.ports import Ledger

app = typer.Typer(help="Jobs that are made again and again, at set times.", no_args_is_help=True)
ScheduleName = Annotated[str, typer.Argument(help="The schedule.", metavar="NAME")]
SHOWN_FIRES = 3


@app.command()
def add(
    name: ScheduleName,
    cron: Annotated[str, typer.Option(help="Minute hour day month weekday, as '0 3 * * *'.")],
    catalog: Annotated[str, typer.Option("--catalog", "-c", help="The catalog.", envvar="CATALOG_NAME")] = DEFAULT_NAME,
    kind: Annotated[str, typer.Option(help="sync: what has changed; reindex: everything anew.")] = "sync",
    timezone: Annotated[str, typer.Option(help="IANA name of the zone the cron expression is read in.")] = "UTC",
    include: Annotated[list[str] | None, typer.Option(help="Only keys that match this glob (repeatable).")] = None,
    exclude: Annotated[list[str] | None, typer.Option(help="No keys that match this glob (repeatable).")] = None,
    allow_deletes: Annotated[
        bool, typer.Option("--allow-deletes", help="Delete vanished images however many they are.")
    ] = False,
    model: Annotated[str | None, typer.Option(help="Of a reindex: folder of the model bundle.")] = None,
    json: Json = False,
) -> None:
    """Bring a catalog in line with its source, or index it anew, at set times."""
    from datetime import UTC, datetime

    from schemas.records import JobKind, JobOptions, Schedule
    from workers.bootstrap import open_process
    from workers.cli.output import Output
    from workers.errors import ContractError
    from workers.indexing.schedules import new_schedule

    output = Output(json=json)
    if kind not in set(JobKind):
        raise ContractError(f"{kind!r} is no kind of job that can be scheduled: there are sync and reindex")
    now = datetime.now(UTC)
    wanted = Schedule(
        name=name,
        catalog=catalog,
        kind=JobKind(kind),
        cron=cron,
        timezone=timezone,
        options=JobOptions(include=tuple(include or ()), exclude=tuple(exclude or ()), allow_deletes=allow_deletes),
        model=model,
        created_at=now,
        next_at=now,
    )
    with open_process() as process:
        made = new_schedule(wanted, ledger=process.ledger, now=now)
    if json:
        output.emit(_schedule_json(made))
    else:
        output.say(f"{made.name}: {made.kind.value} of {made.catalog}, for the first time {_local(made)}")


@app.command("list")
def list_schedules(json: Json = False) -> None:
    """Schedules with their next time and what became of the last ones."""
    from workers.bootstrap import open_process
    from workers.cli.output import Output

    output = Output(json=json)
    with open_process() as process:
        ledger = process.ledger
        found = [(schedule, ledger.fires(schedule.name, limit=SHOWN_FIRES)) for schedule in ledger.schedules()]
        if json:
            for schedule, fires in found:
                output.emit(_schedule_json(schedule) | {"fires": [_fire_json(ledger, fire) for fire in fires]})
            return
        if not found:
            output.say(
                "no schedules yet; make one with: catalog schedule add nightly --cron '0 3 * * *' --catalog NAME"
            )
            return
        columns = ["schedule", "catalog", "kind", "cron", "zone", "next"]
        rows = [
            (s.name, s.catalog, s.kind.value, s.cron, s.timezone, _local(s) if s.enabled else "paused")
            for s, _ in found
        ]
        output.table(columns, rows)
        for schedule, fires in found:
            for fire in fires:
                output.say(f"{schedule.name}  {fire.at:%Y-%m-%d %H:%M:%S} UTC  {_became(ledger, fire)}")


@app.command()
def remove(name: ScheduleName, json: Json = False) -> None:
    """Forget a schedule; the jobs it made stay."""
    from workers.bootstrap import open_process
    from workers.cli.output import Output

    output = Output(json=json)
    with open_process() as process:
        process.ledger.remove_schedule(name)
    if json:
        output.emit({"schedule": name, "removed": True})
    else:
        output.say(f"removed {name}")


@app.command()
def pause(name: ScheduleName, json: Json = False) -> None:
    """Let a schedule rest."""
    _enable(name, enabled=False, json=json)


@app.command()
def resume(name: ScheduleName, json: Json = False) -> None:
    """Let a schedule go on; what was due while it rested is not made up for."""
    _enable(name, enabled=True, json=json)


@app.command()
def run(name: ScheduleName, json: Json = False) -> None:
    """Make a schedule's job now, once, whatever the clock says."""
    from datetime import UTC, datetime

    from schemas.records import FireState
    from workers.bootstrap import open_process
    from workers.cli.ingest import bring_job_to_end
    from workers.cli.output import Output
    from workers.deployment.local import LocalDeployment
    from workers.errors import ContractError
    from workers.indexing.schedules import run_now

    output = Output(json=json)
    with open_process() as process:
        fire = run_now(process.desk(lambda _: None), name, now=datetime.now(UTC))  # set going below
        if fire.state is not FireState.STARTED or fire.job_id is None:
            raise ContractError(f"{name} {fire.state.value}: {fire.detail}")
        bring_job_to_end(output, LocalDeployment(process), process.ledger.job(fire.job_id))


@app.command()
def tick(json: Json = False) -> None:
    """Make the jobs that are due and bring them to their end: for cron or a systemd timer, where no beat runs.

    With a broker the workers bring them to their end, and this does not wait for them.
    """
    from datetime import UTC, datetime

    from workers.bootstrap import open_process
    from workers.cli.output import Output
    from workers.dispatch import is_distributed, set_going
    from workers.indexing.schedules import tick as act

    output = Output(json=json)
    with open_process() as process:
        elsewhere = is_distributed(process)
        # Before the clock is asked: a job that was left over would be in the way of the next one.
        worst = 0 if elsewhere else _work_off(output, process, _left_over(process))
        fires = act(process.desk(lambda job: set_going(process, job)), now=datetime.now(UTC))
        for fire in fires:
            if json:
                output.emit(_fire_json(process.ledger, fire))
            else:
                output.say(f"{fire.schedule}  {fire.at:%Y-%m-%d %H:%M:%S} UTC  {_became(process.ledger, fire)}")
        made = [process.ledger.job(fire.job_id) for fire in fires if fire.job_id is not None]
        worst = worst if elsewhere else max(worst, _work_off(output, process, made))
    if worst:
        raise typer.Exit(worst)


def _work_off(output: Output, process: Process, jobs: Sequence[Job]) -> int:
    """Bring one job after the other to its end; the worst exit status any of them would be reported with."""
    from workers.cli.ingest import bring_job_to_end
    from workers.deployment.local import LocalDeployment

    worst = 0
    for job in jobs:
        try:
            bring_job_to_end(output, LocalDeployment(process), job)
        except typer.Exit as ended:
            if ended.exit_code > 128:  # interrupted: so is the rest
                raise
            worst = max(worst, ended.exit_code)
    return worst


def _left_over(process: Process) -> list[Job]:
    """Running jobs of schedules whose command has died: nobody else would go on with them on one machine."""
    from schemas.records import JobState
    from workers.embedded import somebody_works

    if somebody_works(process):
        return []
    ledger = process.ledger
    last = (fire for schedule in ledger.schedules() for fire in ledger.fires(schedule.name, limit=SHOWN_FIRES))
    jobs = [ledger.job(fire.job_id) for fire in last if fire.job_id is not None]
    return [job for job in jobs if job.state is JobState.RUNNING]


def _enable(name: str, *, enabled: bool, json: bool) -> None:
    from datetime import UTC, datetime

    from workers.bootstrap import open_process
    from workers.cli.output import Output
    from workers.indexing.schedules import enable

    output = Output(json=json)
    with open_process() as process:
        schedule = enable(name, enabled=enabled, ledger=process.ledger, now=datetime.now(UTC))
    if json:
        output.emit(_schedule_json(schedule))
    else:
        output.say(f"{name}: next {_local(schedule)}" if enabled else f"{name} rests")


def _local(schedule: Schedule) -> str:
    from zoneinfo import ZoneInfo

    return f"{schedule.next_at.astimezone(ZoneInfo(schedule.timezone)):%Y-%m-%d %H:%M %Z}"


def _became(ledger: Ledger, fire: Fire) -> str:
    if fire.job_id is not None:
        job = ledger.job(fire.job_id)
        return f"{fire.state.value}: job {job.id[:8]} is {job.state.value}"
    return fire.state.value + (f": {fire.detail}" if fire.detail else "")


def _schedule_json(schedule: Schedule) -> dict[str, Any]:
    return {
        "schedule": schedule.name,
        "catalog": schedule.catalog,
        "kind": schedule.kind.value,
        "cron": schedule.cron,
        "timezone": schedule.timezone,
        "include": list(schedule.options.include),
        "exclude": list(schedule.options.exclude),
        "allow_deletes": schedule.options.allow_deletes,
        "model": schedule.model,
        "enabled": schedule.enabled,
        "created_at": schedule.created_at.isoformat(),
        "next_at": schedule.next_at.isoformat() if schedule.enabled else None,
    }


def _fire_json(ledger: Ledger, fire: Fire) -> dict[str, Any]:
    return {
        "schedule": fire.schedule,
        "at": fire.at.isoformat(),
        "fire": fire.state.value,
        "job": fire.job_id,
        "job_state": ledger.job(fire.job_id).state.value if fire.job_id is not None else None,
        "detail": fire.detail,
    }
