"""How many requests one caller may send: a token bucket each (GCRA, the leaky bucket as a meter of ITU-T I.371)."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

MAX_CALLERS: Final = 100_000
"""Buckets that are remembered; the one that was longest idle is forgotten first, and it is full by then."""
BURST_S: Final = 10.0
"""A caller that was idle may send at once what it is allowed in so many seconds."""
_PERIODS: Final = {"second": 1.0, "minute": 60.0, "hour": 3600.0}


class Rates:
    """Counts requests by caller. For one event loop; the limit is this process's own."""

    def __init__(self, limit: str, *, clock: Callable[[], float] = time.monotonic) -> None:
        """`limit`: as `100/second`, or `off`."""
        self._interval_s = 0.0
        if limit != "off":
            count, _, period = limit.partition("/")
            self._interval_s = _PERIODS[period] / int(count)
        self._burst_s = max(BURST_S, self._interval_s)
        self._clock = clock
        self._full_at: OrderedDict[str, float] = OrderedDict()

    def take(self, caller: str) -> float:
        """Count a request; 0, or the seconds after which the caller may come again."""
        if not self._interval_s:
            return 0.0
        now = self._clock()
        at = max(now, self._full_at.get(caller, now)) + self._interval_s
        if (wait := at - now - self._burst_s) > 1e-9:
            return wait
        self._full_at[caller] = at
        self._full_at.move_to_end(caller)
        if len(self._full_at) > MAX_CALLERS:
            self._full_at.popitem(last=False)
        return 0.0
