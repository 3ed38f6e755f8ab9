"""The process that does a server's work on the embedded default: jobs, what waits in the inbox, due schedules.

    python -m workers.web.work_process

It ends with its parent, whose end of the pipe at stdin then closes, and at SIGTERM: after the images in hand.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from datetime import UTC, datetime
from typing import Final

from workers import embedded
from workers.bootstrap import Process, open_process
from workers.errors import CatalogError, ConfigurationError
from workers.indexing.inbox import LINGER_S, take_due
from workers.indexing.schedules import tick
from workers.telemetry import log

TICK_S: Final = 5.0
"""How often schedules are looked at."""
FIRST_PAUSE_S: Final = 1.0
LONGEST_PAUSE_S: Final = 30.0
CALM_S: Final = 60.0
"""After so long without an error the next one is the first again."""


def main() -> int:
    """Work until told to end; the exit status."""
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group: the server says when it is time
    threading.Thread(target=_end_with_parent, args=(stop,), name="parent", daemon=True).start()
    try:
        with open_process() as process:
            work(process, stop)
    except ConfigurationError as error:
        log.error("the server cannot work on jobs", error=str(error))
        return os.EX_CONFIG
    return os.EX_OK


def work(process: Process, stop: threading.Event) -> None:
    """Work on everything until `stop`; what goes wrong is logged and tried again, ever later."""
    pause_s = FIRST_PAUSE_S
    while not stop.is_set():
        began = time.monotonic()
        try:
            embedded.work_on_all(process, stop=stop, also=_Rounds(process))
        except ConfigurationError:
            raise
        except CatalogError as error:
            pause_s = FIRST_PAUSE_S if time.monotonic() - began > CALM_S else min(LONGEST_PAUSE_S, 2 * pause_s)
            log.warning("work goes on later", error=str(error), in_s=pause_s)
            stop.wait(pause_s)


class _Rounds:
    """What becomes a job: keys that have waited for company, and schedules that are due."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self._desk = process.desk(lambda _job: None)  # whoever calls this finds the job by itself
        self._ticked_at = float("-inf")

    def __call__(self) -> None:
        take_due(self._process.ledger, publish=lambda *_: None, older_than_s=LINGER_S)
        if time.monotonic() - self._ticked_at >= TICK_S:
            self._ticked_at = time.monotonic()
            tick(self._desk, now=datetime.now(UTC))


def _end_with_parent(stop: threading.Event) -> None:
    while os.read(sys.stdin.fileno(), 1024):
        pass
    stop.set()


if __name__ == "__main__":
    sys.exit(main())
