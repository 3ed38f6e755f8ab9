"""Running ahead keeps order and bounds."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from typing import Any

import pytest

from workers.flow import Ahead, grouped


@pytest.fixture
def pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(4)


def test_results_come_in_order(pool: ThreadPoolExecutor) -> None:
    assert list(Ahead(pool, lambda n: n * n, range(100), depth=7)) == [n * n for n in range(100)]


def test_no_more_than_depth_items_are_begun_ahead(pool: ThreadPoolExecutor) -> None:
    taken: list[int] = []

    def source() -> object:
        for n in range(100):
            taken.append(n)
            yield n

    results = Ahead(pool, lambda n: n, source(), depth=5)
    for consumed in range(1, 20):
        next(results)
        assert len(taken) <= consumed + 5


def test_a_budget_bounds_the_weight_in_flight_and_lets_a_giant_pass_alone(pool: ThreadPoolExecutor) -> None:
    lock = threading.Lock()
    held, most = 0, 0
    weights = [3, 3, 3, 50, 1, 1, 9, 2] * 5

    def work(weight: int) -> int:
        nonlocal held, most
        with lock:
            held += weight
            most = max(most, held)
        return weight

    out = []
    for weight in Ahead(pool, work, weights, depth=8, weigh=lambda w: w, budget=10):
        out.append(weight)
        with lock:
            held -= weight
    assert out == weights
    assert most <= 50 + 10


def test_an_error_is_raised_at_its_place_and_the_rest_is_dropped(pool: ThreadPoolExecutor) -> None:
    def work(n: int) -> int:
        if n == 3:
            raise ValueError("three")
        return n

    results = Ahead(pool, work, range(10), depth=4)
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(ValueError, match="three"):
        next(results)


class AtOnce(Executor):
    """Has every result ready when it is submitted."""

    def submit(self, work: Callable[..., Any], /, *arguments: Any, **named: Any) -> Future[Any]:
        future: Future[Any] = Future()
        future.set_result(work(*arguments, **named))
        return future


def test_a_result_is_not_held_back_for_a_slow_source() -> None:
    arrived: queue.Queue[int] = queue.Queue()
    results = Ahead(AtOnce(), lambda n: n, iter(arrived.get, -1), depth=64, ready=lambda: not arrived.empty())
    for number in range(3):
        arrived.put(number)
        assert next(results) == number  # with nothing more at hand, taking would wait for ever


def test_what_is_at_hand_is_begun_before_a_result_is_given() -> None:
    begun: list[int] = []
    results = Ahead(AtOnce(), begun.append, range(10), depth=4, ready=lambda: True)
    next(results)
    assert begun == [0, 1, 2, 3]


def test_a_group_does_not_wait_for_a_slow_source() -> None:
    at_hand = [True]
    groups = grouped(iter(range(10)), 4, enough=2, ready=lambda: at_hand[0])
    assert next(groups) == [0, 1, 2, 3]
    at_hand[0] = False
    assert list(groups) == [[4, 5], [6, 7], [8, 9]]


def test_groups() -> None:
    assert list(grouped(range(7), 3)) == [[0, 1, 2], [3, 4, 5], [6]]
    assert list(grouped([], 3)) == []
