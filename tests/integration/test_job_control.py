"""Steering a job that runs: it pauses within a batch, trips by itself, and loses nothing by either."""

from __future__ import annotations

import time

import numpy as np
import pytest
from numpy.typing import NDArray

from schemas.messages import IndexBatch
from schemas.outcomes import Reason
from schemas.records import Job, JobOptions, JobState, Lease
from tests.support.workshops import Indexer, picture, settled
from workers.adapters.memory import ColourGridEmbedder
from workers.errors import JobConflictError
from workers.indexing.breaker import Breaker
from workers.indexing.jobs import Workshop, cancel
from workers.indexing.submit import drop_catalog
from workers.ports import Embeddings

MANY = 300


class Pausing(ColourGridEmbedder):
    """A model that has the job it works for paused after its first inference, and is slow from then on."""

    def __init__(self, indexer: Indexer) -> None:
        super().__init__()
        self.indexer = indexer
        self.paused = False

    def embed(self, images: NDArray[np.uint8]) -> Embeddings:
        found = super().embed(images)
        if self.paused:
            time.sleep(0.05)
        for job in () if self.paused else self.indexer.ledger.open_jobs():
            self.indexer.ledger.pause_job(job.id, error="a coffee")
            self.paused = True
        return found


def filled(count: int = MANY) -> Indexer:
    indexer = Indexer()
    for number in range(count):
        indexer.store.put(f"{number:04d}.jpg", picture(number))
    return indexer


def broken(indexer: Indexer, count: int, *, prefix: str = "bad") -> None:
    for number in range(count):
        indexer.store.put(f"{prefix}/{number:04d}.jpg", b"")


def gone_on(indexer: Indexer, job: Job) -> Job:
    return indexer.work(indexer.ledger.resume_job(job.id))


def test_a_running_batch_stops_and_gives_the_rest_back_without_a_loss() -> None:
    indexer = filled()
    indexer.embedder = Pausing(indexer)
    rested = indexer.sync()
    assert (rested.state, rested.error) == (JobState.PAUSED, "a coffee")
    assert 0 < rested.finished < MANY
    assert not indexer.messages
    assert indexer.embedder.images_embedded < MANY, "the batch was worked off although the job was paused"
    assert len(indexer.indexed_keys()) == rested.counts.indexed == rested.finished
    done = settled(gone_on(indexer, rested))
    assert (done.counts.indexed, done.error) == (MANY, None)
    assert indexer.embedder.images_embedded < MANY + 2 * 16 + 1, "what was finished was embedded again"


def test_messages_that_come_while_it_is_paused_do_nothing() -> None:
    indexer = filled(40)
    job = indexer.submit().job
    indexer.work(job, steps=1)
    (message,) = [message for message in indexer.messages if isinstance(message, IndexBatch)]
    indexer.ledger.pause_job(job.id, error="why")
    assert indexer.work(job).finished == 0
    assert indexer.ledger.claim_batch(message.batch_id, worker="w", lease_s=9.0) is None
    assert settled(gone_on(indexer, job)).counts.indexed == 40


def test_a_job_paused_before_its_deletes_deletes_nothing_until_it_goes_on() -> None:
    indexer = filled(40)
    indexer.sync()
    indexer.store.delete("0000.jpg")
    job = indexer.submit().job
    plan = indexer.ledger.plan_deletes

    def pausing(job_id: str, *, limit: int) -> int:
        indexer.ledger.pause_job(job_id, error="in between")
        return plan(job_id, limit=limit)

    object.__setattr__(indexer.ledger, "plan_deletes", pausing)
    rested = indexer.work(job)
    assert (rested.state, rested.counts.deleted, len(indexer.indexed_keys())) == (JobState.PAUSED, 0, 40)
    object.__setattr__(indexer.ledger, "plan_deletes", plan)
    done = settled(gone_on(indexer, rested))
    assert (done.counts.deleted, len(indexer.indexed_keys())) == (1, 39)


def test_a_paused_job_is_cancelled_at_once() -> None:
    indexer = filled(40)
    job = indexer.submit().job
    indexer.ledger.pause_job(job.id, error="why")
    assert cancel(indexer.ledger, job.id).state is JobState.CANCELLED
    running = indexer.submit().job
    assert cancel(indexer.ledger, running.id).state is JobState.RUNNING
    assert indexer.work(running).state is JobState.CANCELLED


