"""A command's side of a job that workers elsewhere work on: set it going, follow it, stop it."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from schemas.messages import AdvanceJob
from schemas.records import Job, JobState
from workers.bootstrap import Process
from workers.celery_app import make_app, publish
from workers.errors import TransientError
from workers.telemetry import log

POLL_S: Final = 0.25
CANCEL_WAIT_S: Final = 5.0
"""How long `cancel` waits to be able to say that the job has ended."""


def set_going(process: Process, broker_url: str, job: Job) -> None:
    """Tell the workers of a job. When the broker is down they learn of it from the next tick."""
    try:
        publish(make_app(broker_url), AdvanceJob(job_id=job.id), job.lane)
    except TransientError as error:
        log.warning("workers learn of the job at their next tick", job=job.id, error=str(error))


def bring_to_end(
    process: Process, broker_url: str, job_id: str, *, on_progress: Callable[[Job, str | None], None]
) -> Job:
    """Follow a job until it rests. An exception inside (Ctrl-C) leaves it to the workers."""
    job = process.ledger.job(job_id)
    if job.state is JobState.RUNNING:
        set_going(process, broker_url, job)
    while job.state is JobState.RUNNING:
        time.sleep(POLL_S)
        with suppress(TransientError):  # a ledger that is away for a moment ends no job, so it ends no following either
            job = process.ledger.job(job_id)
            on_progress(job, None)
    return job


def cancel(process: Process, broker_url: str, job_id: str) -> Job:
    """Ask a job to stop and wait a moment for it; one that waits for a person ends at once."""
    job = process.ledger.request_cancel(job_id)
    if not job.state.is_final and job.state is not JobState.RUNNING:
        return process.ledger.finish_job(job_id, JobState.CANCELLED)
    set_going(process, broker_url, job)
    deadline = time.monotonic() + CANCEL_WAIT_S
    while not job.state.is_final and time.monotonic() < deadline:
        time.sleep(POLL_S)
        job = process.ledger.job(job_id)
    return job
