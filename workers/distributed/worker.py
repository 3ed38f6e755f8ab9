"""A worker: Celery's own, with one spawned pool process that holds the model."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence

from schemas.records import Lane
from workers.celery_app import POOL_MODULE, QUEUES_OF_WORKER, make_app, queue_of
from workers.settings import Settings


def run_worker(settings: Settings, broker_url: str, *, lanes: Sequence[Lane], name: str | None = None) -> int:
    """Work until SIGTERM, which ends the batch in hand first; the exit status.

    `lanes` in the order in which they are looked at: a message of the first is taken before any of the second.

    Raises:
        ConfigurationError: the broker's URL is none.
    """
    app = make_app(broker_url)
    queues = [queue_of(lane) for lane in lanes]
    app.conf.update({"include": [POOL_MODULE], QUEUES_OF_WORKER: queues})
    worker = app.Worker(
        pool="prefork",
        concurrency=1,
        queues=",".join(queues),
        hostname=name or f"catalog-{os.getpid()}@{platform.node()}",
        loglevel=settings.log_level,
        without_heartbeat=True,
        without_mingle=True,
        without_gossip=True,
        quiet=True,
    )
    worker.start()
    return int(worker.exitcode or 0)