def test_a_paused_job_is_neither_taken_up_nor_replaced_nor_dropped_by_the_way() -> None:
    indexer = filled(40)
    job = indexer.submit().job
    indexer.ledger.pause_job(job.id, error="why")
    short = job.id[:8]
    said = rf"the sync job {short} .* \(paused\); let it go on with: catalog resume {short}, or stop it with: catalog cancel"
    for act in (
        indexer.submit,
        indexer.submit_reindex,
        lambda: drop_catalog("shop", ledger=indexer.ledger, index=indexer.index),
    ):
        with pytest.raises(JobConflictError, match=said):
            act()
    assert indexer.ledger.job(job.id).state is JobState.PAUSED


def test_a_batch_that_fails_for_one_reason_pauses_its_job() -> None:
    indexer = filled(40)
    broken(indexer, 60)
    rested = indexer.sync()
    assert rested.state is JobState.PAUSED
    assert rested.error == (
        f"paused: 60 of 100 images of a batch: empty; look at: catalog report {rested.id[:8]}, "
        f"then: catalog resume {rested.id[:8]}"
    )
    assert (rested.counts.indexed, rested.counts.quarantined, rested.tripped) == (40, 60, (Reason.EMPTY,))
    assert len(indexer.ledger.failures(rested.id)) == 60
    assert len(indexer.indexed_keys()) == 40
    embedded = indexer.embedder.images_embedded
    done = settled(gone_on(indexer, rested))
    assert (done.counts.quarantined, indexer.embedder.images_embedded) == (60, embedded)


def test_once_looked_at_a_reason_does_not_pause_the_job_again_but_another_does() -> None:
    indexer = Indexer()
    broken(indexer, 1100, prefix="a")  # a batch and more
    for number in range(1300):
        indexer.store.put(f"b/{number:04d}.jpg", b"no image at all")
    rested = indexer.sync()
    assert (rested.state, rested.tripped) == (JobState.PAUSED, (Reason.EMPTY,))
    again = gone_on(indexer, rested)
    assert (again.state, again.tripped) == (JobState.PAUSED, (Reason.EMPTY, Reason.NOT_AN_IMAGE))
    assert settled(gone_on(indexer, again)).counts.quarantined == 2400


def test_a_small_or_mixed_batch_does_not_trip() -> None:
    indexer = filled(10)
    broken(indexer, 19)
    assert settled(indexer.sync()).counts.quarantined == 19
    switched_off = filled(10)
    switched_off.breaker = Breaker(share=0.0)
    broken(switched_off, 100)
    assert settled(switched_off.sync()).counts.quarantined == 100


def test_a_retry_of_what_is_known_to_be_bad_does_not_trip() -> None:
    indexer = filled(10)
    broken(indexer, 60)
    settled(gone_on(indexer, indexer.sync()))
    assert settled(indexer.retry()).counts.quarantined == 60


def test_a_reindex_trips_before_it_switches() -> None:
    indexer = filled(60)
    indexer.sync()
    for number in range(40):
        indexer.store.put(f"{number:04d}.jpg", b"")
    rested = indexer.reindex()
    assert (rested.state, indexer.ledger.catalog("shop").active_generation) == (JobState.PAUSED, 1)


def test_a_retry_takes_only_what_was_asked_for() -> None:
    indexer = filled(10)
    broken(indexer, 3)
    indexer.store.put("odd.jpg", b"no image at all")
    indexer.sync()
    indexer.store.put("odd.jpg", picture(99))
    done = settled(indexer.retry(JobOptions(reasons=(Reason.NOT_AN_IMAGE,))))
    assert (done.counts.retried, done.counts.indexed) == (1, 1)
    assert settled(indexer.retry(JobOptions(failed_only=True))).planned == 0
    waiting = indexer.ledger.create_job("shop", 1, done.kind, JobOptions(failed_only=True), idempotency_key="x")
    with pytest.raises(JobConflictError):
        indexer.retry()
    indexer.ledger.finish_job(waiting.id, JobState.DONE)


def test_a_priority_that_is_given_moves_a_job_that_is_taken_up() -> None:
    indexer = filled(10)
    assert indexer.submit().job.priority == 0
    assert indexer.submit(priority=5).job.priority == 5
    assert indexer.submit().job.priority == 5


class Attendance:
    def __init__(self) -> None:
        self.said: list[object] = []

    def took(self, lease: Lease) -> None:
        self.said.append(lease.job_id)

    def let_go(self, *, images: int) -> None:
        self.said.append(images)


def test_the_heartbeat_hears_of_every_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    indexer, attendance = filled(40), Attendance()
    broken(indexer, 2)
    made = Indexer.workshop.fget
    assert made is not None

    def attended(self: Indexer) -> Workshop:
        from dataclasses import replace

        return replace(made(self), attendance=attendance)

    monkeypatch.setattr(Indexer, "workshop", property(attended))
    job = settled(indexer.sync())
    assert attendance.said == [job.id, 42]
