"""The ledger's contract: steering jobs, what their reports keep, and who works on them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import update

from schemas.outcomes import OutcomeKind, Reason
from schemas.records import (
    JobKind,
    JobOptions,
    JobState,
    Pulse,
    ReasonCount,
    WorkerKind,
    WorkerState,
)
from schemas.tables import jobs as jobs_table
from schemas.tables import workers as workers_table
from tests.support.ledgers import (
    LEASE_S,
    PLACES,
    claimed,
    failed,
    indexed,
    ledger_in,
    page,
    planned,
    quarantined,
    settled,
    started,
)
from workers.adapters.ledger import SqlLedger
from workers.adapters.ledger.database import clock
from workers.adapters.ledger.ending import KEPT_REPORTS
from workers.adapters.ledger.fleet import FORGOTTEN_AFTER_S
from workers.adapters.ledger.reports import WINDOW_S
from workers.errors import ContractError, JobConflictError, NotFoundError


@pytest.fixture(params=PLACES)
def ledger(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[SqlLedger]:
    with ledger_in(request.param, tmp_path) as opened:
        yield opened


class TestPausing:
    def test_a_paused_job_hands_nothing_out_and_stops_what_runs(self, ledger: SqlLedger) -> None:
        job = started(ledger)
        running = claimed(ledger, planned(ledger, job, ["a", "b"]))
        waiting = planned(ledger, job, ["c"])
        paused = ledger.pause_job(job.id, error="a coffee")
        assert (paused.state, paused.error, paused.state.is_final) == (JobState.PAUSED, "a coffee", False)
        assert ledger.take_ready(job.id, window=9) == []
        assert ledger.claim_batch(waiting, worker="w", lease_s=LEASE_S) is None
        assert ledger.record(running, [indexed("a")], lease_s=LEASE_S).stop_requested
        assert ledger.renew(running, lease_s=LEASE_S).stop_requested
        ledger.release_batch(running)
        assert (ledger.job(job.id).finished, ledger.unfinished_batches(job.id)) == (1, 2)
        assert [open_job.id for open_job in ledger.open_jobs()] == [job.id]

    def test_it_goes_on_where_it_was_and_no_image_has_lost_an_attempt(self, ledger: SqlLedger) -> None:
        job = started(ledger)
        batch_id = planned(ledger, job, ["a", "b"])
        other = planned(ledger, job, ["c"])
        assert ledger.take_ready(job.id, window=9) == [batch_id, other]
        lease = claimed(ledger, batch_id)
        ledger.record(lease, [indexed("a")], lease_s=LEASE_S)
        ledger.pause_job(job.id, error="why")
        ledger.release_batch(lease)
        assert ledger.claim_batch(other, worker="w", lease_s=LEASE_S) is None  # its message is gone now
        resumed = ledger.resume_job(job.id)
        assert (resumed.state, resumed.error) == (JobState.RUNNING, None)
        assert ledger.take_ready(job.id, window=9) == [batch_id, other]
        again = claimed(ledger, batch_id)
        assert ([item.key for item in again.items], again.losses, again.items[0].losses) == (["b"], 0, 0)
        assert not ledger.renew(again, lease_s=LEASE_S).stop_requested

    def test_nothing_is_planned_while_it_is_paused(self, ledger: SqlLedger) -> None:
        job = started(ledger)
        settled(ledger, job, ["a"], failed)
        ledger.finish_job(job.id, JobState.DONE)
        retry = started(ledger, kind=JobKind.RETRY, key="2")
        ledger.pause_job(retry.id, error="why")
        assert (ledger.plan_retry(retry.id, limit=9), ledger.plan_deletes(retry.id, limit=9)) == (0, 0)
        after = ledger.job(retry.id)
        assert (after.scan_complete, after.deletes_planned) == (False, False)
        ledger.resume_job(retry.id)
        assert ledger.plan_retry(retry.id, limit=9) == 1

    def test_only_a_running_job_is_paused_and_only_a_paused_one_resumed(self, ledger: SqlLedger) -> None:
        job = started(ledger)
        assert ledger.resume_job(job.id).state is JobState.RUNNING
        paused = ledger.pause_job(job.id, error="first")
        assert ledger.pause_job(job.id, error="second") == paused
        assert ledger.finish_job(job.id, JobState.AWAITING_CONFIRMATION) == paused
        ledger.resume_job(job.id)
        waiting = ledger.finish_job(job.id, JobState.AWAITING_CONFIRMATION)
        assert ledger.pause_job(job.id, error="third") == waiting
        with pytest.raises(ContractError, match="is awaiting_confirmation: it does not wait to be resumed"):
            ledger.resume_job(job.id)
        done = ledger.finish_job(job.id, JobState.DONE)
        assert ledger.pause_job(job.id, error="fourth") == done
        with pytest.raises(ContractError, match="is done: it does not wait"):
            ledger.resume_job(job.id)

    def test_a_paused_job_is_in_the_way_of_another_scan_and_can_be_ended(self, ledger: SqlLedger) -> None:
        job = started(ledger)
        ledger.pause_job(job.id, error="why")
        with pytest.raises(JobConflictError, match="is paused: wait for it or cancel it"):
            ledger.create_job("shop", 1, JobKind.SYNC, JobOptions(), idempotency_key="2")
        assert ledger.finish_job(job.id, JobState.CANCELLED).state is JobState.CANCELLED
        assert ledger.create_job("shop", 1, JobKind.SYNC, JobOptions(), idempotency_key="2").id != job.id

    def test_what_tripped_the_breaker_is_remembered_once(self, ledger: SqlLedger) -> None:
        job = started(ledger)
        assert job.tripped == ()
        for reason in (Reason.EMPTY, Reason.CORRUPT, Reason.EMPTY):
            ledger.pause_job(job.id, error="why", tripped=reason)
            ledger.resume_job(job.id)
        assert ledger.job(job.id).tripped == (Reason.EMPTY, Reason.CORRUPT)


class TestPriority:
    def test_the_highest_is_served_first_then_the_oldest(self, ledger: SqlLedger) -> None:
        low, first, second = (started(ledger, name) for name in ("a", "b", "c"))
        ledger.ensure_catalog("d", source_url="file:///d")
        ledger.add_generation("d", model_digest="m" * 64)
        urgent = ledger.create_job("d", 1, JobKind.SYNC, JobOptions(), idempotency_key="k", priority=9)
        assert (urgent.priority, first.priority) == (9, 0)
        assert ledger.set_priority(low.id, -3).priority == -3
        assert [job.id for job in ledger.open_jobs()] == [urgent.id, first.id, second.id, low.id]
        ledger.finish_job(urgent.id, JobState.DONE)
        assert ledger.set_priority(urgent.id, 1).priority == 9

    @pytest.mark.parametrize("priority", [-10, 10])
    def test_it_has_bounds(self, ledger: SqlLedger, priority: int) -> None:
        job = started(ledger)
        with pytest.raises(ContractError, match=r"is no priority: give -9 \(last\) to 9 \(first\)"):
            ledger.set_priority(job.id, priority)
        with pytest.raises(ContractError, match="is no priority"):
            ledger.create_job("shop", 1, JobKind.SYNC, JobOptions(), idempotency_key="k", priority=priority)


class TestReports:
    def test_failures_are_kept_as_they_were(self, ledger: SqlLedger) -> None:
        first = started(ledger, key="1")
        settled(ledger, first, ["c", "a"], quarantined)
        settled(ledger, first, ["b"], failed)
        settled(ledger, first, ["fine"])
        ledger.finish_job(first.id, JobState.DONE)
        retry = started(ledger, kind=JobKind.RETRY, key="2")
        assert ledger.plan_retry(retry.id, limit=9) == 3
        (batch_id,) = ledger.take_ready(retry.id, window=9)
        lease = claimed(ledger, batch_id)
        outcomes = [indexed("a"), failed("b"), quarantined("c", Reason.EMPTY)]
        ledger.record(lease, outcomes, lease_s=LEASE_S)
        ledger.record(lease, outcomes, lease_s=LEASE_S)
        kept = ledger.failures(first.id)
        assert [(row.key, row.kind, row.reason, row.attempts) for row in kept] == [
            ("a", OutcomeKind.QUARANTINED, Reason.TRUNCATED, 1),
            ("b", OutcomeKind.FAILED, Reason.STORE_UNAVAILABLE, 1),
            ("c", OutcomeKind.QUARANTINED, Reason.TRUNCATED, 1),
        ]
        assert kept[0].detail == "a is bad"
        assert [(row.key, row.reason, row.attempts) for row in ledger.failures(retry.id)] == [
            ("b", Reason.STORE_UNAVAILABLE, 2),
            ("c", Reason.EMPTY, 2),
        ]
        assert [row.key for row in ledger.failures(first.id, after="a", limit=1)] == ["b"]
        assert ledger.job(first.id).reasons == (
            ReasonCount(kind=OutcomeKind.QUARANTINED, reason=Reason.TRUNCATED, count=2),
            ReasonCount(kind=OutcomeKind.FAILED, reason=Reason.STORE_UNAVAILABLE, count=1),
        )
        with pytest.raises(NotFoundError):
            ledger.failures("0" * 32)

    def test_an_image_that_ends_its_worker_is_in_the_report(self, ledger: SqlLedger) -> None:
        job = started(ledger)
        batch_id = planned(ledger, job, ["a"])
        for _ in range(3):
            claimed(ledger, batch_id, lease_s=0.0)
            ledger.reap()
        assert [(row.key, row.reason) for row in ledger.failures(job.id)] == [("a", Reason.ENDS_WORKER)]
        assert [one.reason for one in ledger.job(job.id).reasons] == [Reason.ENDS_WORKER]

    def test_old_reports_keep_their_counts_and_lose_their_rows(self, ledger: SqlLedger) -> None:
        made = []
        for number in range(KEPT_REPORTS + 2):
            job = started(ledger, key=str(number))
            settled(ledger, job, ["a", f"b{number}"], quarantined)
            ledger.finish_job(job.id, JobState.DONE)
            clean = started(ledger, key=f"clean {number}")
            ledger.finish_job(clean.id, JobState.DONE)
            made.append(job.id)
        assert [len(ledger.failures(job_id)) for job_id in made] == [0, 0, *[2] * KEPT_REPORTS]
        assert ledger.job(made[0]).reasons[0].count == 2

    def test_what_a_job_is_doing_now(self, ledger: SqlLedger) -> None:
        job = started(ledger)
        assert ledger.activity(job.id).workers == ()
        assert (ledger.activity(job.id).items_per_s, ledger.activity(job.id).oldest_pending_s) == (None, None)
        lease = claimed(ledger, planned(ledger, job, list("abcd")), worker="here:7")
        planned(ledger, job, list("efghij"))
        ledger.record(lease, [indexed("a"), indexed("b")], lease_s=LEASE_S)
        tell(ledger, job.id, recent=[[-10.0, 0.0]])  # ten seconds ago there was nothing
        now = ledger.activity(job.id)
        assert now.items_per_s == pytest.approx(0.2, rel=0.3)
        assert now.remaining_s == pytest.approx(8 / 0.2, rel=0.3)
        assert now.workers == ("here:7",)
        assert now.oldest_pending_s is not None
        assert 0.0 <= now.oldest_pending_s < 60.0
        ledger.pause_job(job.id, error="why")
        assert (ledger.activity(job.id).items_per_s, ledger.activity(job.id).remaining_s) == (None, None)
        ledger.resume_job(job.id)
        assert ledger.activity(job.id).items_per_s is None  # measured anew: the pause is no part of it

    def test_the_rate_is_of_the_recent_past(self, ledger: SqlLedger) -> None:
        job = started(ledger)
        lease = claimed(ledger, planned(ledger, job, list("abcd")))
        ledger.record(lease, [indexed(key) for key in "abc"], lease_s=LEASE_S)
        long_ago = -10 * WINDOW_S
        tell(ledger, job.id, recent=[[long_ago, 0.0], [-20.0, 1.0]])
        assert ledger.activity(job.id).items_per_s == pytest.approx(0.1, rel=0.3)
        tell(ledger, job.id, recent=[[long_ago, 0.0]])
        assert ledger.activity(job.id).items_per_s == pytest.approx(3 / -long_ago, rel=0.3)
        tell(ledger, job.id, recent=[[long_ago, 0.0], [-20.0, 1.0]])
        ledger.record(lease, [indexed("d")], lease_s=LEASE_S)
        with ledger._database.read() as tx:
            samples = tx.execute(jobs_table.select().where(jobs_table.c.id == job.id)).one().recent
        assert [finished for _, finished in samples] == [1.0, 4]

    def test_the_oldest_batch_keeps_its_age_when_it_is_split(self, ledger: SqlLedger) -> None:
        job = started(ledger)
        claimed(ledger, planned(ledger, job, ["a", "b"]), lease_s=0.0)
        before = ledger.activity(job.id).oldest_pending_s
        ledger.reap()
        after = ledger.activity(job.id).oldest_pending_s
        assert before is not None
        assert after is not None
        assert after >= before
        assert ledger.unfinished_batches(job.id) == 2


def tell(ledger: SqlLedger, job_id: str, *, recent: list[list[float]]) -> None:
    """Put samples into a job's row; their moments count from now."""
    with ledger._database.write() as tx:
        now = tx.execute(clock().select()).scalar_one()
        samples = [[now + at, finished] for at, finished in recent]
        tx.execute(update(jobs_table).where(jobs_table.c.id == job_id).values(recent=samples))


