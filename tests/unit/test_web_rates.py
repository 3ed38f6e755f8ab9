"""Bounds on requests: how many, and how many bytes of uploads at once."""

from __future__ import annotations

import asyncio

import pytest

from workers.web.budget import BusyError, UploadBudget
from workers.web.rates import BURST_S, Rates


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_caller_has_a_burst_and_then_its_rate() -> None:
    clock = Clock()
    rates = Rates("10/second", clock=clock)
    allowed = int(10 * BURST_S)
    assert [rates.take("a") for _ in range(allowed)] == [0.0] * allowed
    assert 0 < rates.take("a") <= 0.1
    assert rates.take("b") == 0.0
    clock.now = 0.5
    assert [rates.take("a") for _ in range(5)] == [0.0] * 5
    assert rates.take("a") > 0


def test_a_slow_rate_allows_its_first_request_and_off_allows_everything() -> None:
    clock = Clock()
    slow = Rates("1/hour", clock=clock)
    assert slow.take("a") == 0.0
    assert slow.take("a") == pytest.approx(3600)
    off = Rates("off", clock=clock)
    assert not any(off.take("a") for _ in range(10_000))


def test_uploads_wait_for_room_in_their_order() -> None:
    async def scenario() -> list[str]:
        budget, said = UploadBudget(10, wait_s=1.0), list[str]()

        async def upload(name: str, size: int) -> None:
            async with budget.hold(size):
                said.append(f"+{name}")
                await asyncio.sleep(0.01)
                said.append(f"-{name}")

        await asyncio.gather(upload("a", 6), upload("b", 6), upload("c", 4), upload("d", 100))
        return said

    assert asyncio.run(scenario()) == ["+a", "-a", "+b", "+c", "-b", "-c", "+d", "-d"]


def test_who_waits_too_long_is_told_so_and_takes_nothing_along() -> None:
    async def scenario() -> None:
        budget = UploadBudget(10, wait_s=0.02)
        async with budget.hold(8):
            with pytest.raises(BusyError):
                async with budget.hold(8):
                    pytest.fail("there was no room")
            async with budget.hold(2):
                pass
        async with budget.hold(10):
            pass

    asyncio.run(scenario())
