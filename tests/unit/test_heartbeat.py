"""A worker's sign of life: what it says, and that nothing keeps it from going on."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from schemas.records import Worker, WorkerKind, WorkerState
from tests.support.commands import wait_until
from tests.support.ledgers import claimed, planned, started
from workers.adapters.ledger import SqlLedger, open_ledger
from workers.errors import TransientError
from workers.heartbeat import Heartbeat


@pytest.fixture
def ledger() -> Iterator[SqlLedger]:
    opened = open_ledger("sqlite://")
    yield opened
    opened.close()


def only(ledger: SqlLedger) -> Worker:
    (worker,) = ledger.workers()
    return worker


def test_it_says_what_is_in_hand_and_says_goodbye(ledger: SqlLedger) -> None:
    job = started(ledger)
    lease = claimed(ledger, planned(ledger, job, ["a"]))
    with Heartbeat(lambda: ledger, worker="w1", kind=WorkerKind.WORKER, queues=("bulk",), every_s=0.02) as heartbeat:
        wait_until(lambda: bool(ledger.workers()))
        assert (only(ledger).pulse.state, only(ledger).pulse.queues) == (WorkerState.IDLE, ("bulk",))
        heartbeat.took(lease)
        wait_until(lambda: only(ledger).pulse.state is WorkerState.BUSY)
        assert (only(ledger).pulse.job_id, only(ledger).pulse.batch_id) == (job.id, lease.batch_id)
        heartbeat.let_go(images=7)
        wait_until(lambda: only(ledger).pulse.images_done == 7)
        assert (only(ledger).pulse.state, only(ledger).pulse.job_id) == (WorkerState.IDLE, None)
    assert ledger.workers() == []


def test_a_batch_is_said_at_once(ledger: SqlLedger) -> None:
    lease = claimed(ledger, planned(ledger, started(ledger), ["a"]))
    with Heartbeat(lambda: ledger, worker="w1", kind=WorkerKind.WORKER, every_s=600.0) as heartbeat:
        wait_until(lambda: bool(ledger.workers()))
        heartbeat.took(lease)
        wait_until(lambda: only(ledger).pulse.state is WorkerState.BUSY)


@pytest.mark.parametrize("error", [TransientError("away"), RuntimeError("a bug of the driver")])
def test_a_ledger_that_is_away_ends_nothing(ledger: SqlLedger, error: Exception) -> None:
    away, asked = threading.Event(), threading.Semaphore(0)
    away.set()

    def reach() -> SqlLedger:
        asked.release()
        if away.is_set():
            raise error
        return ledger

    with Heartbeat(reach, worker="w1", kind=WorkerKind.BEAT, every_s=0.01):
        for _ in range(3):
            assert asked.acquire(timeout=5.0)
        assert ledger.workers() == []
        away.clear()
        wait_until(lambda: bool(ledger.workers()))
