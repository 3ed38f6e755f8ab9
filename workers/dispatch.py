"""Who works on a job: a worker inside this command (the embedded default), or workers elsewhere behind a broker."""

from __future__ import annotations

from typing import TYPE_CHECKING

from schemas.records import Job
from workers.bootstrap import Process

if TYPE_CHECKING:
    from workers.embedded import OnProgress  # brings Celery along, which commands that only ask do not need


def is_distributed(process: Process) -> bool:
    """Whether workers elsewhere do the work."""
    return process.settings.broker_url is not None


def somebody_works(process: Process) -> bool:
    """Whether a submitted job is worked on without this process: elsewhere, or by another process of this home."""
    if is_distributed(process):
        return True
    from workers import embedded

    return embedded.somebody_works(process)


def bring_to_end(process: Process, job_id: str, *, on_progress: OnProgress) -> Job:
    """Have a job worked on until it rests: final, paused, or waiting for a confirmation.

    An exception inside (Ctrl-C) stops a worker of this process after the images in hand; workers elsewhere go on.
    """
    broker_url = process.settings.broker_url
    if broker_url is None:
        from workers import embedded

        return embedded.bring_to_end(process, job_id, on_progress=on_progress)
    from workers.distributed import follow

    return follow.bring_to_end(process, broker_url, job_id, on_progress=on_progress)


def cancel(process: Process, job_id: str) -> Job:
    """Stop a job: through its workers, or at once where nobody works on it."""
    broker_url = process.settings.broker_url
    if broker_url is None:
        from workers import embedded

        return embedded.cancel(process, job_id)
    from workers.distributed import follow

    return follow.cancel(process, broker_url, job_id)


def set_going(process: Process, job: Job) -> None:
    """Tell workers elsewhere of a job without waiting for it; on the embedded default nothing happens by itself."""
    broker_url = process.settings.broker_url
    if broker_url is not None:
        from workers.distributed import follow

        follow.set_going(process, broker_url, job)
