"""How often and how long a transient fault is tried again: exponential back-off with full jitter, bounded in time."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

from tenacity import RetryCallState, Retrying, retry_if_exception_type, stop_after_delay, wait_random_exponential

from workers.errors import TransientError

T = TypeVar("T")

FIRST_WAIT_S = 0.2
LONGEST_WAIT_S = 8.0
"""AWS's "full jitter" shape: a random wait of up to first * 2^n, capped, so that many workers do not return in step."""

_exponential = wait_random_exponential(multiplier=FIRST_WAIT_S, max=LONGEST_WAIT_S)


def wait_s(state: RetryCallState) -> float:
    """How long to wait before the next try: as long as the dependency asks for, at least the back-off."""
    error = state.outcome.exception() if state.outcome is not None else None
    asked = error.retry_after_s if isinstance(error, TransientError) else None
    return max(asked or 0.0, _exponential(state))


def with_retries(call: Callable[[], T], *, give_up_after_s: float, stop: threading.Event | None = None) -> T:
    """Run `call` until it does not raise `TransientError`; the last one is raised when the time is up or `stop` is set."""
    waiter = stop or threading.Event()

    def sleep(seconds: float) -> None:
        waiter.wait(seconds)

    retrying = Retrying(
        retry=retry_if_exception_type(TransientError),
        wait=wait_s,
        stop=lambda state: waiter.is_set() or stop_after_delay(give_up_after_s)(state),
        sleep=sleep,
        reraise=True,
    )
    return retrying(call)
