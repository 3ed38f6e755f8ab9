"""What the tasks do: parse the message, do the step, and when it fails say so in the ledger."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final, TypeVar

from celery import Celery

from schemas.messages import AdvanceJob, IndexBatch, Tick, parse, parse_request
from schemas.records import Job, JobState, Lane
from workers.bootstrap import Process
from workers.celery_app import ADVANCE, INDEX_BATCH, SUBMIT, publish, queue_of, waiting
from workers.errors import CatalogError, NotFoundError, TransientError
from workers.indexing import schedules
from workers.indexing.jobs import Workshop, advance, reconcile_all, run_batch
from workers.submission import submit
from workers.telemetry import log

LONGEST_PAUSE_S: Final = 30.0


M = TypeVar("M", AdvanceJob, IndexBatch, Tick)


def read(kind: type[M], message: object) -> M | None:
    """The message, or None for one that can never work: that is said in one line, and it is acknowledged like any other."""
    try:
        return parse(kind, message)
    except ValueError as error:
        log.error("message refused", error=str(error))
        return None


class Tasks:
    """The tasks of an application, around one workshop."""

    def __init__(self, app: Celery, workshop: Callable[[], Workshop], *, outage_attempts: int | None) -> None:
        """`workshop` is asked for at each call.

        After `outage_attempts` failures in a row because a dependency is down, the job ends as failed and the same
        command takes it up again; None waits for ever, as workers beside other workers should.
        """
        self._app = app
        self._workshop = workshop
        self._outage_attempts = outage_attempts
        self._outages: Counter[str] = Counter()

    def register(self) -> None:
        """Make them tasks of the application, for a worker in this process.

        Not shared with other applications: a later worker of the process would be given the tasks of an earlier one.
        """
        self._app.task(self.advance_job, name=ADVANCE, shared=False)
        self._app.task(self.index_batch, name=INDEX_BATCH, shared=False)

    def advance_job(self, message: object) -> None:
        """Move a job one step."""
        parsed = read(AdvanceJob, message)
        if parsed is not None:
            self._guarded(parsed.job_id, lambda workshop: advance(workshop, parsed.job_id))

    def index_batch(self, message: object) -> None:
        """Index one batch."""
        parsed = read(IndexBatch, message)
        if parsed is not None and self._guarded(parsed.job_id, lambda workshop: run_batch(workshop, parsed)):
            del self._outages[parsed.job_id]

    def tick(self, process: Process, message: object) -> None:
        """Make the jobs that are due and set in motion what has come to rest. What is down is tried again at the next
        tick.
        """
        if read(Tick, message) is None:
            return
        try:
            schedules.tick(process.desk(self._start), now=datetime.now(UTC))
            reconcile_all(self._workshop(), waiting=lambda lane: waiting(self._app, lane))
        except TransientError as error:
            log.warning("tick not done", error=str(error))

    def submit(self, process: Process, message: dict[str, Any], *, message_id: str) -> None:
        """Make the job that a message asks for and set it going. What can never work is logged and dropped.
        A dependency that is down puts it off.
        """
        try:
            request = parse_request(message)
            jobs = submit(process, request, idempotency_key=f"message/{message_id}", from_elsewhere=True)
        except TransientError as error:
            log.warning("request put off", message=message_id, error=str(error))
            body = {"message": message}
            self._app.send_task(
                SUBMIT, kwargs=body, task_id=message_id, queue=queue_of(Lane.INTERACTIVE), countdown=5.0
            )
            return
        except (ValueError, CatalogError) as error:
            log.error("request refused", message=message_id, error=str(error))
            return
        for job in jobs:
            if not job.state.is_final:
                self._start(job)

    def _start(self, job: Job) -> None:
        publish(self._app, AdvanceJob(job_id=job.id), job.lane)

    def _guarded(self, job_id: str, step: Callable[[Workshop], None]) -> bool:
        workshop = self._workshop()
        try:
            step(workshop)
        except TransientError as error:
            self._pause(workshop, job_id, error)
        except CatalogError as error:
            self._fail(workshop, job_id, str(error))
        except Exception as error:
            log.exception("a step failed unexpectedly", job=job_id)
            self._fail(workshop, job_id, f"internal error: {type(error).__name__}: {error}")
            raise
        else:
            return True
        return False

    def _fail(self, workshop: Workshop, job_id: str, text: str) -> None:
        """End the job. One that was dropped meanwhile, or never was, is only mentioned."""
        try:
            workshop.ledger.finish_job(job_id, JobState.FAILED, error=text)
        except NotFoundError:
            log.error("message about a job that the ledger does not have", job=job_id)

    def _pause(self, workshop: Workshop, job_id: str, error: TransientError) -> None:
        """Let the job rest and go on later: its batch was given back, and its next step publishes it again.

        Beside other workers nothing is sent: the tick finds the job, and a message that waits in a worker's memory could
        die with it.
        """
        if workshop.stop.is_set():
            return
        self._outages[job_id] += 1
        attempt = self._outages[job_id]
        log.warning("dependency down", job=job_id, attempt=attempt, error=str(error))
        if self._outage_attempts is None:
            return
        if attempt >= self._outage_attempts:
            workshop.ledger.finish_job(job_id, JobState.FAILED, error=str(error))
            return
        pause_s = min(LONGEST_PAUSE_S, 2.0**attempt) * random.uniform(0.5, 1.0)  # noqa: S311 - jitter
        lane = workshop.ledger.job(job_id).lane
        publish(self._app, AdvanceJob(job_id=job_id), lane, countdown_s=max(pause_s, error.retry_after_s or 0.0))
