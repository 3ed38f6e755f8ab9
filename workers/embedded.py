"""The embedded default: one worker for a home, as a thread of whichever command needs it, on an in-process broker.

The worker lock says who that is. Because there is only one, whoever takes the lock knows that leases of embedded
workers have no owner any more, and takes them back at once instead of waiting for them to run out.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import platform
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TextIO

from celery import Celery
from celery.worker import WorkController, state

from schemas.messages import AdvanceJob
from schemas.records import Job, JobState, WorkerKind
from workers.bootstrap import Process
from workers.celery_app import make_app, publish
from workers.errors import CatalogError
from workers.heartbeat import Heartbeat
from workers.indexing.jobs import Workshop, reconcile, resume
from workers.indexing.jobs import cancel as stop_job
from workers.tasks import Tasks

LOCK: Final = "worker.lock"
POLL_S: Final = 0.1
"""How often progress is read from the ledger."""
LONGEST_POLL_S: Final = 0.4
"""The same for a job that takes long: reading it ten times a second would take a twentieth of a core."""
OUTAGE_ATTEMPTS: Final = 3
"""A person waits for this command: after so many failures in a row it says what is down instead of waiting on."""
CANCEL_WAIT_S: Final = 5.0
"""How long `cancel` waits to be able to say that the job has ended."""
WAKE: Final = "catalog.wake"
ELSEWHERE: Final = "another ingest is at work in this home; waiting for it"
EVERY_JOB: Final = "*"
"""What the lock's file says where the worker works on whatever there is."""
LOOK_S: Final = 0.25
"""How often such a worker looks for jobs."""

OnProgress = Callable[[Job, str | None], None]
"""Gets the job as it stands, and what a person should know about who works on it, if anything."""


def bring_to_end(process: Process, job_id: str, *, on_progress: OnProgress) -> Job:
    """Work on a job until it rests: final, paused, or waiting for a confirmation.

    When another process is this home's worker, follow it, and step in if it goes away. An exception inside
    (Ctrl-C) stops the worker after the images in hand; the job stays, and the same call takes it up again.
    """
    while True:
        with _worker_lock(process.home) as lock:
            if lock is not None:
                lock.write(job_id)
                lock.flush()
                return _work(process, job_id, on_progress)
        job = process.ledger.job(job_id)
        on_progress(job, ELSEWHERE)
        if job.state is not JobState.RUNNING:
            return job
        time.sleep(POLL_S)


def cancel(process: Process, job_id: str) -> Job:
    """Stop a job: through its worker, or at once where nobody works on it."""
    ledger = process.ledger
    job = stop_job(ledger, job_id)
    deadline = time.monotonic() + CANCEL_WAIT_S
    while not job.state.is_final:
        with _worker_lock(process.home) as lock:
            worked_on = (process.home / LOCK).read_text(encoding="ascii").strip()
            idle = lock is not None or worked_on not in (job_id, EVERY_JOB)
            if idle or job.state.waits_for_a_person:
                return ledger.finish_job(job_id, JobState.CANCELLED)
        if time.monotonic() >= deadline:
            break
        time.sleep(POLL_S)
        job = ledger.job(job_id)
    return job


def somebody_works(process: Process) -> bool:
    """Whether some process is this home's worker now."""
    with _worker_lock(process.home) as lock:
        return lock is None


def work_on_all(process: Process, *, stop: threading.Event, also: Callable[[], None]) -> None:
    """Be this home's worker and work on every job there is, also those that come, until `stop` is set; what is in hand is
    finished then. `also` is called each time it looks for jobs. While another process is the worker, wait.

    Raises:
        CatalogError: ledger or index do not answer; to be called again.
    """
    while not stop.is_set():
        with _worker_lock(process.home) as lock:
            if lock is not None:
                lock.write(EVERY_JOB)
                lock.flush()
                _work_on_all(process, stop, also)
        stop.wait(LOOK_S)


def _work_on_all(process: Process, stop: threading.Event, also: Callable[[], None]) -> None:
    ledger = process.ledger
    ledger.reap(worker_prefix=_worker_prefix(process))
    with _worker(process, outage_attempts=None) as worker:
        under_way: dict[str, _Motion] = {}
        while not stop.wait(LOOK_S):
            if not worker.thread.is_alive():
                raise CatalogError("the worker thread ended unexpectedly")
            also()
            running = {job.id: job for job in ledger.open_jobs() if job.state is JobState.RUNNING}
            for job in running.values():
                if job.id not in under_way:
                    resume(ledger, job)
                    publish(worker.app, AdvanceJob(job_id=job.id), job.lane)
                    under_way[job.id] = _Motion(job)
                elif under_way[job.id].is_lost(job, after_s=process.settings.lease_s):
                    reconcile(worker.workshop, job.id)
            for gone in under_way.keys() - running.keys():
                del under_way[gone]


