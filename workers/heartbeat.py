"""A worker's sign of life: a thread that writes into the ledger, every few seconds, who is there and what it does."""

from __future__ import annotations

import os
import platform
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Final

from schemas.records import Lease, Pulse, WorkerKind, WorkerState
from workers.errors import CatalogError
from workers.ports import Workers
from workers.telemetry import log

BEAT_S: Final = 10.0
"""Half a lease: whoever looks sees a dead worker no later than the reconciler takes its batch back."""
SILENT_AFTER_S: Final = 6 * BEAT_S
"""A worker that missed five beats in a row is called silent: one restart of the database costs no more."""
_LEAVE_S: Final = 5.0
"""At most so long the end waits for a beat that hangs on the database."""


class Heartbeat:
    """Beats for the block. Nothing that happens to the database ends the thread or the process it beats for."""

    def __init__(
        self,
        ledger: Callable[[], Workers],
        *,
        worker: str,
        kind: WorkerKind,
        queues: tuple[str, ...] = (),
        every_s: float = BEAT_S,
    ) -> None:
        """`ledger` is asked for on the thread, at every beat, so that one that cannot be opened yet is tried again."""
        self._ledger = ledger
        self._worker = worker
        self._kind = kind
        self._queues = queues
        self._every_s = every_s
        self._lock = threading.Lock()
        self._batch: tuple[str, str] | None = None
        self._images = 0
        self._away = False
        self._stop = threading.Event()
        self._wake = threading.Event()
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)

    def __enter__(self) -> Heartbeat:
        """Beat at once, and then every so often."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Say goodbye: a worker that ended is not one that fell silent."""
        self._stop.set()
        self._wake.set()
        self._thread.join(_LEAVE_S)
        if not self._away and not self._thread.is_alive():
            with suppress(CatalogError):
                self._ledger().forget_worker(self._worker)

    def took(self, lease: Lease) -> None:
        """A batch was claimed: said at once, which is a write for every batch's 15 s of work."""
        with self._lock:
            self._batch = (lease.job_id, lease.batch_id)
        self._wake.set()

    def let_go(self, *, images: int) -> None:
        """It was closed or given back, with so many of its images finished here."""
        with self._lock:
            self._batch = None
            self._images += images

    def pulse(self) -> Pulse:
        """What is said now."""
        with self._lock:
            job_id, batch_id = self._batch or (None, None)
            return Pulse(
                id=self._worker,
                host=platform.node(),
                pid=os.getpid(),
                kind=self._kind,
                queues=self._queues,
                version=package_version(),
                state=WorkerState.BUSY if self._batch else WorkerState.IDLE,
                job_id=job_id,
                batch_id=batch_id,
                images_done=self._images,
            )

    def _run(self) -> None:
        while True:
            try:
                self._ledger().beat(self.pulse())
                self._away = False
            except Exception as error:  # noqa: BLE001 - a sign of life must never be what ends the living
                if not self._away:
                    log.warning("heartbeat not written, trying on", error=f"{type(error).__name__}: {error}")
                self._away = True
            self._wake.wait(self._every_s)
            self._wake.clear()
            if self._stop.is_set():
                return


@cache
def package_version() -> str:
    """Of this package; `source` where it runs without being installed."""
    try:
        return version("catalog-indexer")
    except PackageNotFoundError:
        return "source"
