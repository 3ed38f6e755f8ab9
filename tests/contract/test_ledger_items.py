"""The ledger's contract: what is known of every image, and the manifests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from schemas.outcomes import OutcomeKind, Reason
from schemas.payload import JsonValue
from schemas.records import Change, JobKind, JobOptions, JobState, LedgerRow, ManifestProblem, ManifestRow, Outcome
from tests.support.ledgers import (
    LEASE_S,
    PLACES,
    SCAN,
    claimed,
    failed,
    gone,
    indexed,
    ledger_in,
    planned,
    quarantined,
    settled,
    started,
)
from workers.adapters.ledger import SqlLedger
from workers.errors import ContractError, NotFoundError

UNSORTED = [
    "ä.jpg",
    "z.jpg",
    "Z.jpg",
    "a b.jpg",
    "a-b.jpg",
    "a.jpg",
    "a/b.jpg",
    "a\U0001f455.jpg",
    "a\uffee.jpg",
    "_.jpg",
    "É.jpg",
]
"""Spaces, case, accents, and two characters that UTF-16 orders the other way round than UTF-8."""


@pytest.fixture(params=PLACES)
def ledger(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[SqlLedger]:
    with ledger_in(request.param, tmp_path) as opened:
        yield opened


def manifest_row(key: str, line: int = 1, brand: str = "b") -> ManifestRow:
    fields: dict[str, JsonValue] = {"brand": brand, "price": 9.5, "in_stock": True, "sizes": ["s", "m"], "colour": None}
    return ManifestRow(key=key, digest=f"{key}/{brand}", fields=fields, line=line)


class TestRows:
    def test_they_come_in_byte_order_page_by_page(self, ledger: SqlLedger) -> None:
        settled(ledger, started(ledger), UNSORTED)
        read: list[LedgerRow] = []
        while found := ledger.rows("shop", 1, job_id=None, after=read[-1].key if read else None, limit=3):
            assert len(found) <= 3
            read += found
        assert [row.key for row in read] == sorted(UNSORTED, key=lambda key: key.encode())
        assert [placement.key for placement in ledger.placements("shop", 1)] == [row.key for row in read]

    def test_they_show_one_generation_and_one_job(self, ledger: SqlLedger) -> None:
        first = started(ledger)
        settled(ledger, first, ["a"])
        ledger.finish_job(first.id, JobState.DONE)
        second = started(ledger, key="2")
        planned(ledger, second, ["b"])
        ledger.add_generation("shop", model_digest="2" * 64)
        settled(ledger, started(ledger, "other"), ["c"])
        [a, b] = ledger.rows("shop", 1, job_id=second.id, after=None, limit=9)
        assert (a.outcome, a.work, b.outcome, b.work is not None) == (OutcomeKind.INDEXED, None, None, True)
        [b] = ledger.rows("shop", 2, job_id=first.id, after=None, limit=9)
        assert (b.key, b.outcome, b.etag, b.work) == ("b", None, None, None)

    def test_what_only_another_generation_holds_is_left_out_unless_it_is_planned(self, ledger: SqlLedger) -> None:
        first = started(ledger)
        settled(ledger, first, ["a", "b", "c"])
        settled(ledger, first, ["d"], quarantined)
        settled(ledger, first, ["e"], gone)
        ledger.finish_job(first.id, JobState.DONE)
        ledger.add_generation("shop", model_digest="2" * 64)
        second = ledger.create_job("shop", 2, JobKind.REINDEX, JobOptions(), idempotency_key="re")
        assert ledger.claim_scan(second.id, token=SCAN, lease_s=LEASE_S)
        settled(ledger, second, ["a"])
        planned(ledger, second, ["c", "e"])

        def listed(generation: int, job_id: str | None) -> list[str]:
            return [row.key for row in ledger.rows("shop", generation, job_id=job_id, after=None, limit=2)]

        assert listed(2, second.id) == ["a", "c"]
        assert [row.key for row in ledger.rows("shop", 2, job_id=second.id, after="c", limit=2)] == ["e"]
        assert listed(2, None) == ["a", "e"]  # e is held by nobody
        assert listed(1, None) == ["a", "b"]
        ledger.finish_job(second.id, JobState.CANCELLED)

    def test_a_deleted_key_that_another_generation_holds_stays_away_once_forgotten(self, ledger: SqlLedger) -> None:
        first = started(ledger)
        settled(ledger, first, ["a", "b"])
        ledger.finish_job(first.id, JobState.DONE)
        ledger.add_generation("shop", model_digest="2" * 64)
        second = ledger.create_job("shop", 2, JobKind.REINDEX, JobOptions(), idempotency_key="re")
        assert ledger.claim_scan(second.id, token=SCAN, lease_s=LEASE_S)
        settled(ledger, second, ["a", "b"])
        ledger.finish_job(second.id, JobState.CANCELLED)
        third = started(ledger, key="3")
        settled(ledger, third, ["a"], gone, change=Change.DELETE)
        ledger.forget_tombstones("shop", 1, ["a"])
        ledger.finish_job(third.id, JobState.DONE)
        for job_id in (None, third.id):
            assert [row.key for row in ledger.rows("shop", 1, job_id=job_id, after=None, limit=9)] == ["b"]
        ledger.drop_generation("shop", 2)
        assert [row.key for row in ledger.rows("shop", 1, job_id=None, after=None, limit=9)] == ["b"]

    def test_a_quarantined_key_keeps_its_etag(self, ledger: SqlLedger) -> None:
        settled(ledger, started(ledger), ["a"], quarantined)
        [row] = ledger.rows("shop", 1, job_id=None, after=None, limit=9)
        assert (row.outcome, row.etag, row.size) == (OutcomeKind.QUARANTINED, "read", 11)


class TestPlacements:
    def test_an_original_is_found_by_its_digest(self, ledger: SqlLedger) -> None:
        job = started(ledger)
        lease = claimed(ledger, planned(ledger, job, ["a", "b", "c", "d"]))
        copy = Outcome(key="b", kind=OutcomeKind.DUPLICATE, etag="e", content_digest="twice")
        bad = Outcome(key="c", kind=OutcomeKind.QUARANTINED, content_digest="bad", reason=Reason.CORRUPT, detail="")
        ledger.record(lease, [indexed("a", digest="twice"), copy, bad, indexed("d", digest="once")], lease_s=LEASE_S)
        found = ledger.originals("shop", 1, ["twice", "bad", "unknown", "once", "once"])
        assert {digest: placement.key for digest, placement in found.items()} == {"twice": "a", "once": "d"}
        assert ledger.originals("shop", 2, ["twice"]) == {}
        assert ledger.originals("shop", 1, []) == {}

    def test_tombstones_are_remembered_until_they_are_forgotten(self, ledger: SqlLedger) -> None:
        job = started(ledger)
        settled(ledger, job, ["a", "b", "c"], gone)
        settled(ledger, job, ["d"])
        assert [stone.key for stone in ledger.tombstones("shop", 1, older_than_s=0.0)] == ["a", "b", "c"]
        assert [stone.key for stone in ledger.tombstones("shop", 1, older_than_s=0.0, limit=2)] == ["a", "b"]
        assert ledger.tombstones("shop", 1, older_than_s=3600.0) == []
        ledger.forget_tombstones("shop", 1, ["a", "c", "d", "unknown"])
        ledger.forget_tombstones("shop", 1, ["a"])
        assert [placement.key for placement in ledger.placements("shop", 1)] == ["b", "d"]

    def test_a_forgotten_tombstone_takes_its_key_along_unless_it_is_planned(self, ledger: SqlLedger) -> None:
        job = started(ledger)
        settled(ledger, job, ["a", "b", "c"])
        ledger.finish_job(job.id, JobState.DONE)
        dropped = started(ledger, key="dropped")
        settled(ledger, dropped, ["a", "b"], gone, change=Change.DELETE)
        planned(ledger, dropped, ["x"])
        ledger.finish_job(dropped.id, JobState.CANCELLED)
        back = started(ledger, key="back")
        planned(ledger, back, ["a", "y"])  # a is in the source again, and y is new
        ledger.forget_tombstones("shop", 1, ["a", "b", "c", "x", "y"])
        rows = ledger.rows("shop", 1, job_id=back.id, after=None, limit=9)
        assert [(row.key, row.outcome) for row in rows] == [("a", None), ("c", OutcomeKind.INDEXED), ("y", None)]

    def test_a_quarantined_image_is_a_tombstone_until_it_is_dealt_with(self, ledger: SqlLedger) -> None:
        job = started(ledger)
        first = settled(ledger, job, ["a", "b"], quarantined)
        settled(ledger, job, ["c"], failed)
        stones = ledger.tombstones("shop", 1, older_than_s=0.0)
        assert [(stone.key, stone.version) for stone in stones] == [("a", first.version), ("b", first.version)]
        assert ledger.tombstones("shop", 1, older_than_s=3600.0) == []
        for _ in range(2):
            ledger.forget_tombstones("shop", 1, ["a", "b", "c"])
        assert ledger.tombstones("shop", 1, older_than_s=0.0) == []
        assert [row.key for row in ledger.quarantine("shop")] == ["a", "b", "c"]
        ledger.finish_job(job.id, JobState.DONE)
        settled(ledger, started(ledger, key="2"), ["b"], quarantined)
        assert [stone.key for stone in ledger.tombstones("shop", 1, older_than_s=0.0)] == ["b"]

    def test_a_job_knows_the_images_it_blamed_for_ending_a_worker(self, ledger: SqlLedger) -> None:
        job = started(ledger)
        blamed = settled(ledger, job, ["b", "a"], lambda key: quarantined(key, Reason.ENDS_WORKER))
        settled(ledger, job, ["c"], quarantined)
        settled(ledger, started(ledger, "other"), ["d"], lambda key: quarantined(key, Reason.ENDS_WORKER))
        found = [(placement.key, placement.version) for placement in ledger.blamed(job.id)]
        assert found == [("a", blamed.version), ("b", blamed.version)]
        ledger.finish_job(job.id, JobState.DONE)
        again = started(ledger, key="2")
        settled(ledger, again, ["a"], lambda key: quarantined(key, Reason.ENDS_WORKER))
        assert [[placement.key for placement in ledger.blamed(each)] for each in (job.id, again.id)] == [["b"], ["a"]]

    def test_the_quarantine_is_that_of_the_active_generation(self, ledger: SqlLedger) -> None:
        job = started(ledger)
        settled(ledger, job, ["a", "c"], quarantined)
        settled(ledger, job, ["b"], failed)
        settled(ledger, job, ["d"])
        rows = ledger.quarantine("shop")
        assert [(row.key, row.kind, row.reason) for row in rows] == [
            ("a", OutcomeKind.QUARANTINED, Reason.TRUNCATED),
            ("b", OutcomeKind.FAILED, Reason.STORE_UNAVAILABLE),
            ("c", OutcomeKind.QUARANTINED, Reason.TRUNCATED),
        ]
        assert all(row.at.utcoffset() is not None for row in rows)
        assert [row.key for row in ledger.quarantine("shop", after="a", limit=1)] == ["b"]
        assert [row.key for row in ledger.quarantine("shop", reason="truncated")] == ["a", "c"]
        assert ledger.quarantine("unknown") == []
        ledger.add_generation("shop", model_digest="2" * 64)
        ledger.activate("shop", 2)
        assert ledger.quarantine("shop") == []

    def test_outcomes_are_counted_with_their_reasons(self, ledger: SqlLedger) -> None:
        job = started(ledger)
        settled(ledger, job, ["a", "b"])
        settled(ledger, job, ["c", "d"], quarantined)
        settled(ledger, job, ["e"], lambda key: quarantined(key, Reason.EMPTY))
        settled(ledger, job, ["f"], failed)
        settled(ledger, job, ["g"], gone)
        assert ledger.outcome_counts("shop", 1) == {
            "indexed": 2,
            "quarantined": 3,
            "quarantined:truncated": 2,
            "quarantined:empty": 1,
            "failed": 1,
            "failed:store_unavailable": 1,
            "deleted": 1,
        }
        assert ledger.outcome_counts("shop", 2) == {}


class TestManifests:
    @pytest.fixture(autouse=True)
    def shop(self, ledger: SqlLedger) -> None:
        ledger.ensure_catalog("shop", source_url="file:///shop")

    def test_staged_rows_count_only_once_adopted(self, ledger: SqlLedger) -> None:
        rows = [manifest_row(key, line) for line, key in enumerate(UNSORTED, start=2)]
        assert ledger.stage_manifest("shop", "s", iter(rows)) == []
        assert ledger.manifest_rows("shop") == []
        in_order = sorted(rows, key=lambda row: row.key.encode())
        assert ledger.manifest_rows("shop", stage="s") == in_order
        assert ledger.adopt_manifest("shop", "s") == len(rows)
        assert ledger.manifest_rows("shop") == in_order
        assert ledger.manifest_rows("shop", after=in_order[3].key, limit=2) == in_order[4:6]
        assert ledger.manifest_rows("shop", stage="s") == []

    def test_a_new_manifest_replaces_the_old_one(self, ledger: SqlLedger) -> None:
        ledger.stage_manifest("shop", "1", [manifest_row("a"), manifest_row("b", 2), manifest_row("c", 3)])
        ledger.adopt_manifest("shop", "1")
        new = [manifest_row("b", 1), manifest_row("c", 3, "other"), manifest_row("d", 4)]
        ledger.stage_manifest("shop", "2", new)
        assert ledger.adopt_manifest("shop", "2") == 3
        assert ledger.manifest_rows("shop") == new
        assert ledger.adopt_manifest("shop", "2") == 3
        assert ledger.adopt_manifest("shop", "1") == 3
        assert ledger.manifest_rows("shop") == new

    def test_an_empty_manifest_can_be_adopted_an_unknown_one_cannot(self, ledger: SqlLedger) -> None:
        ledger.stage_manifest("shop", "1", [manifest_row("a")])
        ledger.adopt_manifest("shop", "1")
        ledger.ensure_catalog("other", source_url="file:///other")
        ledger.stage_manifest("other", "3", [])
        for stage in ("2", "3"):
            with pytest.raises(NotFoundError, match=f"no manifest is staged as '{stage}' for catalog 'shop'"):
                ledger.adopt_manifest("shop", stage)
        assert len(ledger.manifest_rows("shop")) == 1
        ledger.stage_manifest("shop", "2", [])
        assert ledger.adopt_manifest("shop", "2") == 0
        assert ledger.manifest_rows("shop") == []

    def test_a_key_that_comes_twice_is_a_problem_that_names_both_lines(self, ledger: SqlLedger) -> None:
        many = [manifest_row(f"{number:05d}", number) for number in range(1, 3001)]
        rows = [*many, manifest_row("00001", 3001, "late"), manifest_row("a", 3002), manifest_row("a", 3003, "late")]
        problems = ledger.stage_manifest("shop", "s", rows)
        assert [(problem.line, problem.key) for problem in problems] == [(3001, "00001"), (3003, "a")]
        assert problems[0].problem == "the key stands in line 1 and again in line 3001; line 1 counts"
        assert ledger.adopt_manifest("shop", "s") == 3001
        assert "late" not in {row.fields["brand"] for row in ledger.manifest_rows("shop")}

    def test_staging_again_begins_again(self, ledger: SqlLedger) -> None:
        ledger.stage_manifest("shop", "s", [manifest_row("a"), manifest_row("b", 2)])
        assert ledger.stage_manifest("shop", "s", [manifest_row("b", 1)]) == []
        assert ledger.manifest_rows("shop", stage="s") == [manifest_row("b", 1)]
        ledger.adopt_manifest("shop", "s")
        with pytest.raises(ContractError, match="'s' of catalog 'shop' cannot be staged again"):
            ledger.stage_manifest("shop", "s", [])

    def test_a_manifest_can_be_staged_before_there_is_a_catalog(self, ledger: SqlLedger) -> None:
        ledger.stage_manifest("next", "s", [manifest_row("a")])
        assert ledger.manifest_rows("next", stage="s") == [manifest_row("a")]
        with pytest.raises(NotFoundError, match="no catalog 'next'"):
            ledger.adopt_manifest("next", "s")
        ledger.drop_catalog("next")
        assert ledger.manifest_rows("next", stage="s") == []

    def test_a_discarded_stage_leaves_nothing(self, ledger: SqlLedger) -> None:
        ledger.stage_manifest("shop", "s", [manifest_row("a")])
        ledger.discard_manifest("s")
        ledger.discard_manifest("s")
        assert ledger.manifest_rows("shop", stage="s") == []
        with pytest.raises(NotFoundError):
            ledger.adopt_manifest("shop", "s")

    def test_a_parser_that_fails_midway_leaves_the_adopted_manifest(self, ledger: SqlLedger) -> None:
        ledger.stage_manifest("shop", "1", [manifest_row("a")])
        ledger.adopt_manifest("shop", "1")

        def broken() -> Iterator[ManifestRow]:
            yield from (manifest_row(f"{number:05d}", number) for number in range(2500))
            raise ValueError("line 2501 is cut")

        with pytest.raises(ValueError, match="line 2501 is cut"):
            ledger.stage_manifest("shop", "2", broken())
        assert [row.key for row in ledger.manifest_rows("shop")] == ["a"]

    def test_problems_are_kept_with_the_job(self, ledger: SqlLedger) -> None:
        job = started(ledger)
        problems = [
            ManifestProblem(line=7, key="b", problem="the price is no number"),
            ManifestProblem(line=2, key=None, problem="the key is empty"),
            ManifestProblem(line=7, key="b", problem="the brand is too long"),
        ]
        for _ in range(2):
            ledger.note_manifest_problems(job.id, problems)
        assert ledger.job(job.id).manifest_problems == 3
        in_order = [problems[1], problems[2], problems[0]]
        assert ledger.manifest_problems(job.id) == in_order
        assert ledger.manifest_problems(job.id, limit=1) == in_order[:1]
        ledger.note_manifest_problems(job.id, [ManifestProblem(line=9, key=None, problem="ä" * 5000)])
        assert len(ledger.manifest_problems(job.id)[-1].problem) == 500
        with pytest.raises(NotFoundError):
            ledger.note_manifest_problems("0" * 32, problems)
