"""The ledger's contract: jobs, their scans and what is planned."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from schemas.records import Change, Counts, JobKind, JobOptions, JobState, StageStat, WorkItem
from tests.support.ledgers import (
    EXPIRED_S,
    LEASE_S,
    PLACES,
    SCAN,
    claimed,
    failed,
    gone,
    indexed,
    ledger_in,
    page,
    planned,
    quarantined,
    settled,
    started,
)
from workers.adapters.ledger import SqlLedger
from workers.errors import ContractError, JobConflictError, LeaseLostError, NotFoundError


@pytest.fixture(params=PLACES)
def ledger(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[SqlLedger]:
    with ledger_in(request.param, tmp_path) as opened:
        yield opened


def keys_of(ledger: SqlLedger, catalog: str = "shop", job_id: str | None = None) -> list[str]:
    return [row.key for row in ledger.rows(catalog, 1, job_id=job_id, after=None, limit=1000)]


class TestTheJobItself:
    def test_a_new_job_runs_and_remembers_what_was_asked(self, ledger: SqlLedger) -> None:
        ledger.ensure_catalog("shop", source_url="file:///a")
        ledger.add_generation("shop", model_digest="1" * 64)
        options = JobOptions(include=("*.jpg", "b/**"), exclude=("x",), allow_deletes=True)
        job = ledger.create_job("shop", 1, JobKind.REINDEX, options, idempotency_key="k")
        assert (job.kind, job.state, job.options) == (JobKind.REINDEX, JobState.RUNNING, options)
        assert (job.counts, job.planned, job.finished, job.stages) == (Counts(), 0, 0, ())
        assert (job.started_at, job.finished_at, job.error, job.scan_cursor) == (None, None, None, None)
        assert ledger.job(job.id) == job

    def test_the_same_idempotency_key_answers_the_same_job_for_ever(self, ledger: SqlLedger) -> None:
        job = started(ledger, key="nightly")
        assert ledger.create_job("shop", 1, JobKind.SYNC, JobOptions(), idempotency_key="nightly").id == job.id
        ledger.finish_job(job.id, JobState.DONE)
        again = ledger.create_job("shop", 1, JobKind.SYNC, JobOptions(), idempotency_key="nightly")
        assert (again.id, again.state) == (job.id, JobState.DONE)
        assert started(ledger, "other", key="nightly").id != job.id

    @pytest.mark.parametrize("state", [JobState.RUNNING, JobState.AWAITING_CONFIRMATION])
    def test_one_open_job_a_catalog(self, ledger: SqlLedger, state: JobState) -> None:
        job = started(ledger)
        ledger.finish_job(job.id, state)
        with pytest.raises(JobConflictError, match=f"job {job.id} of catalog 'shop'") as caught:
            ledger.create_job("shop", 1, JobKind.RETRY, JobOptions(), idempotency_key="2")
        assert caught.value.job_id == job.id
        ledger.finish_job(job.id, JobState.FAILED, error="why")
        assert ledger.create_job("shop", 1, JobKind.RETRY, JobOptions(), idempotency_key="2").id != job.id

    def test_a_job_needs_its_generation(self, ledger: SqlLedger) -> None:
        ledger.ensure_catalog("shop", source_url="file:///a")
        with pytest.raises(NotFoundError, match="catalog 'shop' has no generation 1"):
            ledger.create_job("shop", 1, JobKind.SYNC, JobOptions(), idempotency_key="k")

    def test_a_job_is_found_by_an_unambiguous_prefix(self, ledger: SqlLedger, monkeypatch: pytest.MonkeyPatch) -> None:
        ids = iter(["abcd1" + "0" * 27, "abcd2" + "0" * 27, "abcd2" + "f" * 27])
        monkeypatch.setattr("workers.adapters.ledger.jobs.new_id", lambda: next(ids))
        for name in ("a", "b", "c"):
            started(ledger, name)
        assert ledger.job("abcd1").catalog == "a"
        assert ledger.job("abcd2f").catalog == "c"
        with pytest.raises(NotFoundError, match="abcd2 begins several jobs' ids"):
            ledger.job("abcd2")
        with pytest.raises(NotFoundError, match="there is no job abcd3"):
            ledger.job("abcd3")
        for wrong in ("abc", "", "abcd%", "ABCD1", "abcd1" + "0" * 28):
            with pytest.raises(NotFoundError, match="is no job's id"):
                ledger.job(wrong)

    def test_jobs_come_newest_first_and_open_ones_oldest_first(self, ledger: SqlLedger) -> None:
        made = [started(ledger, name) for name in ("a", "b", "c")]
        ledger.finish_job(made[1].id, JobState.DONE)
        newer = started(ledger, "b", key="2")
        assert [job.id for job in ledger.jobs()] == [newer.id, made[2].id, made[1].id, made[0].id]
        assert [job.id for job in ledger.jobs(limit=2)] == [newer.id, made[2].id]
        assert [job.id for job in ledger.jobs(catalog="b")] == [newer.id, made[1].id]
        assert [job.id for job in ledger.open_jobs()] == [made[0].id, made[2].id, newer.id]

    def test_a_final_state_is_set_once_and_frees_what_the_job_planned(self, ledger: SqlLedger) -> None:
        job = started(ledger)
        settled(ledger, job, ["a"])
        lease = claimed(ledger, planned(ledger, job, ["b", "c"]))
        ledger.record(lease, [indexed("b")], lease_s=LEASE_S)
        ended = ledger.finish_job(job.id, JobState.FAILED, error="the disk burnt")
        assert (ended.state, ended.error, ended.finished_at is None) == (JobState.FAILED, "the disk burnt", False)
        assert ledger.finish_job(job.id, JobState.DONE) == ended
        assert (ended.counts.indexed, ended.planned, ended.finished) == (2, 3, 2)
        assert ledger.unfinished_batches(job.id) == 0
        assert ledger.claim_batch(lease.batch_id, worker="w", lease_s=LEASE_S) is None
        assert [row.work for row in ledger.rows("shop", 1, job_id=job.id, after=None, limit=9)] == [None] * 3
        with pytest.raises(LeaseLostError):
            ledger.record(lease, [indexed("c")], lease_s=LEASE_S)
        with pytest.raises(LeaseLostError):
            ledger.plan_page(job.id, token=SCAN, page=page(["d"]))

    def test_an_unknown_job_is_said_to_be_unknown(self, ledger: SqlLedger) -> None:
        unknown = "0" * 32
        for act in (
            lambda: ledger.finish_job(unknown, JobState.DONE),
            lambda: ledger.request_cancel(unknown),
            lambda: ledger.confirm_deletes(unknown),
            lambda: ledger.allow_deletes(unknown),
            lambda: ledger.blamed(unknown),
            lambda: ledger.restart_scan(unknown),
            lambda: ledger.claim_scan(unknown, token="t", lease_s=LEASE_S),
            lambda: ledger.vanished(unknown),
            lambda: ledger.take_ready(unknown, window=1),
        ):
            with pytest.raises(NotFoundError, match="there is no job 0000"):
                act()

    def test_a_cancelled_job_hands_nothing_out_any_more(self, ledger: SqlLedger) -> None:
        job = started(ledger)
        running = claimed(ledger, planned(ledger, job, ["a"]))
        waiting = planned(ledger, job, ["b"])
        assert ledger.request_cancel(job.id).cancel_requested
        assert ledger.claim_batch(waiting, worker="w", lease_s=LEASE_S) is None
        assert ledger.take_ready(job.id, window=9) == []
        assert ledger.record(running, [indexed("a")], lease_s=LEASE_S).stop_requested
        assert ledger.renew(running, lease_s=LEASE_S).stop_requested
        done = ledger.finish_job(job.id, JobState.CANCELLED)
        assert ledger.request_cancel(job.id) == done

    def test_confirming_deletes_needs_a_job_that_waits_for_it(self, ledger: SqlLedger) -> None:
        job = started(ledger)
        with pytest.raises(ContractError, match="is running: it does not wait"):
            ledger.confirm_deletes(job.id)
        settled(ledger, job, ["a", "b", "c"])
        ledger.plan_page(job.id, token=SCAN, page=page([], vanished=["a", "b"], complete=True))
        assert ledger.job(job.id).confirmed_deletes is None
        ledger.finish_job(job.id, JobState.AWAITING_CONFIRMATION)
        confirmed = ledger.confirm_deletes(job.id)
        assert (confirmed.state, confirmed.confirmed_deletes) == (JobState.RUNNING, 2)
        assert not confirmed.options.allow_deletes
        ledger.restart_scan(job.id)
        assert ledger.job(job.id).confirmed_deletes == 2

    def test_deletes_can_be_allowed_while_the_job_is_open(self, ledger: SqlLedger) -> None:
        job = started(ledger)
        ledger.finish_job(job.id, JobState.AWAITING_CONFIRMATION)
        allowed = ledger.allow_deletes(job.id)
        assert (allowed.state, allowed.options.allow_deletes) == (JobState.AWAITING_CONFIRMATION, True)
        assert ledger.allow_deletes(job.id) == allowed
        other = started(ledger, "other")
        done = ledger.finish_job(other.id, JobState.DONE)
        assert ledger.allow_deletes(other.id) == done

    def test_stage_figures_add_up_by_stage(self, ledger: SqlLedger) -> None:
        job = started(ledger)
        first, second = (claimed(ledger, planned(ledger, job, [key])) for key in "ab")
        ledger.release_batch(
            first, stages=[StageStat(stage="fetch", busy_s=1.0, wait_s=0.5, items=2, bytes=3, threads=4)], wall_s=2.0
        )
        ledger.record(second, [indexed("b")], lease_s=LEASE_S)
        stages = [StageStat(stage="embed", busy_s=9.0), StageStat(stage="fetch", busy_s=2.0, items=1, threads=2)]
        ledger.finish_batch(second, stages=stages, wall_s=0.25)
        job = ledger.job(job.id)
        assert job.wall_s == 2.25
        assert {stage.stage: stage for stage in job.stages} == {
            "fetch": StageStat(stage="fetch", busy_s=3.0, wait_s=0.5, items=3, bytes=3, threads=4),
            "embed": StageStat(stage="embed", busy_s=9.0),
        }


class TestTheScan:
    def test_one_token_scans_at_a_time(self, ledger: SqlLedger) -> None:
        job = started(ledger)
        assert ledger.job(job.id).started_at is not None
        assert not ledger.claim_scan(job.id, token="other", lease_s=LEASE_S)
        assert ledger.claim_scan(job.id, token=SCAN, lease_s=LEASE_S)
        ledger.release_scan(job.id, token="other")
        assert not ledger.claim_scan(job.id, token="other", lease_s=LEASE_S)
        ledger.release_scan(job.id, token=SCAN)
        assert ledger.claim_scan(job.id, token="other", lease_s=LEASE_S)

    def test_a_scan_that_ran_out_is_taken_over_and_fenced(self, ledger: SqlLedger) -> None:
        job = started(ledger)
        ledger.claim_scan(job.id, token=SCAN, lease_s=EXPIRED_S)
        assert ledger.claim_scan(job.id, token="other", lease_s=LEASE_S)
        with pytest.raises(LeaseLostError, match="held by another process"):
            ledger.plan_page(job.id, token=SCAN, page=page(["a"], vanished=["b"]))
        after = ledger.job(job.id)
        assert (after.planned, after.counts, after.scan_cursor) == (0, Counts(), None)
        assert keys_of(ledger) == []

    def test_a_final_job_is_not_scanned(self, ledger: SqlLedger) -> None:
        job = started(ledger)
        ledger.finish_job(job.id, JobState.DONE)
        assert not ledger.claim_scan(job.id, token=SCAN, lease_s=LEASE_S)

    def test_a_page_is_one_batch_with_its_counts_and_cursor(self, ledger: SqlLedger) -> None:
        job = started(ledger)
        counts = Counts(seen=5, ignored=2, new=3, unchanged=2, manifest_orphans=1)
        batch_id = ledger.plan_page(job.id, token=SCAN, page=page(["c", "a", "b"], counts=counts))
        assert batch_id is not None
        assert ledger.plan_page(job.id, token=SCAN, page=page([], complete=True, counts=counts)) is None
        after = ledger.job(job.id)
        assert after.counts == Counts(seen=10, ignored=4, new=6, unchanged=4, manifest_orphans=2)
        assert (after.planned, after.finished, after.scan_cursor, after.scan_complete) == (3, 0, "", True)
        lease = claimed(ledger, batch_id)
        assert lease.items == tuple(
            WorkItem(key=key, change=Change.NEW, etag="listed", size=10) for key in ("c", "a", "b")
        )
        assert ledger.unfinished_batches(job.id) == 1

    def test_a_key_planned_before_keeps_its_batch(self, ledger: SqlLedger) -> None:
        job = started(ledger)
        first = planned(ledger, job, ["a", "b"])
        second = planned(ledger, job, ["b", "c"])
        assert ledger.plan_page(job.id, token=SCAN, page=page(["a", "c"])) is None
        assert [item.key for item in claimed(ledger, first).items] == ["a", "b"]
        assert [item.key for item in claimed(ledger, second).items] == ["c"]
        assert ledger.job(job.id).planned == 3
        assert ledger.unfinished_batches(job.id) == 2

    def test_a_restarted_scan_counts_again_and_keeps_the_batches(self, ledger: SqlLedger) -> None:
        job = started(ledger)
        counts = Counts(seen=9, ignored=1, new=2, changed=3, unchanged=4, manifest_orphans=5, retried=6)
        ledger.plan_page(job.id, token=SCAN, page=page(["a"], vanished=["z"], complete=True, counts=counts))
        ledger.restart_scan(job.id)
        after = ledger.job(job.id)
        assert after.counts == Counts()
        assert (after.scan_cursor, after.scan_complete, after.planned) == (None, False, 1)
        assert ledger.vanished(job.id) == (0, 1)
        assert ledger.unfinished_batches(job.id) == 1
        [row] = ledger.rows("shop", 1, job_id=job.id, after=None, limit=9)
        assert (row.key, row.work, row.work_done) == ("a", Change.NEW, False)

    def test_a_restarted_retry_keeps_what_it_has_planned(self, ledger: SqlLedger) -> None:
        first = started(ledger, key="first")
        settled(ledger, first, ["a", "b"], failed)
        ledger.finish_job(first.id, JobState.DONE)
        retry = started(ledger, kind=JobKind.RETRY, key="retry")
        assert ledger.plan_retry(retry.id, limit=9) == 2
        ledger.restart_scan(retry.id)
        assert ledger.plan_retry(retry.id, limit=9) == 0
        assert ledger.job(retry.id).counts.retried == 2

    def test_whoever_scans_loses_the_scan_when_it_is_restarted(self, ledger: SqlLedger) -> None:
        job = started(ledger)
        ledger.restart_scan(job.id)
        with pytest.raises(LeaseLostError):
            ledger.plan_page(job.id, token=SCAN, page=page(["a"]))
        assert ledger.claim_scan(job.id, token="other", lease_s=LEASE_S)


class TestVanishedKeys:
    @pytest.fixture
    def shop(self, ledger: SqlLedger) -> SqlLedger:
        first = started(ledger, key="first")
        settled(ledger, first, ["a", "b", "c", "d"])
        ledger.finish_job(first.id, JobState.DONE)
        return ledger

    def test_they_are_marked_and_counted_against_what_there_was(self, shop: SqlLedger) -> None:
        job = started(shop, key="second")
        shop.plan_page(job.id, token=SCAN, page=page(["e"], vanished=["a", "c"]))
        shop.plan_page(job.id, token=SCAN, page=page([], vanished=["a", "unknown"], complete=True))
        assert shop.vanished(job.id) == (2, 4)
        rows = {row.key: row.vanished for row in shop.rows("shop", 1, job_id=job.id, after=None, limit=9)}
        assert rows == {"a": True, "b": False, "c": True, "d": False, "e": False}
        assert not any(row.vanished for row in shop.rows("shop", 1, job_id=None, after=None, limit=9))

    def test_deletes_are_planned_in_bounded_batches_and_carried_out(self, shop: SqlLedger) -> None:
        job = started(shop, key="second")
        shop.plan_page(job.id, token=SCAN, page=page([], vanished=["a", "b", "d"], complete=True))
        assert [shop.plan_deletes(job.id, limit=2) for _ in range(2)] == [2, 1]
        assert not shop.job(job.id).deletes_planned
        assert [shop.plan_deletes(job.id, limit=2) for _ in range(2)] == [0, 0]
        assert shop.job(job.id).deletes_planned
        for batch_id in shop.take_ready(job.id, window=9):
            lease = claimed(shop, batch_id)
            assert {item.change for item in lease.items} == {Change.DELETE}
            shop.record(lease, [gone(item.key) for item in lease.items], lease_s=LEASE_S)
            shop.finish_batch(lease, stages=(), wall_s=0.0)
        after = shop.job(job.id)
        assert (after.counts.deleted, after.planned, after.finished) == (3, 3, 3)
        assert shop.vanished(job.id) == (3, 4)
        assert keys_of(shop) == ["c"]

    def test_a_mark_of_an_older_job_means_nothing_and_a_key_that_shows_up_again_is_cleared(
        self, shop: SqlLedger
    ) -> None:
        second = started(shop, key="second")
        shop.plan_page(second.id, token=SCAN, page=page([], vanished=["a", "b"], complete=True))
        shop.finish_job(second.id, JobState.CANCELLED)
        third = started(shop, key="third")
        shop.plan_page(third.id, token=SCAN, page=page(["a"], change=Change.CHANGED, vanished=["c"], complete=True))
        assert shop.vanished(third.id) == (1, 4)
        assert shop.plan_deletes(third.id, limit=9) == 1
        rows = {row.key: row.vanished for row in shop.rows("shop", 1, job_id=third.id, after=None, limit=9)}
        assert rows == {"a": False, "b": False, "c": True, "d": False}

    def test_a_key_that_the_same_scan_lists_after_all_is_not_deleted(self, shop: SqlLedger) -> None:
        job = started(shop, key="second")
        shop.plan_page(job.id, token=SCAN, page=page([], vanished=["a", "b"]))
        shop.plan_page(job.id, token=SCAN, page=page(["a"], change=Change.CHANGED, complete=True))
        rows = {row.key: row.vanished for row in shop.rows("shop", 1, job_id=job.id, after=None, limit=9)}
        assert rows == {"a": False, "b": True, "c": False, "d": False}
        assert shop.plan_deletes(job.id, limit=9) == 1

    def test_a_vanished_key_that_is_in_a_batch_already_does_not_end_the_planning(self, shop: SqlLedger) -> None:
        job = started(shop, key="second")
        shop.plan_page(job.id, token=SCAN, page=page(["a"], change=Change.CHANGED))
        shop.restart_scan(job.id)
        assert shop.claim_scan(job.id, token=SCAN, lease_s=LEASE_S)
        shop.plan_page(job.id, token=SCAN, page=page([], vanished=["a", "b"], complete=True))
        assert [shop.plan_deletes(job.id, limit=1) for _ in range(2)] == [1, 0]
        assert shop.job(job.id).deletes_planned

    def test_a_key_listed_again_after_a_restart_is_not_deleted(self, shop: SqlLedger) -> None:
        job = started(shop, key="second")
        shop.plan_page(job.id, token=SCAN, page=page([], vanished=["a", "b"], complete=True))
        shop.restart_scan(job.id)
        assert shop.claim_scan(job.id, token=SCAN, lease_s=LEASE_S)
        shop.plan_page(job.id, token=SCAN, page=page([], vanished=["b"], complete=True))
        assert shop.vanished(job.id) == (1, 4)
        assert shop.plan_deletes(job.id, limit=9) == 1


class TestRetry:
    def test_it_plans_what_was_quarantined_or_failed_once_each(self, ledger: SqlLedger) -> None:
        first = started(ledger, key="first")
        settled(ledger, first, ["a", "d"])
        settled(ledger, first, ["b", "e"], quarantined)
        settled(ledger, first, ["c"], failed)
        ledger.finish_job(first.id, JobState.DONE)
        retry = started(ledger, kind=JobKind.RETRY, key="retry")
        assert [ledger.plan_retry(retry.id, limit=2) for _ in range(4)] == [2, 1, 0, 0]
        after = ledger.job(retry.id)
        assert (after.counts.retried, after.planned, after.scan_complete) == (3, 3, True)
        taken = [claimed(ledger, batch_id) for batch_id in ledger.take_ready(retry.id, window=9)]
        assert [[item.key for item in lease.items] for lease in taken] == [["b", "c"], ["e"]]
        assert {item.change for lease in taken for item in lease.items} == {Change.RETRY}
        ledger.record(taken[0], [quarantined("b"), indexed("c")], lease_s=LEASE_S)
        [b, e] = ledger.quarantine("shop")
        assert (b.key, b.attempts, e.key, e.attempts) == ("b", 2, "e", 1)

    def test_a_cancelled_job_plans_nothing_more(self, ledger: SqlLedger) -> None:
        first = started(ledger, key="first")
        settled(ledger, first, ["b"], quarantined)
        ledger.finish_job(first.id, JobState.DONE)
        retry = started(ledger, kind=JobKind.RETRY, key="retry")
        ledger.request_cancel(retry.id)
        assert ledger.plan_retry(retry.id, limit=9) == 0
        assert ledger.plan_deletes(retry.id, limit=9) == 0
        assert not ledger.job(retry.id).scan_complete
