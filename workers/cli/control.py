"""Commands that steer jobs, and the one that shows who works: pause, resume, priority, workers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from workers.cli.options import JobId, Json

if TYPE_CHECKING:
    from schemas.records import Job
    from workers.cli.output import Output


def pause(
    job: JobId,
    reason: Annotated[str | None, typer.Option(help="Why, for whoever looks at the job.")] = None,
    json: Json = False,
) -> None:
    """Let a job rest: the images in hand are finished, no batch is handed out until it is resumed."""
    from workers.cli.output import Output
    from workers.deployment.opening import open_deployment

    output = Output(json=json)
    with open_deployment() as there:
        found = there.pause(job, reason=reason)
    _tell(output, found, f"job {found.id[:8]} is paused; to go on: catalog resume {found.id[:8]}")


def resume(job: JobId, json: Json = False) -> None:
    """Let a paused job go on, or one whose command was interrupted."""
    from workers.cli.ingest import bring_job_to_end
    from workers.cli.output import Output
    from workers.deployment.opening import open_deployment

    output = Output(json=json)
    with open_deployment() as there:
        bring_job_to_end(output, there, there.resume(job))


def priority(
    job: JobId,
    value: Annotated[int, typer.Argument(min=-9, max=9, help="9 is served first, -9 last.", metavar="N")],
    json: Json = False,
) -> None:
    """Let a job be served before or after others from now on."""
    from workers.cli.output import Output
    from workers.deployment.opening import open_deployment

    output = Output(json=json)
    with open_deployment() as there:
        found = there.prioritise(job, value)
    _tell(output, found, f"job {found.id[:8]} has priority {found.priority}")


def _tell(output: Output, job: Job, text: str) -> None:
    from workers.job_json import job_json

    if output.json:
        output.emit(job_json(job))
    else:
        output.say(text)


def workers(json: Json = False) -> None:
    """Workers that gave a sign of life within a day: what each does, and since when one is silent."""
    from workers.cli.output import Output, duration
    from workers.deployment.opening import open_deployment
    from workers.heartbeat import SILENT_AFTER_S
    from workers.job_json import worker_json

    output = Output(json=json)
    with open_deployment() as there:
        found = there.workers()
    if json:
        for worker in found:
            output.emit(worker_json(worker))
        return
    if not found:
        output.say("no workers; on one machine a command works by itself")
        return
    rows = [
        (
            f"{worker.pulse.host}:{worker.pulse.pid}",
            worker.pulse.kind.value,
            worker.pulse.state.value if worker.silent_s <= SILENT_AFTER_S else "silent",
            worker.pulse.job_id[:8] if worker.pulse.job_id else None,
            worker.pulse.images_done,
            f"{duration(worker.silent_s)} ago",
            worker.started_at.strftime("%Y-%m-%d %H:%M"),
            " ".join(worker.pulse.queues) or None,
            worker.pulse.version,
        )
        for worker in found
    ]
    columns = ["worker", "kind", "state", "job", "#images", "#last beat", "started (UTC)", "queues", "version"]
    output.table(columns, rows)
