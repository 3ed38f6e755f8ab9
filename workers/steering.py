"""Steering a job from outside: what the command line and the server do alike."""

from __future__ import annotations

from schemas.records import Job, JobState
from workers.bootstrap import Process
from workers.dispatch import set_going
from workers.errors import ContractError


def pause(process: Process, job_id: str, *, reason: str | None = None) -> Job:
    """Let a job rest: the images in hand are finished, no batch is handed out until it is resumed.

    Raises:
        NotFoundError: no such job.
        ContractError: it does not run.
    """
    found = process.ledger.job(job_id)
    why = f"paused{f': {reason}' if reason else ' by hand'}; to go on: catalog resume {found.id[:8]}"
    paused = process.ledger.pause_job(found.id, error=why)
    if paused.state is not JobState.PAUSED:
        raise ContractError(f"job {paused.id[:8]} is {paused.state.value}: there is nothing to pause")
    return paused


def resume(process: Process, job_id: str) -> Job:
    """Let a paused job run again, or tell the workers of one that runs.

    Raises:
        NotFoundError: no such job.
        ContractError: it is final, or waits for a confirmation.
    """
    found = process.ledger.job(job_id)
    if found.state is JobState.AWAITING_CONFIRMATION:
        raise ContractError(f"job {found.id[:8]} waits for a confirmation: catalog confirm {found.id[:8]}")
    if found.state.is_final:
        raise ContractError(f"job {found.id[:8]} is {found.state.value}: there is nothing to resume")
    resumed = process.ledger.resume_job(found.id)
    set_going(process, resumed)
    return resumed


def confirm(process: Process, job_id: str) -> Job:
    """Allow the deletes that a job waits for.

    Raises:
        NotFoundError: no such job.
        ContractError: it does not wait for that.
    """
    confirmed = process.ledger.confirm_deletes(process.ledger.job(job_id).id)
    set_going(process, confirmed)
    return confirmed


def prioritise(process: Process, job_id: str, priority: int) -> Job:
    """Let a job be served before or after others from now on.

    Raises:
        NotFoundError: no such job.
        ContractError: it is final, or the priority is out of bounds.
    """
    found = process.ledger.set_priority(process.ledger.job(job_id).id, priority)
    if found.state.is_final:
        raise ContractError(f"job {found.id[:8]} is {found.state.value}: its priority means nothing any more")
    return found
