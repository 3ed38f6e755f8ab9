"""Commands about jobs: status, jobs, report, cancel."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from workers.cli.options import JobId, Json

if TYPE_CHECKING:
    from schemas.records import Job
    from workers.cli.output import Output
    from workers.deployment.port import Deployment

WATCH_S = 2.0
"""How often `--watch` looks: the rate it shows is over a minute."""
SHOWN_FAILURES = 10


def status(
    job: Annotated[
        str | None, typer.Argument(help="A job's id or its first characters; default: the newest.", metavar="[JOB]")
    ] = None,
    name: Annotated[str | None, typer.Option("--name", "-n", help="The newest job of this catalog.")] = None,
    watch: Annotated[bool, typer.Option("--watch", help="Look every 2 s until the job rests.")] = False,
    json: Json = False,
) -> None:
    """Where a job stands: counts, rate, remaining time, stages, what was left out and why."""
    from workers.cli.output import Output
    from workers.deployment.opening import open_deployment

    output = Output(json=json)
    with open_deployment() as there:
        found = _found(there, job, name)
        if watch:
            found = _watch(output, there, found)
        _show(output, there, found)


def _found(there: Deployment, job: str | None, name: str | None) -> Job:
    from workers.errors import NotFoundError

    if job is not None:
        return there.job(job)
    newest = there.jobs(catalog=name, limit=1)
    if not newest:
        raise NotFoundError("there is no job yet; make one with: catalog ingest /path/to/images")
    return newest[0]


def _watch(output: Output, there: Deployment, job: Job) -> Job:
    """Show where the job stands again and again; answers it at rest."""
    import time

    from schemas.records import JobState
    from workers.cli.report import activity_line
    from workers.job_json import activity_json, job_json

    while job.state is JobState.RUNNING:
        activity = there.activity(job.id)
        if output.json:
            output.emit(job_json(job) | activity_json(activity))
        else:
            output.say(f"{time.strftime('%H:%M:%S')}  {activity_line(job, activity)}")
        time.sleep(WATCH_S)
        job = there.job(job.id)
    return job


def _show(output: Output, there: Deployment, job: Job) -> None:
    from workers.cli.report import activity_line, show_job
    from workers.job_json import activity_json, job_json

    if output.json:
        output.emit(job_json(job) | activity_json(there.activity(job.id)))
        return
    show_job(output, job)
    if not job.state.is_final:
        output.say(f"  now     {activity_line(job, there.activity(job.id))}")
    _show_left_out(output, there, job)


def _show_left_out(output: Output, there: Deployment, job: Job) -> None:
    if job.reasons:
        output.say("")
        output.say("left out by this job, by reason:")
        for one in job.reasons:
            output.say(f"  {one.count:>7,}  {one.reason.value} ({one.kind.value})")
    for problem in there.manifest_problems(job.id, limit=10):
        output.say(f"  manifest line {problem.line}: {problem.problem}")


def report(
    job: JobId,
    failures: Annotated[
        Path | None, typer.Option(help="Write every image it left out to this CSV file.", dir_okay=False)
    ] = None,
    json: Json = False,
) -> None:
    """The kept report of a job, whether it runs or ended long ago: figures, stages, what was left out and why."""
    from workers.cli.export import write_failures
    from workers.cli.output import Output
    from workers.cli.report import show_job
    from workers.deployment.opening import open_deployment
    from workers.job_json import details_json, job_json

    output = Output(json=json)
    with open_deployment() as there:
        found = there.job(job)
        written = None if failures is None else write_failures(there, found.id, failures)
        if json:
            exported = {} if failures is None else {"failures": str(failures), "failures_written": written}
            output.emit(job_json(found) | details_json(found) | exported)
            return
        show_job(output, found)
        _show_left_out(output, there, found)
        if written is not None:
            output.say(f"wrote {written:,} images to {failures}")
        else:
            _show_failures(output, there, found)


def _show_failures(output: Output, there: Deployment, job: Job) -> None:
    rows = there.failures(job.id, limit=SHOWN_FAILURES)
    if not rows:
        return
    output.say("")
    output.table(["image", "reason", "detail", "#tries"], [(r.key, r.reason.value, r.detail, r.attempts) for r in rows])
    for reason in sorted({one.reason for one in job.reasons}):
        output.say(f"{reason.value}: {reason.advice}")
    output.say(f"all of them: catalog report {job.id[:8]} --failures FILE.csv")


def jobs(
    name: Annotated[str | None, typer.Option("--name", "-n", help="Only jobs of this catalog.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many, newest first.")] = 20,
    json: Json = False,
) -> None:
    """Jobs, newest first."""
    from workers.cli.output import Output, duration
    from workers.deployment.opening import open_deployment
    from workers.job_json import elapsed_s, job_json

    output = Output(json=json)
    with open_deployment() as there:
        found = there.jobs(catalog=name, limit=limit)
    if json:
        for job in found:
            output.emit(job_json(job))
        return
    if not found:
        output.say("no jobs yet; make one with: catalog ingest /path/to/images")
        return
    rows = [
        (
            job.id[:8],
            job.catalog,
            job.kind.value,
            job.state.value,
            job.priority or None,
            f"{job.finished:,}/{job.planned:,}",
            job.counts.indexed,
            job.counts.quarantined,
            duration(elapsed_s(job)),
            job.created_at.strftime("%Y-%m-%d %H:%M"),
        )
        for job in found
    ]
    columns = ["job", "catalog", "kind", "state", "#priority", "#done", "#indexed", "#quarantined", "#time"]
    output.table([*columns, "made (UTC)"], rows)


def cancel(job: JobId, json: Json = False) -> None:
    """Stop a job: the images in hand are finished, the rest is left. What is indexed stays."""
    from workers.cli.output import Output
    from workers.deployment.opening import open_deployment
    from workers.job_json import job_json

    output = Output(json=json)
    with open_deployment() as there:
        found = there.cancel(job)
    if json:
        output.emit(job_json(found))
    elif found.state.is_final:
        output.say(f"job {found.id[:8]} is {found.state.value}")
    else:
        output.say(f"job {found.id[:8]} will stop after the images in hand")
