"""Working on jobs beside serving, on the embedded default: a child process does it, supervised from here.

In the server's own process every image would compete with queries for the interpreter lock, and an image that ends its
worker would end the server; ADR 25 says more.
"""

from __future__ import annotations

import subprocess
import threading
import time
from types import TracebackType
from typing import Final

from workers.adapters.vector_index.python_child import module_command, module_environment
from workers.telemetry import log

MODULE: Final = "workers.web.work_process"
END_S: Final = 90.0
"""How long the images in hand may take at the end: more than any stage is let go without progress (CATALOG_STALL_S)."""
FIRST_PAUSE_S: Final = 1.0
LONGEST_PAUSE_S: Final = 60.0
CALM_S: Final = 120.0
"""A worker that lived so long did not die of its start: the next one is started at once."""


class Working:
    """Keeps a worker process alive for the block; leaving it ends the worker after the images in hand."""

    def __init__(self, *, end_s: float = END_S) -> None:
        """The worker has this process's environment, and with it its settings."""
        self._end_s = end_s
        self._ending = threading.Event()
        self._lock = threading.Lock()
        self._child: subprocess.Popen[bytes] | None = None
        self._thread = threading.Thread(target=self._supervise, name="working", daemon=True)

    def __enter__(self) -> Working:
        """Start it."""
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End it and wait for it; one that does not end in time is killed, which loses no job."""
        with self._lock:
            self._ending.set()
            if self._child is not None:
                self._child.terminate()
        self._thread.join(self._end_s)
        if self._thread.is_alive() and self._child is not None:
            log.error("the worker did not end in time and is killed", pid=self._child.pid)
            self._child.kill()
            self._thread.join()

    @property
    def pid(self) -> int | None:
        """Of the worker that lives now."""
        child = self._child
        return child.pid if child is not None and child.poll() is None else None

    def _supervise(self) -> None:
        pause_s = FIRST_PAUSE_S
        while not self._ending.is_set():
            began = time.monotonic()
            status = self._run_one()
            if self._ending.is_set():
                return
            pause_s = FIRST_PAUSE_S if time.monotonic() - began > CALM_S else min(LONGEST_PAUSE_S, 2 * pause_s)
            log.error("the worker has ended and is started again", status=status, in_s=pause_s)
            self._ending.wait(pause_s)

    def _run_one(self) -> int | None:
        with self._lock:
            if self._ending.is_set():
                return None
            try:
                # Its stdin is a pipe whose other end only this process has: however it dies, the worker hears of it.
                child = subprocess.Popen(
                    module_command(MODULE), stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, env=module_environment()
                )
            except OSError as error:
                log.error("no worker could be started", error=str(error))
                return None
            self._child = child
        with child:
            return child.wait()
