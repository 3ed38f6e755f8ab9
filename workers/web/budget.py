"""A bound on the bytes of all uploads at once."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final


class BusyError(Exception):
    """The bytes were not to be had in time."""


WAIT_S: Final = 5.0
"""How long an upload waits for others to end before its caller is asked to come back later."""


class UploadBudget:
    """Bytes that uploads may hold together; first come, first served. For one event loop."""

    def __init__(self, total: int, *, wait_s: float = WAIT_S) -> None:
        self._total = total
        self._free = total
        self._wait_s = wait_s
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    @asynccontextmanager
    async def hold(self, size: int) -> AsyncIterator[None]:
        """Hold so many bytes for the block; more than there are count as all of them.

        Raises:
            BusyError: they were not to be had in time.
        """
        size = min(size, self._total)
        await self._take(size)
        try:
            yield
        finally:
            self._free += size
            self._serve()

    async def _take(self, size: int) -> None:
        if not self._waiting and size <= self._free:
            self._free -= size
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((size, turn))
        try:
            async with asyncio.timeout(self._wait_s):
                await turn
        except BaseException as error:
            if turn.done() and not turn.cancelled():
                self._free += size
            turn.cancel()
            self._serve()
            if isinstance(error, TimeoutError):
                raise BusyError from error
            raise

    def _serve(self) -> None:
        while self._waiting and (self._waiting[0][1].done() or self._waiting[0][0] <= self._free):
            size, turn = self._waiting.popleft()
            if not turn.done():
                self._free -= size
                turn.set_result(None)