class _Motion:
    """Whether a job moves. Where it has not for as long as a lease lasts, a message or a hand-over may have been lost."""

    def __init__(self, job: Job) -> None:
        self._at = self._place(job)
        self._since = time.monotonic()

    def is_lost(self, job: Job, *, after_s: float) -> bool:
        """Whether it has stood still for so long; asked again, it is counted anew."""
        now = time.monotonic()
        if self._place(job) != self._at:
            self._at, self._since = self._place(job), now
        elif now - self._since >= after_s:
            self._since = now
            return True
        return False

    @staticmethod
    def _place(job: Job) -> tuple[int, str | None]:
        return job.finished, job.scan_cursor


def _work(process: Process, job_id: str, on_progress: OnProgress) -> Job:
    ledger = process.ledger
    ledger.reap(worker_prefix=_worker_prefix(process))
    job = ledger.job(job_id)
    if job.state is not JobState.RUNNING:
        return job
    resume(ledger, job)
    with _worker(process) as worker:
        publish(worker.app, AdvanceJob(job_id=job.id), job.lane)
        motion, began = _Motion(job), time.monotonic()
        while True:
            job = ledger.job(job_id)
            on_progress(job, None)
            if job.state is not JobState.RUNNING:
                return job
            if not worker.thread.is_alive():
                raise CatalogError("the worker thread ended unexpectedly; run the same command again to go on")
            if motion.is_lost(job, after_s=process.settings.lease_s):
                reconcile(worker.workshop, job.id)
            time.sleep(min(LONGEST_POLL_S, max(POLL_S / 2, (time.monotonic() - began) / 20)))


def _worker_prefix(process: Process) -> str:
    """What all workers of this home are called, and no worker of another one."""
    home = hashlib.sha256(f"{platform.node()}\0{process.home.resolve()}".encode()).hexdigest()[:12]
    return f"embedded:{home}:"


@contextmanager
def _worker_lock(home: Path) -> Iterator[TextIO | None]:
    """Be this home's worker for the block, if nobody else is; the file names the job that is worked on."""
    with (home / LOCK).open("a+", encoding="ascii") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield None
            return
        file.truncate(0)
        yield file


@dataclass(frozen=True, kw_only=True, slots=True)
class _Worker:
    app: Celery
    workshop: Workshop
    thread: threading.Thread


@contextmanager
def _worker(process: Process, *, outage_attempts: int | None = OUTAGE_ATTEMPTS) -> Iterator[_Worker]:
    """A Celery worker with a solo pool on a thread, for the block."""
    app = make_app()
    stop = threading.Event()
    name = f"{_worker_prefix(process)}{os.getpid()}"
    heartbeat = Heartbeat(lambda: process.ledger, worker=name, kind=WorkerKind.EMBEDDED)
    workshop = process.workshop(
        lambda message, lane: publish(app, message, lane), worker=name, stop=stop, attendance=heartbeat
    )
    Tasks(app, lambda: workshop, outage_attempts=outage_attempts).register()
    app.task(_wake, name=WAKE, shared=False)
    controller = WorkController(
        app=app,
        pool_cls="solo",
        concurrency=1,
        hostname=f"embedded@{os.getpid()}",
        loglevel="ERROR",
        without_heartbeat=True,
        without_mingle=True,
        without_gossip=True,
        quiet=True,
    )
    thread = threading.Thread(target=_run, args=(controller,), name="celery-worker", daemon=True)
    thread.start()
    with heartbeat:
        try:
            yield _Worker(app=app, workshop=workshop, thread=thread)
        finally:
            stop.set()
            state.should_stop = os.EX_OK
            # The worker looks at `should_stop` between messages, and takes one more after it has seen it: do not make it
            # wait.
            for _ in range(2):
                app.send_task(WAKE)
            thread.join()
            state.should_stop = None


def _wake() -> None:
    """Nothing: its message makes the worker look up."""


def _run(controller: WorkController) -> None:
    controller.app.set_current()  # on this thread alone: Celery looks up a task in the current application
    try:
        controller.start()
    except SystemExit:
        return
