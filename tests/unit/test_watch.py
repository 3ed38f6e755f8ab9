"""The watch beside a batch: renewals, cancels, lost leases and images that never end."""

from __future__ import annotations

import threading

from schemas.records import Change, WorkItem
from workers.errors import LeaseLostError, TransientError
from workers.indexing.watch import Watch

TICK_S = 0.01
ITEM = WorkItem(key="stuck.jpg", change=Change.NEW, etag="e", size=1)


def test_an_image_in_hand_for_too_long_is_named_and_others_are_not() -> None:
    named = threading.Event()
    stuck: list[tuple[WorkItem, ...]] = []

    def on_stall(groups: object) -> None:
        stuck.extend(groups)  # type: ignore[arg-type]
        named.set()

    with Watch(tick_s=TICK_S, stall_ticks=3, renew=lambda: False, on_stall=on_stall) as watch:
        with watch.holding(WorkItem(key="quick.jpg", change=Change.NEW, etag="e", size=1)):
            pass
        with watch.holding(ITEM):
            assert named.wait(5.0)
    assert {item.key for group in stuck for item in group} == {"stuck.jpg"}


def test_a_cancel_is_heard_and_a_lost_lease_is_kept() -> None:
    with Watch(tick_s=TICK_S, stall_ticks=100, renew=lambda: True, on_stall=lambda _: None) as watch:
        assert watch.stop_requested.wait(5.0)

    asked = threading.Event()

    def lost() -> bool:
        asked.set()
        raise LeaseLostError("somebody else has it")

    with Watch(tick_s=TICK_S, stall_ticks=100, renew=lost, on_stall=lambda _: None) as watch:
        assert asked.wait(5.0)
    assert isinstance(watch.lost, LeaseLostError)


def test_a_ledger_that_is_down_for_a_moment_costs_no_lease() -> None:
    calls = iter([TransientError("down"), False, True])
    recovered = threading.Event()

    def renew() -> bool:
        answer = next(calls, True)
        if isinstance(answer, TransientError):
            raise answer
        recovered.set()
        return answer

    with Watch(tick_s=TICK_S, stall_ticks=100, renew=renew, on_stall=lambda _: None) as watch:
        assert recovered.wait(5.0)
    assert watch.lost is None
