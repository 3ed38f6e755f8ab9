"""A beat: Celery's scheduler with one entry, the tick. Any number of them may run, for a tick does nothing twice."""

from __future__ import annotations

import os
import platform
import signal
from datetime import timedelta
from typing import Any, Final

from celery.beat import ScheduleEntry, Scheduler, Service

from schemas.messages import Tick
from schemas.records import Lane, WorkerKind
from workers.bootstrap import Process
from workers.celery_app import TICK, make_app, queue_of, waiting
from workers.errors import TransientError
from workers.heartbeat import Heartbeat
from workers.telemetry import log

TICK_S: Final = 5.0
WAITING_TICKS: Final = 20
"""When so many messages wait, nobody works off the lane: another tick would only fill the broker's memory."""


class TickScheduler(Scheduler):  # type: ignore[misc]
    """Keeps its state in memory; Celery's default writes a pickle to the working directory."""

    def apply_entry(self, entry: ScheduleEntry, producer: Any = None) -> None:
        """Send the tick, unless ticks are piling up."""
        try:
            if waiting(self.app, Lane.INTERACTIVE) >= WAITING_TICKS:
                log.warning("no worker takes interactive messages: tick left out")
                return
        except TransientError as error:
            log.warning("tick not sent", error=str(error))
            return
        super().apply_entry(entry, producer=producer)


def run_beat(process: Process, broker_url: str, *, tick_s: float = TICK_S) -> None:
    """Send ticks until SIGTERM or Ctrl-C.

    Raises:
        ConfigurationError: the broker's URL is none.
    """
    app = make_app(broker_url)
    app.conf.beat_schedule = {
        "tick": {
            "task": TICK,
            "schedule": timedelta(seconds=tick_s),
            "kwargs": {"message": Tick().model_dump(mode="json")},
            "options": {"queue": queue_of(Lane.INTERACTIVE), "expires": 6 * tick_s},
        }
    }
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    name = f"{platform.node()}:beat:{os.getpid()}"
    with Heartbeat(lambda: process.ledger, worker=name, kind=WorkerKind.BEAT):
        Service(app, max_interval=min(1.0, tick_s), scheduler_cls=TickScheduler).start()