class TestChosenRetries:
    @pytest.mark.parametrize(
        ("options", "keys"),
        [
            (JobOptions(), ["a", "b", "c"]),
            (JobOptions(failed_only=True), ["c"]),
            (JobOptions(reasons=(Reason.EMPTY,)), ["b"]),
            (JobOptions(reasons=(Reason.EMPTY, Reason.STORE_UNAVAILABLE)), ["b", "c"]),
            (JobOptions(reasons=(Reason.EMPTY,), failed_only=True), []),
        ],
        ids=["all", "failed", "reason", "reasons", "none"],
    )
    def test_a_retry_takes_what_was_asked_for(self, ledger: SqlLedger, options: JobOptions, keys: list[str]) -> None:
        first = started(ledger, key="1")
        settled(ledger, first, ["a"], quarantined)
        settled(ledger, first, ["b"], lambda key: quarantined(key, Reason.EMPTY))
        settled(ledger, first, ["c"], failed)
        ledger.finish_job(first.id, JobState.DONE)
        retry = ledger.create_job("shop", 1, JobKind.RETRY, options, idempotency_key="2")
        assert (retry.options, ledger.job(retry.id).options) == (options, options)
        assert ledger.plan_retry(retry.id, limit=9) == len(keys)
        taken = [claimed(ledger, batch_id) for batch_id in ledger.take_ready(retry.id, window=9)]
        assert [item.key for lease in taken for item in lease.items] == keys
        assert ledger.plan_retry(retry.id, limit=9) == 0
        assert ledger.job(retry.id).scan_complete


