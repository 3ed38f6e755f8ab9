"""Notifications from a queue: deleted when what they name is committed, and not before."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.test_events_flow import notification
from tests.support.sqs_server import Queue, serve_sqs
from workers.adapters.ledger import SqlLedger, open_ledger
from workers.errors import ConfigurationError, TransientError
from workers.indexing.desk import EventDesk
from workers.sqs import SqsReceiver


@pytest.fixture(autouse=True)
def _credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")


@pytest.fixture
def queue() -> Iterator[Queue]:
    with serve_sqs() as served:
        yield served


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[SqlLedger]:
    opened = open_ledger(f"sqlite:///{tmp_path / 'ledger.db'}")
    opened.ensure_catalog("shop", source_url="s3://images/shop")
    opened.activate("shop", opened.add_generation("shop", model_digest="m" * 64).number)
    yield opened
    opened.close()


def receiver(queue: Queue, ledger: SqlLedger) -> SqsReceiver:
    made = SqsReceiver(queue.url, EventDesk(ledger), poll_s=1)
    made.connect()
    return made


def waiting(ledger: SqlLedger) -> list[str]:
    return [one.key for job in ledger.take_inbox("shop") for one in ledger.job_keys(job.id)]


def test_messages_are_taken_in_batches_and_those_that_cannot_be_read_stay(queue: Queue, ledger: SqlLedger) -> None:
    queue.send(*(notification(f"{number}.jpg") for number in range(12)), "no notification", notification("0.jpg"))
    receives = receiver(queue, ledger)
    while receives.receive_once():
        pass
    assert waiting(ledger) == sorted(f"{number}.jpg" for number in range(12))
    assert queue.depth() == (0, 1)


def test_a_message_comes_again_until_the_ledger_has_it(ledger: SqlLedger, monkeypatch: pytest.MonkeyPatch) -> None:
    with serve_sqs(visibility_s=1) as queue:
        queue.send(notification("a.jpg"))
        receives = receiver(queue, ledger)
        for broken, taken in (("post", []), ("_delete", ["a.jpg"])):
            with monkeypatch.context() as fault:
                fault.setattr(ledger if broken == "post" else SqsReceiver, broken, _down)
                with pytest.raises(TransientError):
                    until_received(receives)
            assert queue.depth() == (0, 1)
            assert waiting(ledger) == taken
        until_received(receives)
        assert (waiting(ledger), queue.depth()) == (["a.jpg"], (0, 0))


def until_received(receives: SqsReceiver) -> None:
    """Ask until the message is visible again."""
    while not receives.receive_once():
        pass


def _down(*_: object) -> None:
    raise TransientError("the ledger does not answer")


def test_a_signal_ends_a_wait_at_once(queue: Queue, ledger: SqlLedger) -> None:
    receives = SqsReceiver(queue.url, EventDesk(ledger), poll_s=20)
    before = signal.signal(signal.SIGUSR1, receives.end)
    alarm = threading.Timer(1.0, os.kill, (os.getpid(), signal.SIGUSR1))
    alarm.start()
    try:
        receives.run()
    finally:
        alarm.join()
        signal.signal(signal.SIGUSR1, before)
    assert receives.stop.is_set()


def test_a_queue_that_is_not_there_is_said_in_a_line(queue: Queue, ledger: SqlLedger) -> None:
    with pytest.raises(ConfigurationError, match="the queue refuses us"):
        SqsReceiver(queue.url.replace("images", "none"), EventDesk(ledger), poll_s=1).run()
    for url in ("images", "https://", "s3://images", "https://key:secret@sqs.eu-west-1.amazonaws.com/1/images"):
        with pytest.raises(ConfigurationError, match="queue"):
            SqsReceiver(url, EventDesk(ledger)).run()


def test_a_queue_that_does_not_answer_is_waited_for(ledger: SqlLedger) -> None:
    receives = SqsReceiver("http://127.0.0.1:1/1/images", EventDesk(ledger), poll_s=1)
    receives.connect()
    with pytest.raises(TransientError, match="EndpointConnectionError"):
        receives.receive_once()
