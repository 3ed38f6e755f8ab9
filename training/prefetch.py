"""Values computed ahead of their use on one thread."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from typing import TypeVar

Value = TypeVar("Value")
_AHEAD = 3
"""Batches prepared ahead: enough to hide the preparation, little memory."""


def prefetched(make: Callable[[int], Value], indices: range) -> Iterator[Value]:
    """`make(i)` for every index in order; an exception of `make` is raised where its value would have come."""
    ready: queue.Queue[Value | _Failure] = queue.Queue(maxsize=_AHEAD)
    stop = threading.Event()

    def put(item: Value | _Failure) -> None:
        while not stop.is_set():
            try:
                ready.put(item, timeout=0.2)
                return
            except queue.Full:
                continue

    def work() -> None:
        for i in indices:
            if stop.is_set():
                return
            try:
                put(make(i))
            except BaseException as error:  # noqa: BLE001 - handed to the consumer, who raises it
                put(_Failure(error))
                return

    thread = threading.Thread(target=work, name="batches", daemon=True)
    thread.start()
    try:
        for _ in indices:
            item = ready.get()
            if isinstance(item, _Failure):
                raise item.error
            yield item
    finally:
        stop.set()
        thread.join()


class _Failure:
    def __init__(self, error: BaseException) -> None:
        self.error = error
