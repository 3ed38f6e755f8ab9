"""When a job stops by itself: the decision alone."""

from __future__ import annotations

import pytest

from schemas.outcomes import OutcomeKind, Reason
from workers.indexing.breaker import Breaker, Tally, trip

EMPTY = (OutcomeKind.QUARANTINED, Reason.EMPTY)
CORRUPT = (OutcomeKind.QUARANTINED, Reason.CORRUPT)
DOWN = (OutcomeKind.FAILED, Reason.STORE_UNAVAILABLE)


@pytest.mark.parametrize(
    ("troubles", "settled", "trips"),
    [
        ({}, 100, False),
        ({EMPTY: 50}, 100, False),
        ({EMPTY: 51}, 100, True),
        ({EMPTY: 19}, 19, False),
        ({EMPTY: 20}, 20, True),
        ({EMPTY: 50, CORRUPT: 50}, 100, False),
        ({DOWN: 400, EMPTY: 12}, 512, True),
    ],
    ids=["fine", "half", "more", "few", "enough", "mixed", "failed"],
)
def test_it_takes_one_reason_for_more_than_a_share(
    troubles: dict[tuple[OutcomeKind, Reason], int], settled: int, trips: bool
) -> None:
    found = trip(Tally(settled=settled, troubles=troubles), Breaker(share=0.5, items=20), tripped=())
    assert (found is not None) == trips


def test_the_most_frequent_reason_is_named() -> None:
    found = trip(Tally(settled=100, troubles={EMPTY: 30, DOWN: 60}), Breaker(share=0.2, items=5), tripped=())
    assert found is not None
    assert (found.reason, found.count, found.settled) == (Reason.STORE_UNAVAILABLE, 60, 100)


def test_a_share_of_nothing_switches_it_off_and_one_of_all_never_trips() -> None:
    all_of_them = Tally(settled=100, troubles={EMPTY: 100})
    assert trip(all_of_them, Breaker(share=0.0, items=1), tripped=()) is None
    assert trip(all_of_them, Breaker(share=1.0, items=1), tripped=()) is None


def test_a_reason_that_was_looked_at_is_accepted_but_an_outage_never_is() -> None:
    breaker = Breaker(share=0.2, items=5)
    assert trip(Tally(settled=100, troubles={EMPTY: 60}), breaker, tripped=(Reason.EMPTY,)) is None
    other = trip(Tally(settled=100, troubles={EMPTY: 60, CORRUPT: 30}), breaker, tripped=(Reason.EMPTY,))
    assert other is not None
    assert other.reason is Reason.CORRUPT
    assert trip(Tally(settled=100, troubles={DOWN: 60}), breaker, tripped=(Reason.STORE_UNAVAILABLE,)) is not None
