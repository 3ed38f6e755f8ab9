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
    from schemas.records import JobState
    from workers.bootstrap import open_process
    from workers.cli.output import Output
    from workers.errors import ContractError

    output = Output(json=json)
    with open_process() as process:
        found = process.ledger.job(job)
        why = f"paused{f': {reason}' if reason else ' by hand'}; to go on: catalog resume {found.id[:8]}"
        found = process.ledger.pause_job(found.id, error=why)
    if found.state is not JobState.PAUSED:
        raise ContractError(f"job {found.id[:8]} is {found.state.value}: there is nothing to pause")
    _tell(output, found, f"job {found.id[:8]} is paused; to go on: catalog resume {found.id[:8]}")


def resume(job: JobId, json: Json = False) -> None:
    """Let a paused job go on, or one whose command was interrupted."""
    from schemas.records import JobState
    from workers.bootstrap import open_process
    from workers.cli.ingest import bring_job_to_end
    from workers.cli.output import Output
    from workers.errors import ContractError

    output = Output(json=json)
    with open_process() as process:
        found = process.ledger.job(job)
        if found.state is JobState.AWAITING_CONFIRMATION:
            raise ContractError(f"job {found.id[:8]} waits for a confirmation: catalog confirm {found.id[:8]}")
        if found.state.is_final:
            raise ContractError(f"job {found.id[:8]} is {found.state.value}: there is nothing to resume")
        bring_job_to_end(output, process, process.ledger.resume_job(found.id))


def priority(
    job: JobId,
    value: Annotated[int, typer.Argument(min=-9, max=9, help="9 is served first, -9 last.", metavar="N")],
    json: Json = False,
) -> None:
    """Let a job be served before or after others from now on."""
    from workers.bootstrap import open_process
    from workers.cli.output import Output
    from workers.errors import ContractError

    output = Output(json=json)
    with open_process() as process:
        found = process.ledger.set_priority(process.ledger.job(job).id, value)
    if found.state.is_final:
        raise ContractError(f"job {found.id[:8]} is {found.state.value}: its priority means nothing any more")
    _tell(output, found, f"job {found.id[:8]} has priority {found.priority}")


def _tell(output: Output, job: Job, text: str) -> None:
    from workers.job_json import job_json

    if output.json:
        output.emit(job_json(job))
    else:
        output.say(text)


def workers(json: Json = False) -> None:
    """Workers that gave a sign of life within a day: what each does, and since when one is silent."""
    from workers.bootstrap import open_process
    from workers.cli.output import Output, duration
    from workers.heartbeat import SILENT_AFTER_S

    output = Output(json=json)
    with open_process() as process:
        found = process.ledger.workers()
    if json:
        for worker in found:
            pulse = worker.pulse
            output.emit(
                {
                    "worker": pulse.id,
                    "kind": pulse.kind.value,
                    "host": pulse.host,
                    "pid": pulse.pid,
                    "state": pulse.state.value if worker.silent_s <= SILENT_AFTER_S else "silent",
                    "job": pulse.job_id,
                    "batch": pulse.batch_id,
                    "images_done": pulse.images_done,
                    "queues": list(pulse.queues),
                    "version": pulse.version,
                    "started_at": worker.started_at.isoformat(),
                    "beat_at": worker.beat_at.isoformat(),
                    "silent_s": round(worker.silent_s, 1),
                }
            )
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
