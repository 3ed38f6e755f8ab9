"""The ledger's contract: claims, fences, outcomes, and what becomes of batches that are lost."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from schemas.ids import point_id
from schemas.outcomes import OutcomeKind, Reason
from schemas.records import Change, Counts, JobKind, JobOptions, JobState, ManifestRow, Outcome
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
from workers.errors import ContractError, LeaseLostError


@pytest.fixture(params=PLACES)
def ledger(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[SqlLedger]:
    with ledger_in(request.param, tmp_path) as opened:
        yield opened


def state_of(ledger: SqlLedger, job_id: str) -> tuple[object, ...]:
    """Everything an outcome could have changed."""
    return ledger.job(job_id), ledger.placements("shop", 1), ledger.rows("shop", 1, job_id=job_id, after=None, limit=99)


class TestHandingOut:
    def test_at_most_a_window_of_batches_is_underway(self, ledger: SqlLedger) -> None:
        job = started(ledger)
        batches = [planned(ledger, job, [key]) for key in "abcde"]
        assert ledger.take_ready(job.id, window=2) == batches[:2]
        assert ledger.take_ready(job.id, window=2) == []
        lease = claimed(ledger, batches[0])
        assert ledger.take_ready(job.id, window=2) == []
        ledger.record(lease, [indexed("a")], lease_s=LEASE_S)
        ledger.finish_batch(lease, stages=(), wall_s=0.0)
        assert ledger.take_ready(job.id, window=3) == batches[2:4]
        assert ledger.take_ready(job.id, window=1) == []
        assert ledger.unfinished_batches(job.id) == 4

    def test_lost_messages_are_published_again(self, ledger: SqlLedger) -> None:
        job = started(ledger)
        batches = [planned(ledger, job, [key]) for key in "abc"]
        ledger.take_ready(job.id, window=3)
        claimed(ledger, batches[0])
        assert ledger.batches_underway(job.id) == 3
        assert ledger.requeue_queued(job.id, older_than_s=60.0) == 0
        assert ledger.requeue_queued(job.id) == 2
        assert ledger.batches_underway(job.id) == 1
        assert ledger.take_ready(job.id, window=3) == batches[1:]

    def test_a_batch_is_claimed_once(self, ledger: SqlLedger) -> None:
        job = started(ledger)
        batch_id = planned(ledger, job, ["a"])
        lease = claimed(ledger, batch_id)
        assert ledger.claim_batch(batch_id, worker="w", lease_s=LEASE_S) is None
        ledger.record(lease, [indexed("a")], lease_s=LEASE_S)
        ledger.finish_batch(lease, stages=(), wall_s=0.0)
        assert ledger.claim_batch(batch_id, worker="w", lease_s=LEASE_S) is None
        assert ledger.claim_batch("0" * 32, worker="w", lease_s=LEASE_S) is None

    def test_a_lease_carries_all_a_worker_needs(self, ledger: SqlLedger) -> None:
        job = started(ledger)
        rows = [ManifestRow(key=key, digest=f"digest {key}", fields={"brand": "Ä", "price": 1.5}) for key in "ax"]
        ledger.stage_manifest("shop", "s", rows)
        ledger.adopt_manifest("shop", "s")
        lease = claimed(ledger, planned(ledger, job, ["a", "b"]))
        assert (lease.job_id, lease.catalog, lease.source_url) == (job.id, "shop", "file:///shop")
        assert (lease.generation, lease.collection, lease.model_digest) == (1, "shop--g1", "m" * 64)
        assert (lease.losses, lease.manifest) == (0, {"a": rows[0]})
        assert ledger.job(job.id).started_at is not None

    def test_every_claim_draws_a_higher_version(self, ledger: SqlLedger) -> None:
        jobs = started(ledger, "shop"), started(ledger, "other")
        versions = [claimed(ledger, planned(ledger, job, [key])).version for key in "abc" for job in jobs]
        assert versions == sorted(set(versions))


class TestRecording:
    def test_an_indexed_image_is_placed(self, ledger: SqlLedger) -> None:
        job = started(ledger)
        lease = claimed(ledger, planned(ledger, job, ["a", "b"]))
        assert not ledger.record(lease, [indexed("a", digest="d")], lease_s=LEASE_S).stop_requested
        [placement] = ledger.placements("shop", 1)
        assert (placement.key, placement.point_id) == ("a", point_id("shop", "a"))
        assert (placement.version, placement.etag, placement.content_digest) == (lease.version, "read", "d")
        assert (placement.outcome, placement.reason) == (OutcomeKind.INDEXED, None)
        a, b = ledger.rows("shop", 1, job_id=job.id, after=None, limit=9)
        assert (a.etag, a.size, a.outcome, a.work, a.work_done) == ("read", 11, OutcomeKind.INDEXED, Change.NEW, True)
        assert (b.etag, b.size, b.outcome, b.work, b.work_done) == (None, None, None, Change.NEW, False)

    def test_each_outcome_adds_to_its_own_count(self, ledger: SqlLedger) -> None:
        job = started(ledger)
        lease = claimed(ledger, planned(ledger, job, list("abcdef")))
        duplicate = Outcome(key="b", kind=OutcomeKind.DUPLICATE, etag="e", content_digest="d")
        outcomes = [indexed("a"), duplicate, quarantined("c"), failed("d"), gone("e", Reason.VANISHED), indexed("f")]
        ledger.record(lease, outcomes, lease_s=LEASE_S)
        after = ledger.job(job.id)
        assert after.finished == 6
        assert after.counts == Counts(seen=6, new=6, indexed=2, duplicates=1, quarantined=1, failed=1, vanished=1)

    def test_recording_again_is_harmless_and_counts_once(self, ledger: SqlLedger) -> None:
        job = started(ledger)
        lease = claimed(ledger, planned(ledger, job, ["a", "b", "c"]))
        outcomes = [indexed("a"), quarantined("b"), indexed("a")]
        ledger.record(lease, outcomes, lease_s=LEASE_S)
        before = state_of(ledger, job.id)
        ledger.record(lease, outcomes, lease_s=LEASE_S)
        ledger.record(lease, [indexed("b")], lease_s=LEASE_S)  # the first outcome holds
        ledger.record(lease, [], lease_s=LEASE_S)
        assert state_of(ledger, job.id) == before
        assert [row.attempts for row in ledger.quarantine("shop")] == [1]

    def test_a_released_batch_hands_out_what_has_no_outcome(self, ledger: SqlLedger) -> None:
        job = started(ledger)
        batch_id = planned(ledger, job, ["c", "a", "b"])
        lease = claimed(ledger, batch_id)
        ledger.record(lease, [indexed("a")], lease_s=LEASE_S)
        ledger.release_batch(lease)
        assert ledger.take_ready(job.id, window=9) == [batch_id]
        again = claimed(ledger, batch_id)
        assert [item.key for item in again.items] == ["c", "b"]
        assert (again.losses, again.version > lease.version, again.token != lease.token) == (0, True, True)

    def test_releasing_a_batch_with_all_its_outcomes_closes_it(self, ledger: SqlLedger) -> None:
        job = started(ledger)
        lease = claimed(ledger, planned(ledger, job, ["a"]))
        ledger.record(lease, [indexed("a")], lease_s=LEASE_S)
        ledger.release_batch(lease, wall_s=1.5)
        assert (ledger.unfinished_batches(job.id), ledger.job(job.id).wall_s) == (0, 1.5)

    def test_a_batch_with_unfinished_items_cannot_be_finished(self, ledger: SqlLedger) -> None:
        job = started(ledger)
        lease = claimed(ledger, planned(ledger, job, ["a", "b"]))
        ledger.record(lease, [indexed("a")], lease_s=LEASE_S)
        with pytest.raises(ContractError, match="1 items have no outcome yet"):
            ledger.finish_batch(lease, stages=(), wall_s=0.0)
        ledger.record(lease, [indexed("b")], lease_s=LEASE_S)
        ledger.finish_batch(lease, stages=(), wall_s=0.0)

    def test_an_outcome_for_a_strange_key_writes_nothing(self, ledger: SqlLedger) -> None:
        job = started(ledger)
        planned(ledger, job, ["b"])
        lease = claimed(ledger, planned(ledger, job, ["a"]))
        before = state_of(ledger, job.id)
        with pytest.raises(ContractError, match=f"'b' is not in batch {lease.batch_id}"):
            ledger.record(lease, [indexed("a"), indexed("b")], lease_s=LEASE_S)
        assert state_of(ledger, job.id) == before

    def test_text_comes_back_as_it_was_written(self, ledger: SqlLedger) -> None:
        keys = sorted(
            ["{a,b}", 'quoted "b"', "back\\slash", "it's", "line\nfeed", "tab\t", "NULL", "żółw", "👗.jpg", "%(x)s"]
        )
        job = started(ledger)
        lease = claimed(ledger, planned(ledger, job, keys))
        assert [item.key for item in lease.items] == keys
        outcomes = [quarantined(key) for key in keys[:5]] + [indexed(key, etag=f'"{key}"') for key in keys[5:]]
        ledger.record(lease, outcomes, lease_s=LEASE_S)
        placed = ledger.placements("shop", job.generation)
        assert {(p.key, p.etag, p.content_digest) for p in placed} == {
            (o.key, o.etag, o.content_digest) for o in outcomes
        }
        assert [(row.key, row.detail) for row in ledger.quarantine("shop")] == [(o.key, o.detail) for o in outcomes[:5]]

    def test_a_stale_token_writes_nothing(self, ledger: SqlLedger) -> None:
        job = started(ledger)
        batch_id = planned(ledger, job, ["a"])
        stale = claimed(ledger, batch_id, lease_s=EXPIRED_S)
        ledger.reap()
        current = claimed(ledger, batch_id)
        before = state_of(ledger, job.id)
        for act in (
            lambda: ledger.record(stale, [indexed("a")], lease_s=LEASE_S),
            lambda: ledger.renew(stale, lease_s=LEASE_S),
            lambda: ledger.finish_batch(stale, stages=(), wall_s=9.0),
            lambda: ledger.release_batch(stale, wall_s=9.0),
        ):
            with pytest.raises(LeaseLostError, match="held by another worker"):
                act()
        assert state_of(ledger, job.id) == before
        ledger.record(current, [indexed("a")], lease_s=LEASE_S)

    def test_many_outcomes_at_once(self, ledger: SqlLedger) -> None:
        job = started(ledger)
        keys = [f"{number:05d}" for number in range(1201)]
        settled(ledger, job, keys)
        assert ledger.job(job.id).counts.indexed == 1201
        assert ledger.outcome_counts("shop", 1) == {"indexed": 1201}


class TestWhatBecomesOfAnImage:
    def next_job(self, ledger: SqlLedger, **how: JobKind) -> str:
        self.number = getattr(self, "number", 0) + 1
        for job in ledger.open_jobs():
            ledger.finish_job(job.id, JobState.DONE)
        return started(ledger, key=str(self.number), **how).id

    def settle(self, ledger: SqlLedger, outcome: Outcome, change: Change = Change.CHANGED) -> Counts:
        job = ledger.job(self.next_job(ledger))
        settled(ledger, job, [outcome.key], lambda _key: outcome, change=change)
        return ledger.job(job.id).counts

    def test_attempts_grow_in_a_row_and_end_with_success(self, ledger: SqlLedger) -> None:
        for outcome in (quarantined("a"), failed("a"), quarantined("a", Reason.CORRUPT)):
            self.settle(ledger, outcome)
        [row] = ledger.quarantine("shop")
        assert (row.attempts, row.kind, row.reason, row.detail) == (
            3,
            OutcomeKind.QUARANTINED,
            Reason.CORRUPT,
            "a is bad",
        )
        self.settle(ledger, indexed("a"))
        assert ledger.quarantine("shop") == []
        self.settle(ledger, failed("a"))
        assert [row.attempts for row in ledger.quarantine("shop")] == [1]

    def test_a_payload_change_touches_the_manifest_digest_alone(self, ledger: SqlLedger) -> None:
        self.settle(ledger, indexed("a", etag="old", digest="d"))
        [before] = ledger.placements("shop", 1)
        payload = Outcome(key="a", kind=OutcomeKind.INDEXED, etag="ignored", manifest_digest="m2")
        counts = self.settle(ledger, payload, Change.PAYLOAD)
        assert counts == Counts(seen=1, payload_updated=1)
        [after] = ledger.placements("shop", 1)
        assert after.version > before.version
        assert (after.etag, after.content_digest, after.outcome) == ("old", "d", OutcomeKind.INDEXED)
        [row] = ledger.rows("shop", 1, job_id=None, after=None, limit=9)
        assert (row.manifest_digest, row.etag, row.size) == ("m2", "old", 11)

    def test_a_payload_without_its_point_is_tried_again(self, ledger: SqlLedger) -> None:
        self.settle(ledger, indexed("a", digest="d"))
        [before] = ledger.placements("shop", 1)
        reason = Reason.INDEX_UNAVAILABLE
        lost = Outcome(key="a", kind=OutcomeKind.FAILED, etag="listed", reason=reason, detail="no such point")
        assert self.settle(ledger, lost, Change.PAYLOAD) == Counts(seen=1, failed=1)
        [after] = ledger.placements("shop", 1)
        assert (after.outcome, after.reason, after.etag) == (OutcomeKind.FAILED, reason, before.etag)
        assert after.version > before.version
        [row] = ledger.rows("shop", 1, job_id=None, after=None, limit=9)
        assert row.outcome is OutcomeKind.FAILED
        [shown] = ledger.quarantine("shop")
        assert (shown.reason, shown.detail, shown.attempts) == (reason, "no such point", 1)
        assert ledger.originals("shop", 1, ["d"]) == {}
        self.settle(ledger, lost, Change.PAYLOAD)
        assert [row.attempts for row in ledger.quarantine("shop")] == [2]
        self.settle(ledger, indexed("a"), Change.RETRY)
        assert [placement.outcome for placement in ledger.placements("shop", 1)] == [OutcomeKind.INDEXED]

    @pytest.mark.parametrize("change", [Change.PAYLOAD, Change.DELETE])
    def test_a_payload_or_delete_that_failed_leaves_the_placement(self, ledger: SqlLedger, change: Change) -> None:
        self.settle(ledger, indexed("a"))
        before = ledger.placements("shop", 1)
        assert self.settle(ledger, failed("a"), change).failed == 1
        assert ledger.placements("shop", 1) == before
        assert ledger.quarantine("shop") == []

    def test_a_deleted_image_leaves_a_tombstone_and_is_new_when_it_comes_back(self, ledger: SqlLedger) -> None:
        self.settle(ledger, indexed("a"))
        counts = self.settle(ledger, gone("a"), Change.DELETE)
        assert (counts.deleted, counts.vanished) == (1, 0)
        [tombstone] = ledger.placements("shop", 1)
        assert (tombstone.outcome, tombstone.content_digest) == (OutcomeKind.DELETED, None)
        assert ledger.rows("shop", 1, job_id=None, after=None, limit=9) == []
        job = ledger.job(self.next_job(ledger))
        ledger.plan_page(job.id, token=SCAN, page=page(["a"]))
        [row] = ledger.rows("shop", 1, job_id=job.id, after=None, limit=9)
        assert (row.key, row.work) == ("a", Change.NEW)
        self.settle(ledger, indexed("a"), Change.NEW)
        assert [placement.outcome for placement in ledger.placements("shop", 1)] == [OutcomeKind.INDEXED]

    @pytest.mark.parametrize("change", [Change.NEW, Change.CHANGED])
    def test_an_image_that_vanished_before_it_was_read_is_forgotten(self, ledger: SqlLedger, change: Change) -> None:
        if change is Change.CHANGED:
            self.settle(ledger, indexed("a"))
        counts = self.settle(ledger, gone("a", Reason.VANISHED), change)
        assert (counts.deleted, counts.vanished) == (0, 1)
        assert ledger.rows("shop", 1, job_id=None, after=None, limit=9) == []
        assert [placement.outcome for placement in ledger.placements("shop", 1)] == [OutcomeKind.DELETED]

    def test_a_key_that_another_generation_still_holds_stays_known(self, ledger: SqlLedger) -> None:
        self.settle(ledger, indexed("a"))
        ledger.finish_job(ledger.open_jobs()[0].id, JobState.DONE)
        ledger.add_generation("shop", model_digest="2" * 64)
        job = ledger.create_job("shop", 2, JobKind.REINDEX, JobOptions(), idempotency_key="re")
        ledger.claim_scan(job.id, token=SCAN, lease_s=LEASE_S)
        settled(ledger, job, ["a"], lambda key: gone(key, Reason.VANISHED))
        ledger.finish_job(job.id, JobState.CANCELLED)
        assert [row.key for row in ledger.rows("shop", 1, job_id=None, after=None, limit=9)] == ["a"]
        assert ledger.rows("shop", 2, job_id=None, after=None, limit=9) == []

    def test_the_newer_version_wins(self, ledger: SqlLedger) -> None:
        old = settled(ledger, ledger.job(self.next_job(ledger)), ["x"]).version
        newer = {"a": indexed("a", etag="new"), "b": gone("b"), "c": quarantined("c"), "d": indexed("d")}
        settled(ledger, ledger.job(self.next_job(ledger)), list(newer), newer.__getitem__)
        before = ledger.placements("shop", 1)
        job = ledger.job(self.next_job(ledger))
        late = replace(claimed(ledger, planned(ledger, job, list(newer), change=Change.CHANGED)), version=old)
        older = [indexed("a", etag="old"), indexed("b"), indexed("c"), gone("d", Reason.VANISHED)]
        ledger.record(late, older, lease_s=LEASE_S)
        assert ledger.placements("shop", 1) == before
        assert [row.attempts for row in ledger.quarantine("shop")] == [1]
        assert "d" in [row.key for row in ledger.rows("shop", 1, job_id=None, after=None, limit=9)]


class TestLosses:
    def test_a_lease_that_runs_is_left_alone(self, ledger: SqlLedger) -> None:
        job = started(ledger)
        lease = claimed(ledger, planned(ledger, job, ["a"]))
        assert ledger.reap() == []
        ledger.renew(lease, lease_s=EXPIRED_S)
        ledger.record(lease, [], lease_s=LEASE_S)
        assert ledger.reap() == []
        ledger.renew(lease, lease_s=EXPIRED_S)
        assert ledger.reap() == [job.id]
        assert ledger.reap() == []

    def test_leases_of_dead_workers_are_taken_at_once(self, ledger: SqlLedger) -> None:
        jobs = started(ledger, "shop"), started(ledger, "other")
        for job, worker in zip(jobs, ("host_1:77", "host%1:77"), strict=True):
            claimed(ledger, planned(ledger, job, ["a"]), worker=worker)
        assert ledger.reap(worker_prefix="nobody") == []
        assert ledger.reap(worker_prefix="host_1:") == [jobs[0].id]
        assert ledger.reap(worker_prefix="host") == [jobs[1].id]

    def test_a_lost_batch_is_split_and_its_halves_keep_their_order(self, ledger: SqlLedger) -> None:
        job = started(ledger)
        planned(ledger, job, list("abcde"))
        later = planned(ledger, job, ["z"])
        [first, _] = ledger.take_ready(job.id, window=9)
        lease = claimed(ledger, first, lease_s=LEASE_S)
        ledger.record(lease, [indexed("b")], lease_s=EXPIRED_S)
        assert ledger.reap() == [job.id]
        halves = [claimed(ledger, batch_id) for batch_id in ledger.take_ready(job.id, window=9)]
        assert sorted([item.key for item in half.items] for half in halves) == [["a", "c"], ["d", "e"]]
        assert [half.losses for half in halves] == [1, 1]
        assert ledger.unfinished_batches(job.id) == 3
        assert [item.key for item in claimed(ledger, later).items] == ["z"]
        assert (ledger.job(job.id).planned, ledger.job(job.id).finished) == (6, 1)

    def test_a_lost_batch_with_all_its_outcomes_is_closed(self, ledger: SqlLedger) -> None:
        job = started(ledger)
        lease = claimed(ledger, planned(ledger, job, ["a"]))
        ledger.record(lease, [indexed("a")], lease_s=EXPIRED_S)
        assert ledger.reap() == [job.id]
        assert ledger.unfinished_batches(job.id) == 0

    def test_only_the_image_that_ends_its_worker_is_quarantined(self, ledger: SqlLedger) -> None:
        job = started(ledger)
        keys = [f"{number:03d}.jpg" for number in range(50)]
        planned(ledger, job, keys)
        poison, claims = "037.jpg", 0
        while ready := ledger.take_ready(job.id, window=4):
            for batch_id in ready:
                claims += 1
                lease = claimed(ledger, batch_id, worker=f"here:{claims}")
                healthy = [indexed(item.key) for item in lease.items if item.key != poison]
                if len(healthy) < len(lease.items):
                    ledger.renew(lease, lease_s=EXPIRED_S)  # dies before it recorded anything
                    continue
                ledger.record(lease, healthy, lease_s=LEASE_S)
                ledger.finish_batch(lease, stages=(), wall_s=0.0)
            ledger.reap()
        after = ledger.job(job.id)
        assert (after.counts.indexed, after.counts.quarantined, after.finished) == (49, 1, 50)
        [row] = ledger.quarantine("shop")
        assert (row.key, row.reason, row.attempts) == (poison, Reason.ENDS_WORKER, 1)
        assert "3 times" in row.detail
        assert ledger.unfinished_batches(job.id) == 0
        assert claims <= 2 * 6 + 3

    def test_an_item_lost_alone_remembers_it(self, ledger: SqlLedger) -> None:
        job = started(ledger)
        batch_id = planned(ledger, job, ["a"])
        for losses in range(3):
            lease = claimed(ledger, batch_id, lease_s=EXPIRED_S)
            assert [item.losses for item in lease.items] == [losses]
            ledger.reap()
        assert ledger.claim_batch(batch_id, worker="w", lease_s=LEASE_S) is None
        with pytest.raises(LeaseLostError):
            ledger.record(lease, [indexed("a")], lease_s=LEASE_S)

    def test_a_released_batch_is_not_blamed(self, ledger: SqlLedger) -> None:
        job = started(ledger)
        batch_id = planned(ledger, job, ["a"])
        for _ in range(5):
            ledger.release_batch(claimed(ledger, batch_id))
        assert [item.losses for item in claimed(ledger, batch_id).items] == [0]

    @pytest.mark.parametrize("seed", range(3))
    def test_whatever_happens_every_image_gets_one_outcome(self, ledger: SqlLedger, seed: int) -> None:
        chance = random.Random(seed)
        job = started(ledger)
        keys = [f"{number:03d}" for number in range(60)]
        for start in range(0, 60, 12):
            planned(ledger, job, keys[start : start + 12])
        for _ in range(400):
            for batch_id in ledger.take_ready(job.id, window=3):
                live_through(ledger, batch_id, chance)
            ledger.requeue_queued(job.id)
            ledger.reap()
            if not ledger.unfinished_batches(job.id):
                break
        after = ledger.job(job.id)
        assert (after.finished, after.planned) == (60, 60)
        kinds = Counter(placement.outcome for placement in ledger.placements("shop", 1))
        assert sum(kinds.values()) == 60
        assert (kinds[OutcomeKind.INDEXED], kinds[OutcomeKind.QUARANTINED]) == (
            after.counts.indexed,
            after.counts.quarantined,
        )


def live_through(ledger: SqlLedger, batch_id: str, chance: random.Random) -> None:
    """One worker's life with a batch: at any moment it may die, stop or see its message twice."""
    lease = ledger.claim_batch(batch_id, worker="w", lease_s=LEASE_S)
    assert lease is not None
    assert ledger.claim_batch(batch_id, worker="v", lease_s=LEASE_S) is None
    for item in lease.items:
        fate = chance.random()
        if fate < 0.03:
            ledger.renew(lease, lease_s=EXPIRED_S)
            return
        if fate < 0.06:
            ledger.release_batch(lease)
            return
        outcome = indexed(item.key) if fate < 0.9 else quarantined(item.key)
        for _ in range(chance.choice([1, 1, 2])):
            ledger.record(lease, [outcome], lease_s=LEASE_S)
    if chance.random() < 0.9:
        ledger.finish_batch(lease, stages=(), wall_s=0.0)
    else:
        ledger.renew(lease, lease_s=EXPIRED_S)
