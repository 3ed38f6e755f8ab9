"""How SQLite answers what is asked in every batch or by every visitor: by an index, never by reading all placements."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event
from sqlalchemy.engine.interfaces import DBAPICursor

from schemas.records import AskedKey
from tests.support.ledgers import ledger_in, settled, started
from workers.adapters.ledger import SqlLedger

Ask = Callable[[SqlLedger, str], object]


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[SqlLedger]:
    with ledger_in("file", tmp_path) as opened:
        yield opened


@pytest.mark.parametrize(
    ("ask", "index"),
    [
        (lambda ledger, job: ledger.originals("shop", 1, ["a", "b"]), "ix_placements_searchable"),
        (lambda ledger, job: ledger.outcome_counts("shop", 1), "ix_placements_searchable"),
        (lambda ledger, job: ledger.quarantine("shop", reason="empty"), "ix_placements_not_searchable"),
        (lambda ledger, job: ledger.tombstones("shop", 1, older_than_s=0.0), "ix_placements_not_searchable"),
        (lambda ledger, job: ledger.blamed(job), "ix_placements_not_searchable"),
        (lambda ledger, job: ledger.plan_retry(job, limit=9), "ix_placements_not_searchable"),
        (lambda ledger, job: ledger.plan_deletes(job, limit=9), "ix_items_vanished"),
        (lambda ledger, job: ledger.reap(), "ix_batches_lease"),
    ],
    ids=["originals", "outcome_counts", "quarantine", "tombstones", "blamed", "plan_retry", "plan_deletes", "reap"],
)
def test_it_is_answered_by_its_index(ledger: SqlLedger, ask: Ask, index: str) -> None:
    job = started(ledger)
    settled(ledger, job, ["a", "b"])
    steps = explained(ledger, lambda: ask(ledger, job.id))
    assert any(f"INDEX {index} (" in step for step in steps), steps
    whole = "SEARCH placements USING PRIMARY KEY (catalog=? AND generation=?)"
    assert not [step for step in steps if step in (whole, "SCAN placements", "SCAN items", "SCAN work")]


@pytest.mark.parametrize(
    ("ask", "index"),
    [
        (lambda ledger, job: ledger.open_jobs(), "ix_jobs_open"),
        (lambda ledger, job: ledger.due_fires(), "ix_fires_due"),
        (lambda ledger, job: ledger.activity(job), "ix_batches_job_state"),
        (lambda ledger, job: ledger.failures(job, after="a"), "PRIMARY KEY (job_id=? AND key>?)"),
    ],
    ids=["open_jobs", "due_fires", "activity", "failures"],
)
def test_what_is_asked_every_few_seconds_reads_no_history(ledger: SqlLedger, ask: Ask, index: str) -> None:
    job = started(ledger)
    settled(ledger, job, ["a", "b"])
    steps = explained(ledger, lambda: ask(ledger, job.id))
    assert any(index in step for step in steps), steps
    assert not [step for step in steps if step in ("SCAN jobs", "SCAN fires", "SCAN batches", "SCAN failures")]


@pytest.mark.parametrize(
    ("ask", "indexes"),
    [
        (lambda ledger, job: ledger.inbox_due(older_than_s=0.0), ["ix_inbox_posted"]),
        (lambda ledger, job: ledger.take_inbox("shop"), ["ix_inbox_posted", "ix_jobs_scans", "ix_jobs_keys"]),
        (lambda ledger, job: ledger.product_keys("shop", "P1"), ["ix_manifest_rows_product"]),
        (lambda ledger, job: ledger.rows_of("shop", 1, ["a", "b"], job_id=job), ["PRIMARY KEY (catalog=? AND key=?)"]),
        (lambda ledger, job: settled(ledger, ledger.job(job), ["c", "d"]), ["ix_batches_job_state"]),
    ],
    ids=["inbox_due", "take_inbox", "product_keys", "rows_of", "record"],
)
def test_single_keys_are_found_without_reading_whole_tables(ledger: SqlLedger, ask: Ask, indexes: list[str]) -> None:
    job = started(ledger)
    settled(ledger, job, ["a", "b"])
    ledger.post("shop", [AskedKey(key="a")])
    steps = explained(ledger, lambda: ask(ledger, job.id))
    read = [
        table
        for table in ("items", "placements", "work", "inbox", "manifest_rows", "jobs")
        for step in steps
        if step == f"SCAN {table}"
    ]
    assert read == [], steps
    if indexes != ["ix_batches_job_state"]:
        assert [name for name in indexes if not any(name in step for step in steps)] == [], steps


def test_a_key_is_looked_up_in_other_generations_by_its_own_row(ledger: SqlLedger) -> None:
    job = started(ledger)
    settled(ledger, job, ["a", "b"])
    ledger.add_generation("shop", model_digest="2" * 64)
    steps = explained(ledger, lambda: ledger.rows("shop", 2, job_id=job.id, after="a", limit=9))
    assert "SEARCH placed USING PRIMARY KEY (catalog=? AND generation=? AND key=?)" in steps
    assert "SEARCH items USING PRIMARY KEY (catalog=? AND key>?)" in steps
    assert "SEARCH placements USING PRIMARY KEY (catalog=? AND generation=? AND key=?) LEFT-JOIN" in steps


def explained(ledger: SqlLedger, ask: Callable[[], object]) -> list[str]:
    """The steps of SQLite's plans for what `ask` reads."""
    steps: list[str] = []

    def explain(_connection: object, cursor: DBAPICursor, statement: str, parameters: Any, *_: object) -> None:
        if statement.startswith("SELECT"):
            cursor.execute(f"EXPLAIN QUERY PLAN {statement}", parameters)
            steps.extend(row[3] for row in cursor.fetchall())

    event.listen(ledger._database.engine, "before_cursor_execute", explain)
    ask()
    return steps
