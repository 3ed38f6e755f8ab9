"""The ledger's contract: the inbox of single keys, the jobs made of it, and what crosses when jobs run side by side."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from schemas.outcomes import OutcomeKind
from schemas.records import (
    AskedKey,
    Change,
    Job,
    JobKind,
    JobOptions,
    JobState,
    Lane,
    ManifestRow,
    Outcome,
    PlannedPage,
    WorkItem,
    fields_digest,
)
from tests.support.ledgers import (
    LEASE_S,
    PLACES,
    SCAN,
    claimed,
    gone,
    indexed,
    ledger_in,
    page,
    planned,
    settled,
    started,
)
from workers.adapters.ledger import SqlLedger
from workers.errors import ContractError, JobConflictError, NotFoundError
from workers.ports.inbox import MAX_JOB_KEYS

ALL = JobOptions(include=("**",))


@pytest.fixture(params=PLACES)
def ledger(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[SqlLedger]:
    with ledger_in(request.param, tmp_path) as opened:
        yield opened


@pytest.fixture
def shop(ledger: SqlLedger) -> Job:
    """A finished sync of two images."""
    job = started(ledger)
    settled(ledger, job, ["a.jpg", "b.jpg"])
    return ledger.finish_job(job.id, JobState.DONE)


def asked(*keys: str) -> list[AskedKey]:
    return [AskedKey(key=key) for key in keys]


def keys_job(ledger: SqlLedger, *keys: str, key: str = "keys") -> Job:
    """A job of keys that holds its scan."""
    job = ledger.create_keys_jobs("shop", asked(*keys), options=ALL, idempotency_key=key)[0]
    assert ledger.claim_scan(job.id, token=SCAN, lease_s=LEASE_S)
    return job


def manifest(ledger: SqlLedger, stage: str, rows: dict[str, dict[str, str]]) -> None:
    lines = enumerate(sorted(rows.items()), start=2)
    staged = [ManifestRow(key=k, digest=fields_digest(f), fields=f, line=line) for line, (k, f) in lines]
    ledger.stage_manifest("shop", stage, staged)
    ledger.adopt_manifest("shop", stage)


def fields(ledger: SqlLedger) -> dict[str, dict[str, object]]:
    return {row.key: dict(row.fields) for row in ledger.manifest_rows("shop")}


def test_keys_wait_once_and_ask_for_what_any_of_them_asked_for(ledger: SqlLedger, shop: Job) -> None:
    ledger.post("shop", [AskedKey(key="b", look=False), AskedKey(key="a"), AskedKey(key="b", look=False)])
    ledger.post("shop", [AskedKey(key="b", force=True), AskedKey(key="é")])
    assert (ledger.inbox_due(older_than_s=0.0), ledger.inbox_due(older_than_s=60.0)) == (["shop"], [])
    (job,) = ledger.take_inbox("shop")
    assert (job.kind, job.state, job.lane) == (JobKind.KEYS, JobState.RUNNING, Lane.INTERACTIVE)
    waited = [AskedKey(key="a"), AskedKey(key="b", force=True), AskedKey(key="é")]
    assert list(ledger.job_keys(job.id)) == waited
    assert list(ledger.job_keys(job.id, after="a", limit=1)) == waited[1:2]
    assert (ledger.take_inbox("shop"), ledger.inbox_due(older_than_s=0.0)) == ([], [])


def test_those_that_wait_longest_are_taken_first(ledger: SqlLedger, shop: Job) -> None:
    for key in "zyx":
        ledger.post("shop", asked(key))
        time.sleep(0.005)  # SQLite's clock counts milliseconds
    (first,) = ledger.take_inbox("shop", limit=2)
    (second,) = ledger.take_inbox("shop", limit=2)
    assert [[one.key for one in ledger.job_keys(job.id)] for job in (first, second)] == [["y", "z"], ["x"]]


def test_keys_of_a_catalog_that_has_no_index_yet_go_on_waiting(ledger: SqlLedger) -> None:
    ledger.ensure_catalog("shop", source_url="file:///shop")
    ledger.post("shop", asked("a"))
    assert ledger.take_inbox("shop") == []
    assert ledger.inbox_due(older_than_s=0.0) == ["shop"]
    with pytest.raises(NotFoundError):
        ledger.create_keys_jobs("shop", asked("a"), options=ALL, idempotency_key="1")
    with pytest.raises(NotFoundError):
        ledger.post("none", asked("a"))


def test_jobs_of_keys_stand_beside_a_scan_and_beside_each_other(ledger: SqlLedger, shop: Job) -> None:
    sync = ledger.create_job("shop", 1, JobKind.SYNC, JobOptions(), idempotency_key="sync")
    made = [ledger.create_keys_jobs("shop", asked("a"), options=ALL, idempotency_key=name) for name in "xy"]
    assert len({job.id for jobs in made for job in jobs}) == 2
    with pytest.raises(JobConflictError) as conflict:
        ledger.create_job("shop", 1, JobKind.RETRY, JobOptions(), idempotency_key="retry")
    assert conflict.value.job_id == sync.id
    ledger.finish_job(sync.id, JobState.DONE)
    ledger.create_job("shop", 1, JobKind.SYNC, JobOptions(), idempotency_key="next")


def test_an_idempotency_key_makes_its_jobs_once(ledger: SqlLedger, shop: Job) -> None:
    first = ledger.create_keys_jobs("shop", asked("a"), options=ALL, idempotency_key="mine")
    assert ledger.create_keys_jobs("shop", asked("b"), options=ALL, idempotency_key="mine") == first
    with pytest.raises(ContractError, match="sync job"):
        ledger.create_keys_jobs("shop", asked("b"), options=ALL, idempotency_key="1")
    too_many = asked(*map(str, range(MAX_JOB_KEYS + 1)))
    with pytest.raises(ContractError, match="5,000"):
        ledger.create_keys_jobs("shop", too_many, options=ALL, idempotency_key="many")


def test_while_a_reindex_fills_a_generation_each_job_has_a_twin_there(ledger: SqlLedger, shop: Job) -> None:
    before = ledger.create_keys_jobs("shop", asked("early"), options=ALL, idempotency_key="early")
    new = ledger.add_generation("shop", model_digest="n" * 64).number
    reindex = ledger.create_job("shop", new, JobKind.REINDEX, JobOptions(), idempotency_key="reindex")
    assert [job.generation for job in before] == [1]
    taken = ledger.take_inbox("shop")
    assert [job.generation for job in taken] == [1, new]
    assert [[one.key for one in ledger.job_keys(job.id)] for job in taken] == [["early"], ["early"]]
    twice = ledger.create_keys_jobs("shop", asked("a"), options=ALL, idempotency_key="late")
    assert ledger.create_keys_jobs("shop", asked("a"), options=ALL, idempotency_key="late") == twice
    ledger.activate("shop", new)
    ledger.drop_generation("shop", 1)
    assert {ledger.job(job.id).state for job in (before[0], taken[0], twice[0])} == {JobState.CANCELLED}
    assert {ledger.job(job.id).state for job in (taken[1], twice[1], reindex)} == {JobState.RUNNING}


def test_globs_of_taken_jobs_are_those_of_the_latest_sync(ledger: SqlLedger, shop: Job) -> None:
    women = JobOptions(include=("women/**",), exclude=("*.gif",), allow_deletes=True)
    sync = ledger.create_job("shop", 1, JobKind.SYNC, women, idempotency_key="women")
    ledger.finish_job(sync.id, JobState.DONE)
    ledger.post("shop", asked("a"))
    (job,) = ledger.take_inbox("shop")
    assert job.options == JobOptions(include=("women/**",), exclude=("*.gif",))


def test_rows_of_single_keys_say_what_others_have_in_hand(ledger: SqlLedger, shop: Job) -> None:
    sync = started(ledger, key="2")
    planned(ledger, sync, ["a.jpg", "c.jpg"], change=Change.CHANGED)
    job = keys_job(ledger, "a.jpg", "b.jpg", "c.jpg", "d.jpg")
    rows = ledger.rows_of("shop", 1, ["d.jpg", "c.jpg", "b.jpg", "a.jpg"], job_id=job.id)
    assert [(row.key, row.outcome, row.in_hand) for row in rows] == [
        ("a.jpg", OutcomeKind.INDEXED, True),
        ("b.jpg", OutcomeKind.INDEXED, False),
        ("c.jpg", None, True),
    ]
    assert not any(row.in_hand for row in ledger.rows_of("shop", 1, ["a.jpg", "b.jpg"], job_id=sync.id))


def test_a_delete_of_one_job_does_not_forget_a_key_that_another_one_has_planned(ledger: SqlLedger, shop: Job) -> None:
    sync = started(ledger, key="2")
    batch = planned(ledger, sync, ["a.jpg"], change=Change.CHANGED)
    settled(ledger, keys_job(ledger, "a.jpg"), ["a.jpg"], gone, change=Change.DELETE)
    lease = claimed(ledger, batch)
    ledger.record(lease, [indexed("a.jpg")], lease_s=LEASE_S)
    assert [row.key for row in ledger.rows("shop", 1, job_id=None, after=None, limit=10)] == ["a.jpg", "b.jpg"]


def test_planning_a_delete_makes_no_unknown_key_known(ledger: SqlLedger, shop: Job) -> None:
    planned(ledger, keys_job(ledger, "z.jpg"), ["z.jpg"], change=Change.DELETE)
    assert [row.key for row in ledger.rows("shop", 1, job_id=None, after=None, limit=10)] == ["a.jpg", "b.jpg"]


@pytest.mark.parametrize("newer", ["another image", "delete", "payload"])
def test_a_write_that_comes_after_a_newer_one_is_looked_at_again(ledger: SqlLedger, shop: Job, newer: str) -> None:
    old = claimed(ledger, planned(ledger, started(ledger, key="2"), ["a.jpg"], change=Change.CHANGED))
    if newer == "payload":
        settled(ledger, keys_job(ledger, "a.jpg"), ["a.jpg"], change=Change.PAYLOAD)
    else:
        outcome = gone if newer == "delete" else (lambda key: indexed(key, etag="newest"))
        settled(ledger, keys_job(ledger, "a.jpg"), ["a.jpg"], outcome, change=Change.CHANGED)
    assert ledger.take_inbox("shop") == []
    ledger.record(old, [indexed("a.jpg", etag="older")], lease_s=LEASE_S)
    (again,) = ledger.take_inbox("shop")
    assert list(ledger.job_keys(again.id)) == [AskedKey(key="a.jpg", force=True)]


def test_writes_that_agree_are_not_looked_at_again(ledger: SqlLedger, shop: Job) -> None:
    old = claimed(ledger, planned(ledger, started(ledger, key="2"), ["a.jpg", "b.jpg"], change=Change.CHANGED))
    settled(ledger, keys_job(ledger, "a.jpg"), ["a.jpg"], change=Change.CHANGED)
    settled(ledger, keys_job(ledger, "b.jpg", key="b"), ["b.jpg"], gone, change=Change.DELETE)
    ledger.record(old, [indexed("a.jpg"), gone("b.jpg")], lease_s=LEASE_S)
    assert ledger.take_inbox("shop") == []


def test_an_image_whose_manifest_row_changed_meanwhile_gets_its_payload_changed(ledger: SqlLedger, shop: Job) -> None:
    lease = claimed(ledger, planned(ledger, started(ledger, key="2"), ["a.jpg", "n.jpg"]))
    ledger.change_manifest("shop", {"n.jpg": {"price": 19.9}}, idempotency_key="price")
    ledger.record(lease, [indexed("a.jpg"), indexed("n.jpg")], lease_s=LEASE_S)
    (again,) = ledger.take_inbox("shop")
    assert list(ledger.job_keys(again.id)) == [AskedKey(key="n.jpg", look=False)]


def test_a_change_of_the_manifest_is_made_once_and_asks_for_the_payload_alone(ledger: SqlLedger, shop: Job) -> None:
    manifest(ledger, "m1", {"a.jpg": {"title": "Shirt", "brand": "B"}})
    made = ledger.change_manifest("shop", {"a.jpg": {"price": 9.5, "brand": None}}, idempotency_key="c1")
    assert fields(ledger) == {"a.jpg": {"title": "Shirt", "price": 9.5}}
    assert list(ledger.job_keys(made[0].id)) == [AskedKey(key="a.jpg", look=False)]
    assert ledger.change_manifest("shop", {"a.jpg": {"price": 1.0}}, idempotency_key="c1") == made
    assert fields(ledger)["a.jpg"]["price"] == 9.5
    (row,) = ledger.manifest_rows_of("shop", ["a.jpg", "b.jpg"])
    assert row.digest == fields_digest(row.fields) != row.file_digest


def test_a_change_stays_until_the_file_says_something_else(ledger: SqlLedger, shop: Job) -> None:
    shirt, dress = {"title": "Shirt", "price": "10"}, {"title": "Dress"}
    manifest(ledger, "m1", {"a.jpg": shirt, "b.jpg": dress})
    ledger.change_manifest("shop", {"a.jpg": {"price": 8.0}, "new.jpg": {"price": 7.0}}, idempotency_key="c1")
    manifest(ledger, "m2", {"a.jpg": shirt, "b.jpg": dress})
    assert fields(ledger) == {"a.jpg": {**shirt, "price": 8.0}, "b.jpg": dress, "new.jpg": {"price": 7.0}}
    manifest(ledger, "m3", {"a.jpg": {"title": "Shirt", "price": "9"}})
    assert fields(ledger) == {"a.jpg": {"title": "Shirt", "price": "9"}, "new.jpg": {"price": 7.0}}
    manifest(ledger, "m4", {"new.jpg": dress})
    assert fields(ledger) == {"new.jpg": dress}


def test_products_are_found_by_their_manifest_rows(ledger: SqlLedger, shop: Job) -> None:
    manifest(
        ledger, "m1", {"a.jpg": {"product_id": "P1"}, "b.jpg": {"product_id": "P1"}, "c.jpg": {"product_id": "P2"}}
    )
    ledger.change_manifest("shop", {"c.jpg": {"product_id": "P1"}, "a.jpg": {"product_id": None}}, idempotency_key="c1")
    assert ledger.product_keys("shop", "P1") == ["b.jpg", "c.jpg"]
    assert ledger.product_keys("shop", "P1", after="b.jpg", limit=5) == ["c.jpg"]
    assert ledger.product_keys("shop", "P2") == []


def test_a_dropped_catalog_takes_its_inbox_and_its_jobs_along(ledger: SqlLedger, shop: Job) -> None:
    keys_job(ledger, "a.jpg")
    ledger.post("shop", asked("a", "b"))
    ledger.drop_catalog("shop")
    assert ledger.inbox_due(older_than_s=0.0) == []
    assert ledger.jobs(catalog="shop") == []


def test_an_object_that_was_to_be_deleted_and_is_there_again_is_indexed(ledger: SqlLedger, shop: Job) -> None:
    job = keys_job(ledger, "a.jpg")
    ledger.plan_page(
        job.id,
        token=SCAN,
        page=PlannedPage(
            cursor="a.jpg",
            complete=True,
            work=(WorkItem(key="a.jpg", change=Change.DELETE, etag="", size=0),),
            vanished=(),
            counts=page([]).counts,
        ),
    )
    (batch,) = ledger.take_ready(job.id, window=1)
    lease = claimed(ledger, batch)
    ledger.record(lease, [Outcome(key="a.jpg", kind=OutcomeKind.INDEXED, etag="back", size=5)], lease_s=LEASE_S)
    assert ledger.job(job.id).counts.indexed == 1
    (row,) = ledger.rows_of("shop", 1, ["a.jpg"], job_id="none")
    assert (row.etag, row.outcome) == ("back", OutcomeKind.INDEXED)
