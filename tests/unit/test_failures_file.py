"""A job's failures as CSV: all of them, and none that a spreadsheet would run."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from schemas.outcomes import OutcomeKind, Reason
from schemas.records import Outcome
from tests.support.ledgers import LEASE_S, claimed, planned, quarantined, settled, started
from workers.adapters.ledger import open_ledger
from workers.cli.export import write_failures
from workers.failures_csv import COLUMNS, harmless


@pytest.mark.parametrize("text", ["=HYPERLINK(0)", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1"])
def test_what_would_be_a_formula_is_text(text: str) -> None:
    assert harmless(text) == f"'{text}"


@pytest.mark.parametrize("text", ["", "women/a=b.jpg", "a-1.jpg", "café @ noon.jpg"])
def test_other_text_stays_as_it_is(text: str) -> None:
    assert harmless(text) == text


def test_every_failure_is_a_row(tmp_path: Path) -> None:
    ledger, path = open_ledger("sqlite://"), tmp_path / "failures.csv"
    job = started(ledger)
    keys = [f"{number:05d}.jpg" for number in range(2345)]
    settled(ledger, job, keys, quarantined)
    settled(ledger, job, ["fine.jpg"])
    lease = claimed(ledger, planned(ledger, job, ["=cmd.jpg"]))
    odd = 'two\nlines, "quoted"'
    reason = Reason.STORE_UNAVAILABLE
    outcome = Outcome(key="=cmd.jpg", kind=OutcomeKind.FAILED, reason=reason, detail=odd)
    ledger.record(lease, [outcome], lease_s=LEASE_S)
    path.write_text("an older report")
    assert write_failures(ledger, job.id, path) == 2346
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == COLUMNS
    assert [row["key"] for row in rows] == [*keys, "'=cmd.jpg"]
    assert (rows[0]["outcome"], rows[0]["reason"], rows[0]["attempts"]) == ("quarantined", "truncated", "1")
    assert (rows[-1]["reason"], rows[-1]["detail"]) == ("store_unavailable", odd)
    assert rows[-1]["at"].endswith("+00:00")
    assert [entry.name for entry in tmp_path.iterdir()] == ["failures.csv"]
    ledger.close()