class TestJobsBesideScans:
    def test_a_kind_that_runs_beside_scans_is_not_counted(self, ledger: SqlLedger) -> None:
        """The tables leave room for jobs that are no scans; their kind is given here by hand."""
        beside = started(ledger)
        with ledger._database.write() as tx:
            tx.execute(update(jobs_table).where(jobs_table.c.id == beside.id).values(kind="keys"))
        scan = ledger.create_job("shop", 1, JobKind.SYNC, JobOptions(), idempotency_key="2")
        with pytest.raises(JobConflictError) as caught:
            ledger.create_job("shop", 1, JobKind.SYNC, JobOptions(), idempotency_key="3")
        assert caught.value.job_id == scan.id


class TestKeysOfJobs:
    def test_a_job_is_found_by_its_idempotency_key(self, ledger: SqlLedger) -> None:
        job = started(ledger, key="nightly")
        assert ledger.job_by_key("shop", "nightly") == ledger.job(job.id)
        assert ledger.job_by_key("shop", "other") is None
        assert ledger.job_by_key("nowhere", "nightly") is None


PULSE = Pulse(
    id="w1",
    host="here",
    pid=7,
    kind=WorkerKind.WORKER,
    queues=("catalog.bulk", "catalog.interactive"),
    version="1.2.3",
    state=WorkerState.IDLE,
)


