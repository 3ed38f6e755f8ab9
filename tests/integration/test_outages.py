"""Dependencies that go down for a moment or for long: nothing is lost, nobody is blamed, the job goes on or says why not."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import replace

import pytest

from schemas.messages import AdvanceJob
from schemas.outcomes import OutcomeKind, Reason
from schemas.payload import Point
from schemas.records import JobState
from tests.support.workshops import Indexer, picture, settled
from workers.adapters.object_store.memory import MemoryObjectStore
from workers.adapters.vector_index.memory import MemoryIndex
from workers.celery_app import make_app
from workers.errors import ConfigurationError, LeaseLostError, TransientError
from workers.indexing.jobs import Workshop, run_batch
from workers.ports import Fetched
from workers.tasks import Tasks

IMAGES = 40


class FailingIndex(MemoryIndex):
    """Refuses so many upserts."""

    def __init__(self, failures: int) -> None:
        super().__init__()
        self.failures = failures

    def upsert(self, collection: str, points: Sequence[Point]) -> None:
        if self.failures > 0:
            self.failures -= 1
            raise TransientError("the index is restarting")
        super().upsert(collection, points)


class FailingStore(MemoryObjectStore):
    """Does not answer for some keys, or for any while it is down."""

    broken: frozenset[str] = frozenset()
    down = False

    def get(self, key: str, *, max_bytes: int) -> Fetched:
        if self.down or key in self.broken:
            raise TransientError("the store does not answer")
        return super().get(key, max_bytes=max_bytes)


def indexer(**parts: object) -> Indexer:
    made = Indexer(**parts)  # type: ignore[arg-type]
    for number in range(IMAGES):
        made.store.put(f"{number:03d}.jpg", picture(number))
    return made


def test_an_index_that_fails_once_is_asked_again() -> None:
    made = indexer(index=FailingIndex(1))
    assert settled(made.sync()).counts.indexed == IMAGES
    assert len(made.indexed_keys()) == IMAGES


def test_a_long_outage_of_the_index_gives_the_batch_back_without_blame() -> None:
    index = FailingIndex(10**6)
    made = indexer(index=index)
    job = made.submit().job
    made.work(job, steps=1)
    (batch,) = made.messages
    made.messages.clear()
    with pytest.raises(TransientError, match="restarting"):
        run_batch(made.workshop, batch)  # type: ignore[arg-type]
    assert made.ledger.job(job.id).finished == 0
    index.failures = 0
    assert settled(made.work(job)).counts.indexed == IMAGES
    assert not made.ledger.quarantine(made.name)


def test_an_object_the_store_cannot_give_fails_alone_and_is_tried_again_by_the_next_run() -> None:
    store = FailingStore("source")
    store.broken = frozenset({"007.jpg", "021.jpg"})
    made = indexer(store=store)
    job = settled(made.sync())
    assert (job.counts.indexed, job.counts.failed) == (IMAGES - 2, 2)
    assert {(row.kind, row.reason) for row in made.ledger.quarantine(made.name)} == {
        (OutcomeKind.FAILED, Reason.STORE_UNAVAILABLE)
    }
    store.broken = frozenset()
    again = settled(made.sync())
    assert (again.counts.retried, again.counts.indexed) == (2, 2)


def test_a_store_that_is_down_stops_the_batch_instead_of_failing_every_image() -> None:
    store = FailingStore("source")
    made = indexer(store=store)
    job = made.submit().job
    made.work(job, steps=1)
    store.down = True
    with pytest.raises(TransientError):
        made.work(job)
    assert made.ledger.job(job.id).counts.failed < IMAGES / 2
    store.down = False
    made.messages.clear()
    done = settled(made.work(job))
    assert done.counts.indexed + done.counts.failed == IMAGES


def test_a_worker_whose_lease_was_taken_writes_nothing_more() -> None:
    made = indexer()
    job = made.submit().job
    made.work(job, steps=1)
    (batch,) = made.messages
    lease = made.ledger.claim_batch(batch.batch_id, worker="frozen", lease_s=20.0)  # type: ignore[union-attr]
    assert lease is not None
    made.ledger.reap(worker_prefix="frozen")
    with pytest.raises(LeaseLostError):
        made.ledger.renew(lease, lease_s=20.0)
    made.messages.clear()
    assert settled(made.work(job)).counts.indexed == IMAGES


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (ConfigurationError("bucket gone"), "bucket gone"),
        (TransientError("no answer"), "no answer"),
        (ZeroDivisionError("oops"), "oops"),
    ],
)
def test_a_step_that_cannot_succeed_ends_the_job_with_its_reason(error: Exception, message: str) -> None:
    made = indexer()
    job = made.submit().job
    tasks = Tasks(make_app(), lambda: broken_workshop(made, error), outage_attempts=1)
    body = AdvanceJob(job_id=job.id).model_dump(mode="json")
    if isinstance(error, ZeroDivisionError):
        with pytest.raises(ZeroDivisionError):
            tasks.advance_job(body)
    else:
        tasks.advance_job(body)
    ended = made.ledger.job(job.id)
    assert ended.state is JobState.FAILED
    assert message in (ended.error or "")


def broken_workshop(made: Indexer, error: Exception) -> Workshop:
    def fail(url: str) -> MemoryObjectStore:
        raise error

    return replace(made.workshop, open_store=fail)


def test_a_stop_gives_the_batch_back_and_counts_no_loss() -> None:
    made = indexer()
    job = made.submit().job
    made.work(job, steps=1)
    (batch,) = made.messages
    made.messages.clear()
    made.stop.set()
    run_batch(made.workshop, batch)  # type: ignore[arg-type]
    assert not made.messages
    made.stop = threading.Event()
    lease = made.ledger.claim_batch(batch.batch_id, worker="next", lease_s=20.0)  # type: ignore[union-attr]
    assert lease is not None
    assert lease.losses == 0
