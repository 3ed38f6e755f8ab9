"""Steering jobs and schedules from the command line, each command as a process of its own."""

from __future__ import annotations

import csv
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

from tests.acceptance.conftest import write_pictures
from tests.support.commands import Catalog, finished, wait_until
from workers.adapters.ledger import open_ledger

MANY = 600
"""Some seconds of work: a pause on a busy machine still comes in the middle of it."""


def test_a_running_job_is_paused_from_elsewhere_and_resumed(
    catalog: Catalog, tmp_path: Path, slow_bundle: Path
) -> None:
    folder = write_pictures(tmp_path / "many", MANY)
    slow = Catalog(home=catalog.home, bundle=slow_bundle, environment={"CATALOG_THREADS": "1"})
    process = slow.start("ingest", folder, "--name", "many", "--priority", "-4", "--json")
    wait_until(lambda: finished(slow.home) > 0)
    (worker,) = slow.run("workers", "--json").objects
    running = slow.json("status")
    assert (worker["kind"], worker["state"], worker["job"]) == ("embedded", "busy", running["job"])
    assert (running["priority"], running["workers"]) == (-4, [worker["worker"]])
    assert running["oldest_pending_s"] >= 0
    assert slow.json("pause", running["job"], "--reason", "a sale")["state"] == "paused"
    out, _ = process.communicate(timeout=200)
    paused = json.loads(out)
    assert (process.returncode, paused["state"]) == (4, "paused")
    assert paused["error"] == f"paused: a sale; to go on: catalog resume {running['job'][:8]}"
    assert 0 < paused["finished"] < MANY
    again = slow.run("ingest", folder, "--name", "many")
    assert (again.code, again.out) == (1, "")
    assert f"let it go on with: catalog resume {running['job'][:8]}" in again.err
    assert slow.json("priority", running["job"], "-9")["priority"] == -9
    done = slow.json("resume", running["job"])
    assert (done["job"], done["state"], done["indexed"]) == (running["job"], "done", MANY)
    assert slow.run("workers", "--json").objects == []


def test_the_circuit_breaker_stops_an_ingest_and_its_report_says_why(catalog: Catalog, tmp_path: Path) -> None:
    folder = write_pictures(tmp_path / "pictures", 10)
    for number in range(30):
        (folder / f"=bad{number:02d}.jpg").write_bytes(b"")
    ran = catalog.run("ingest", folder, "--name", "shop", "--json")
    job = ran.last["job"]
    assert (ran.code, ran.last["state"], ran.last["indexed"]) == (4, "paused", 10)
    assert ran.last["error"].startswith("paused: 30 of 40 images of a batch: empty; look at: catalog report")
    advice = "The file has no bytes; upload it again."
    assert ran.last["reasons"] == [{"outcome": "quarantined", "reason": "empty", "images": 30, "advice": advice}]
    shown = catalog.run("report", job)
    assert advice in shown.out
    report = catalog.json("report", job, "--failures", tmp_path / "failures.csv")
    assert (report["failures_written"], report["options"]["include"], report["stages"] != []) == (30, [], True)
    with (tmp_path / "failures.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["key"] for row in rows} == {f"'=bad{number:02d}.jpg" for number in range(30)}
    done = catalog.json("resume", job)
    assert (done["state"], done["quarantined"]) == ("done", 30)
    assert catalog.json("retry", "--name", "shop", "--reason", "truncated")["retried"] == 0
    assert catalog.json("retry", "--name", "shop", "--reason", "empty")["retried"] == 30


def test_a_watched_job_is_told_of_until_it_rests(catalog: Catalog, tmp_path: Path, slow_bundle: Path) -> None:
    folder = write_pictures(tmp_path / "many", 400)
    slow = Catalog(home=catalog.home, bundle=slow_bundle, environment={"CATALOG_THREADS": "1"})
    process = slow.start("ingest", folder, "--name", "many", "--json")
    wait_until(lambda: finished(slow.home) > 0)
    told = slow.run("status", "--watch", "--json").objects
    assert process.wait(timeout=200) == 0
    assert told[-1]["state"] == "done"
    assert {"recent_images_per_s", "remaining_s", "oldest_pending_s", "workers"} <= told[0].keys()
    process.communicate()


def test_a_schedule_is_kept_and_run(catalog: Catalog, tmp_path: Path) -> None:
    folder = write_pictures(tmp_path / "pictures", 5)
    catalog.json("ingest", folder, "--name", "shop")
    cron = ("--cron", "0 3 * * *", "--timezone", "Europe/Berlin")
    made = catalog.json("schedule", "add", "nightly", "--catalog", "shop", *cron, "--exclude", "004*")
    assert (made["catalog"], made["kind"], made["exclude"], made["enabled"]) == ("shop", "sync", ["004*"], True)
    (folder / "000.jpg").unlink()
    assert catalog.run("schedule", "tick", "--json").out == ""
    ran = catalog.json("schedule", "run", "nightly")
    assert (ran["state"], ran["deleted"], ran["unchanged"]) == ("done", 1, 3)
    (listed,) = catalog.run("schedule", "list", "--json").objects
    (fire,) = listed["fires"]
    assert (fire["fire"], fire["job"], fire["job_state"]) == ("started", ran["job"], "done")
    assert catalog.json("schedule", "pause", "nightly")["next_at"] is None
    assert catalog.json("schedule", "resume", "nightly")["next_at"] == made["next_at"]
    shown = catalog.run("schedule", "list").out
    assert "nightly" in shown
    assert f"started: job {ran['job'][:8]} is done" in shown
    assert catalog.json("schedule", "remove", "nightly")["removed"] is True
    assert catalog.run("schedule", "list", "--json").out == ""


def test_a_tick_makes_what_is_due_and_brings_it_to_its_end(catalog: Catalog, tmp_path: Path) -> None:
    folder = write_pictures(tmp_path / "pictures", 3)
    catalog.json("ingest", folder, "--name", "shop")
    catalog.json("schedule", "add", "often", "--catalog", "shop", "--cron", "* * * * *")
    make_due(catalog, "often")
    fire, job = catalog.run("schedule", "tick", "--json").objects
    assert (fire["schedule"], fire["fire"], fire["job"]) == ("often", "started", job["job"])
    assert (job["state"], job["unchanged"]) == ("done", 3)


def make_due(catalog: Catalog, name: str) -> None:
    """Let a schedule's next time be a moment ago, instead of waiting for it."""
    ledger = open_ledger(f"sqlite:///{catalog.home / 'ledger.sqlite3'}")
    ledger.enable_schedule(name, enabled=True, next_at=datetime.now(UTC).replace(microsecond=0) - timedelta(seconds=1))
    ledger.close()
