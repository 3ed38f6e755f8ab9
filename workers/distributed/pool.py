"""What a worker's pool process imports: the tasks, around a workshop that the process opens for itself.

The worker's own process imports this too, to know the tasks' names; it never opens anything, so that it stays small and
can always be told to stop. A pool process is a fresh interpreter (spawn): a model opened before a fork hangs in the child.
"""

from __future__ import annotations

import functools
import os
import platform
import threading
from typing import Any

import psutil
from celery import Task, current_app, shared_task
from celery.signals import setup_logging, worker_process_init, worker_process_shutdown

from schemas.records import WorkerKind
from workers.bootstrap import Process, open_process
from workers.celery_app import ADVANCE, INDEX_BATCH, QUEUES_OF_WORKER, SUBMIT, TICK, publish
from workers.errors import CatalogError
from workers.heartbeat import Heartbeat
from workers.indexing.jobs import Workshop
from workers.settings import load_settings
from workers.tasks import Tasks
from workers.telemetry import configure_logging, log


@shared_task(name=ADVANCE)
def advance_job(*args: Any, **kwargs: Any) -> None:
    """Move a job one step."""
    _tasks().advance_job(_message(args, kwargs))


@shared_task(name=INDEX_BATCH)
def index_batch(*args: Any, **kwargs: Any) -> None:
    """Index one batch."""
    _tasks().index_batch(_message(args, kwargs))


@shared_task(name=TICK)
def tick(*args: Any, **kwargs: Any) -> None:
    """Set in motion what has come to rest."""
    _tasks().tick(_process(), _message(args, kwargs))


@shared_task(name=SUBMIT, bind=True, acks_late=True)
def submit(task: Task, *args: Any, **kwargs: Any) -> None:
    """Make the job that a message from elsewhere asks for. Delivered twice, it makes one: its own id is its key."""
    _tasks().submit(_process(), _message(args, kwargs), message_id=task.request.id)


def _message(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """The message of a call; None, which no task takes, when it is called in any other way than with one message."""
    return kwargs["message"] if not args and set(kwargs) == {"message"} else None


def worker_prefix(parent: psutil.Process | None = None) -> str:
    """What the pool processes of one worker are called, and those of no other one, not even of one with the same pid."""
    parent = parent or psutil.Process(os.getppid())
    return f"{platform.node()}:{parent.pid}-{parent.create_time():.2f}:"


@functools.cache
def _process() -> Process:
    return open_process()


@functools.cache
def _workshop() -> Workshop:
    app = current_app._get_current_object()
    return _process().workshop(
        lambda message, lane: publish(app, message, lane),
        worker=_name(),
        stop=threading.Event(),
        attendance=_heartbeat(),
    )


@functools.cache
def _name() -> str:
    return f"{worker_prefix()}{os.getpid()}"


@functools.cache
def _heartbeat() -> Heartbeat:
    queues = tuple(current_app.conf.get(QUEUES_OF_WORKER, ()))
    return Heartbeat(lambda: _process().ledger, worker=_name(), kind=WorkerKind.WORKER, queues=queues)


@functools.cache
def _tasks() -> Tasks:
    return Tasks(current_app._get_current_object(), _workshop, outage_attempts=None)


@setup_logging.connect
def _log_our_way(**_: Any) -> None:
    """Keep Celery from setting up its own: it would mask no credentials, and wrap our lines in its own."""
    configure_logging(load_settings().log_level)


@worker_process_init.connect
def _begin(**_: Any) -> None:
    """Take back what the predecessor of this process died with, and open the model before the first task.

    A worker has one pool process at a time, so whatever this worker's processes still hold has no owner any more. What
    fails here is tried again by the first task.
    """
    try:
        process = _process()
        _heartbeat().__enter__()
        process.ledger.reap(worker_prefix=worker_prefix())
        process.embedder(_likely_model(process))
        _tasks()
    except CatalogError as error:
        log.warning("the pool process is not ready yet", error=str(error))


@worker_process_shutdown.connect
def _end(**_: Any) -> None:
    if _heartbeat.cache_info().currsize:
        _heartbeat().__exit__(None, None, None)
    if _process.cache_info().currsize:
        _process().__exit__(None, None, None)


def _likely_model(process: Process) -> str:
    """The model of the newest open job, else the one that new catalogs get."""
    jobs = process.ledger.open_jobs()
    if jobs:
        return process.ledger.generation(jobs[-1].catalog, jobs[-1].generation).model_digest
    return process.chosen_bundle().card.digest
