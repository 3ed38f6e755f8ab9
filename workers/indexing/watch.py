"""Watching a batch: its lease is renewed, and an image that never ends is named before the process is ended."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from schemas.records import WorkItem
from workers.errors import CatalogError, LeaseLostError, TransientError
from workers.telemetry import log


class Watch:
    """A thread beside a batch. It counts its own ticks instead of reading a clock, so a suspended machine is no stall."""

    def __init__(
        self,
        *,
        tick_s: float,
        stall_ticks: int,
        renew: Callable[[], bool],
        on_stall: Callable[[Sequence[tuple[WorkItem, ...]]], None],
    ) -> None:
        """`renew` extends the lease and answers whether to stop (a cancel, a pause); `on_stall` gets the images in
        hand, together those that were worked on together."""
        self._tick_s = tick_s
        self._stall_ticks = stall_ticks
        self._renew = renew
        self._on_stall = on_stall
        self._held: dict[int, tuple[tuple[WorkItem, ...], int]] = {}
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._ticks = 0
        self._thread = threading.Thread(target=self._run, name="lease-watch", daemon=True)
        self.stop_requested = threading.Event()
        self.lost: CatalogError | None = None

    def __enter__(self) -> Watch:
        """Start watching."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop watching."""
        self._stop.set()
        self._thread.join()

    @contextmanager
    def holding(self, *items: WorkItem) -> Iterator[None]:
        """The block works on these images, and on nothing that may wait for a network."""
        token = threading.get_ident()
        with self._lock:
            self._held[token] = (items, self._ticks)
        try:
            yield
        finally:
            with self._lock:
                self._held.pop(token, None)

    def _run(self) -> None:
        while not self._stop.wait(self._tick_s):
            with self._lock:
                self._ticks += 1
                held = list(self._held.values())
            stuck = [items for items, since in held if self._ticks - since > self._stall_ticks]
            if stuck:
                self._on_stall(stuck)
            try:
                if self._renew():
                    self.stop_requested.set()
            except LeaseLostError as error:
                self.lost = error
                return
            except TransientError as error:
                log.warning("lease not renewed", error=str(error))
