"""The ledger's contract: catalogs and generations."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from schemas.extra_field import ExtraField, ExtraKind
from schemas.outcomes import Reason
from schemas.records import JobKind, JobOptions, JobState
from tests.support.ledgers import (
    LEASE_S,
    PLACES,
    SCAN,
    claimed,
    gone,
    indexed,
    ledger_in,
    planned,
    quarantined,
    settled,
    started,
)
from workers.adapters.ledger import SqlLedger
from workers.errors import ContractError, JobConflictError, LeaseLostError, NotFoundError
from workers.ports import Ledger


@pytest.fixture(params=PLACES)
def ledger(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[SqlLedger]:
    with ledger_in(request.param, tmp_path) as opened:
        yield opened


def test_the_adapter_is_the_port(ledger: SqlLedger) -> None:
    port: Ledger = ledger  # mypy checks the signatures
    port.close()
    port.close()


def test_a_catalog_is_made_once(ledger: SqlLedger) -> None:
    made = ledger.ensure_catalog("shop", source_url="file:///a", extra_fields=(ExtraField("season"),))
    assert ledger.ensure_catalog("shop", source_url="file:///a") == made == ledger.catalog("shop")
    assert made.extra_fields == (ExtraField("season"),)
    assert made.active_generation is None
    assert made.created_at.utcoffset() is not None


def test_given_extra_fields_replace_the_stored_ones(ledger: SqlLedger) -> None:
    ledger.ensure_catalog("shop", source_url="file:///a", extra_fields=(ExtraField("season"),))
    declared = (ExtraField("fit"), ExtraField("weight", ExtraKind.NUMBER), ExtraField("vegan", ExtraKind.FLAG))
    assert ledger.ensure_catalog("shop", source_url="file:///a", extra_fields=declared).extra_fields == declared
    assert ledger.catalog("shop").extra_fields == declared


def test_another_source_under_a_name_is_refused(ledger: SqlLedger) -> None:
    ledger.ensure_catalog("shop", source_url="file:///a")
    with pytest.raises(ContractError, match=r"'shop' indexes file:///a, not file:///b: choose another name or drop"):
        ledger.ensure_catalog("shop", source_url="file:///b")
    assert ledger.catalog("shop").source_url == "file:///a"


def test_a_name_that_names_no_catalog_is_refused(ledger: SqlLedger) -> None:
    with pytest.raises(ContractError, match="'Bad Name' cannot name a catalog"):
        ledger.ensure_catalog("Bad Name", source_url="file:///a")


def test_an_unknown_catalog_names_those_there_are(ledger: SqlLedger) -> None:
    with pytest.raises(NotFoundError, match="there is none yet"):
        ledger.catalog("nothing")
    for name in ("b", "a"):
        ledger.ensure_catalog(name, source_url=f"file:///{name}")
    with pytest.raises(NotFoundError, match="no catalog 'nothing': there are a, b"):
        ledger.catalog("nothing")
    assert [catalog.name for catalog in ledger.catalogs()] == ["a", "b"]


def test_generations_are_numbered_and_no_number_comes_twice(ledger: SqlLedger) -> None:
    ledger.ensure_catalog("shop", source_url="file:///a")
    first, second = (ledger.add_generation("shop", model_digest=digit * 64) for digit in "12")
    assert (first.number, first.collection, first.model_digest) == (1, "shop--g1", "1" * 64)
    ledger.drop_generation("shop", 2)
    third = ledger.add_generation("shop", model_digest="3" * 64)
    assert (second.number, third.number) == (2, 3)
    assert ledger.generations("shop") == [first, third]
    assert ledger.generation("shop", 3) == third
    with pytest.raises(NotFoundError, match="'shop' has no generation 2"):
        ledger.generation("shop", 2)
    with pytest.raises(NotFoundError, match="no catalog 'other'"):
        ledger.add_generation("other", model_digest="1" * 64)


def test_activating_names_the_generation_that_answers(ledger: SqlLedger) -> None:
    ledger.ensure_catalog("shop", source_url="file:///a")
    ledger.add_generation("shop", model_digest="1" * 64)
    ledger.activate("shop", 1)
    ledger.activate("shop", 1)
    assert ledger.catalog("shop").active_generation == 1
    with pytest.raises(NotFoundError, match="no generation 7"):
        ledger.activate("shop", 7)


def test_the_active_generation_and_one_that_is_being_filled_are_not_dropped(ledger: SqlLedger) -> None:
    job = started(ledger)
    ledger.add_generation("shop", model_digest="2" * 64)
    with pytest.raises(ContractError, match="generation 1 of 'shop' is the active one"):
        ledger.drop_generation("shop", 1)
    ledger.activate("shop", 2)
    with pytest.raises(JobConflictError, match="cancel it first") as caught:
        ledger.drop_generation("shop", 1)
    assert caught.value.job_id == job.id
    ledger.finish_job(job.id, JobState.CANCELLED)
    ledger.drop_generation("shop", 1)
    ledger.drop_generation("shop", 1)
    ledger.drop_generation("unknown", 1)


def test_dropping_a_generation_forgets_what_nobody_else_holds_or_has_planned(
    ledger: SqlLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workers.adapters.ledger.forgetting._ROWS", 2)
    job, other = started(ledger), started(ledger, "other")
    settled(ledger, job, ["a", "b", "c", "d", "e", "f"])
    settled(ledger, other, ["a"])
    ledger.finish_job(job.id, JobState.DONE)
    ledger.add_generation("shop", model_digest="2" * 64)
    reindex = ledger.create_job("shop", 2, JobKind.REINDEX, JobOptions(), idempotency_key="re")
    assert ledger.claim_scan(reindex.id, token=SCAN, lease_s=LEASE_S)
    settled(ledger, reindex, ["b", "d"], lambda key: indexed(key) if key == "b" else gone(key, Reason.VANISHED))
    planned(ledger, reindex, ["c", "g"])
    ledger.activate("shop", 2)
    ledger.drop_generation("shop", 1)
    assert ledger.placements("shop", 1) == []
    assert [placement.key for placement in ledger.placements("shop", 2)] == ["b", "d"]
    ledger.restart_scan(reindex.id)
    assert ledger.vanished(reindex.id) == (0, 3)  # b, c and g are known
    assert [row.key for row in ledger.rows("shop", 2, job_id=reindex.id, after=None, limit=9)] == ["b", "c", "g"]
    assert [row.key for row in ledger.rows("other", 1, job_id=None, after=None, limit=9)] == ["a"]


def test_dropping_a_catalog_leaves_nothing_of_it_and_nothing_less_of_others(ledger: SqlLedger) -> None:
    dropped, other = started(ledger, "shop"), started(ledger, "other")
    settled(ledger, dropped, ["a", "b"])
    settled(ledger, dropped, ["c"], quarantined)
    settled(ledger, other, ["a"])
    lease = claimed(ledger, planned(ledger, dropped, ["d", "e"]))
    ledger.stage_manifest("shop", "stage", [])
    ledger.drop_catalog("shop")
    ledger.drop_catalog("shop")
    assert [catalog.name for catalog in ledger.catalogs()] == ["other"]
    assert [job.id for job in ledger.jobs()] == [other.id]
    with pytest.raises(LeaseLostError):
        ledger.record(lease, [indexed("d")], lease_s=LEASE_S)
    assert ledger.placements("shop", 1) == []
    assert ledger.rows("shop", 1, job_id=None, after=None, limit=10) == []
    assert [placement.key for placement in ledger.placements("other", 1)] == ["a"]


def test_large_tables_are_emptied_in_stretches(ledger: SqlLedger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workers.adapters.ledger.ending._ROWS", 2)
    job, other = started(ledger), started(ledger, "other")
    for key in "abcde":
        settled(ledger, job, [key])
    settled(ledger, other, ["a", "b", "c"])
    ledger.finish_job(job.id, JobState.DONE)
    assert ledger.outcome_counts("shop", 1) == {"indexed": 5}
    rows = ledger.rows("shop", 1, job_id=job.id, after=None, limit=9)
    assert [row.work for row in rows] == [None] * 5
    ledger.drop_catalog("shop")
    assert ledger.placements("shop", 1) == []
    assert ledger.outcome_counts("other", 1) == {"indexed": 3}


def test_versions_go_on_growing_after_a_drop(ledger: SqlLedger) -> None:
    before = settled(ledger, started(ledger), ["a"]).version
    ledger.drop_catalog("shop")
    assert settled(ledger, started(ledger), ["a"]).version > before


def test_a_dropped_catalog_begins_anew_under_the_same_name(ledger: SqlLedger) -> None:
    settled(ledger, started(ledger), ["a"], gone)
    ledger.drop_catalog("shop")
    job = started(ledger)
    assert job.generation == 2
    assert ledger.generation("shop", 2).collection == "shop--g2"
    assert ledger.outcome_counts("shop", 1) == ledger.outcome_counts("shop", 2) == {}
    assert started(ledger, "fresh").generation == 1