class TestWorkers:
    def test_a_beat_is_written_over_the_last_one(self, ledger: SqlLedger) -> None:
        ledger.beat(PULSE)
        (before,) = ledger.workers()
        assert before.pulse == PULSE
        busy = replace(PULSE, state=WorkerState.BUSY, job_id="j" * 32, batch_id="b" * 32, images_done=12)
        ledger.beat(busy)
        (after,) = ledger.workers(alive_within_s=60.0)
        assert (after.pulse, after.started_at) == (busy, before.started_at)
        assert after.beat_at >= before.beat_at
        assert 0.0 <= after.silent_s < 60.0

    def test_the_silent_are_told_apart_and_forgotten_after_a_day(self, ledger: SqlLedger) -> None:
        for name in ("w1", "w2", "w3"):
            ledger.beat(replace(PULSE, id=name))
        silence(ledger, "w1", FORGOTTEN_AFTER_S + 60)
        silence(ledger, "w2", 600.0)
        assert [worker.pulse.id for worker in ledger.workers(alive_within_s=60.0)] == ["w3"]
        assert len(ledger.workers()) == 3
        ledger.beat(replace(PULSE, id="w3"))
        found = ledger.workers()
        assert [worker.pulse.id for worker in found] == ["w2", "w3"]
        assert found[0].silent_s == pytest.approx(600.0, abs=60.0)

    def test_one_that_ends_is_forgotten(self, ledger: SqlLedger) -> None:
        ledger.beat(PULSE)
        ledger.forget_worker("w1")
        ledger.forget_worker("w1")
        assert ledger.workers() == []

    def test_work_outlives_what_is_said_of_it(self, ledger: SqlLedger) -> None:
        job = started(ledger)
        ledger.plan_page(job.id, token="the scan's token", page=page(["a"]))
        ledger.beat(replace(PULSE, state=WorkerState.BUSY, job_id=job.id))
        ledger.drop_catalog("shop")
        assert [worker.pulse.job_id for worker in ledger.workers()] == [job.id]


def silence(ledger: SqlLedger, worker_id: str, seconds: float) -> None:
    with ledger._database.write() as tx:
        silent = update(workers_table).where(workers_table.c.id == worker_id)
        tx.execute(silent.values(beat_at=clock() - seconds))
