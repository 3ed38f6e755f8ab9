"""Several processes and threads on one embedded ledger, and processes that are killed."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from schemas.records import JobState
from tests.support.ledgers import LEASE_S, PLACES, claimed, indexed, ledger_in, planned, started
from workers.adapters.ledger import SqlLedger, open_ledger
from workers.errors import LeaseLostError, TransientError

ROOT = Path(__file__).parents[2]


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'ledger.db'}"


def python(code: str, *arguments: str) -> subprocess.Popen[str]:
    """A process that runs the code; it prints `ready` and goes on at a line on its standard input."""
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def together(code: str, *arguments: str, times: int) -> list[str]:
    """What each of several processes prints that are let go at the same moment."""
    processes = [python(code, *arguments) for _ in range(times)]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    printed = [process.communicate(timeout=60)[0] for process in processes]
    assert [process.returncode for process in processes] == [0] * times
    return printed


def test_several_processes_may_be_the_first_to_open_it(url: str) -> None:
    code = """
import sys
from workers.adapters.ledger import open_ledger
print("ready", flush=True)
sys.stdin.readline()
ledger = open_ledger(sys.argv[1])
ledger.ensure_catalog("shop", source_url="file:///a")
print(ledger.catalog("shop").name)
"""
    assert together(code, url, times=3) == ["shop\n"] * 3


def test_opening_waits_for_another_process_that_is_making_the_file(url: str) -> None:
    # SQLite's own waiting does not cover the switch to WAL: it fails at once while somebody writes.
    other = sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    release = threading.Timer(0.2, other.rollback)
    release.start()
    ledger = open_ledger(url)
    assert ledger.catalogs() == []
    release.join()
    other.close()
    ledger.close()


def test_each_batch_is_claimed_by_exactly_one_process(url: str) -> None:
    ledger = open_ledger(url)
    job = started(ledger)
    batches = [planned(ledger, job, [f"{number:02d}"]) for number in range(40)]
    code = """
import sys
from workers.adapters.ledger import open_ledger
ledger = open_ledger(sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
for batch_id in sys.argv[2:]:
    if ledger.claim_batch(batch_id, worker="w", lease_s=60.0):
        print(batch_id)
"""
    claimed_by = [printed.split() for printed in together(code, url, *batches, times=2)]
    assert sorted(claimed_by[0] + claimed_by[1]) == sorted(batches)
    ledger.close()


KILLED = """
import sys, time
from sqlalchemy import event
from workers.adapters.ledger import open_ledger
from tests.support.ledgers import indexed
ledger = open_ledger(sys.argv[1])
lease = ledger.claim_batch(sys.argv[2], worker="w", lease_s=60.0)

@event.listens_for(ledger._database.engine, "before_cursor_execute")
def stop(connection, cursor, statement, parameters, context, many):
    if statement.startswith(sys.argv[3]):
        print("ready", flush=True)
        time.sleep(60)

ledger.record(lease, [indexed(item.key) for item in lease.items], lease_s=60.0)
print("ready", flush=True)
time.sleep(60)
"""


@pytest.mark.parametrize(
    ("moment", "recorded"),
    [("INSERT INTO placements", 0), ("UPDATE work", 0), ("UPDATE jobs", 0), ("never", 300)],
)
def test_a_kill_in_the_middle_of_a_record_leaves_all_or_nothing(url: str, moment: str, recorded: int) -> None:
    ledger = open_ledger(url)
    job = started(ledger)
    batch_id = planned(ledger, job, [f"{number:03d}" for number in range(300)])
    process = python(KILLED, url, batch_id, moment)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.communicate()
    assert ledger.reap(worker_prefix="w") == [job.id]
    after = ledger.job(job.id)
    done = [row.key for row in ledger.rows("shop", 1, job_id=job.id, after=None, limit=999) if row.work_done]
    assert (len(done), after.finished, after.counts.indexed) == (recorded,) * 3
    assert [placement.key for placement in ledger.placements("shop", 1)] == done
    ledger.close()


def test_a_job_that_was_killed_while_it_was_freed_is_freed_later(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger = open_ledger(url)
    job = started(ledger)
    lease = claimed(ledger, planned(ledger, job, ["a", "b"]))
    monkeypatch.setattr("workers.adapters.ledger.jobs.free_job", lambda *_: None)
    ledger.finish_job(job.id, JobState.CANCELLED)
    connection = sqlite3.connect(url.removeprefix("sqlite:///"))
    assert connection.execute("SELECT count(*) FROM work").fetchone() == (2,)
    with pytest.raises(LeaseLostError):
        ledger.record(lease, [indexed("a")], lease_s=LEASE_S)
    assert ledger.reap() == []
    assert connection.execute("SELECT count(*) FROM work").fetchone() == (0,)
    assert connection.execute("SELECT count(*) FROM batches").fetchone() == (0,)
    connection.close()
    ledger.close()


def test_readers_go_on_while_somebody_writes_and_a_second_writer_is_told_to_come_back(url: str) -> None:
    ledger = SqlLedger(url, busy_timeout_s=0.05)
    ledger.ensure_catalog("shop", source_url="file:///a")
    writer = sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None)
    writer.execute("BEGIN IMMEDIATE")
    assert ledger.catalog("shop").name == "shop"
    with pytest.raises(TransientError, match="the ledger is busy: another process holds it"):
        ledger.ensure_catalog("shop", source_url="file:///a")
    writer.execute("ROLLBACK")
    writer.close()
    assert ledger.ensure_catalog("shop", source_url="file:///a").name == "shop"
    ledger.close()


@pytest.fixture(params=PLACES)
def ledger(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[SqlLedger]:
    with ledger_in(request.param, tmp_path) as opened:
        yield opened


def test_threads_record_renew_and_read_at_once(ledger: SqlLedger) -> None:
    job = started(ledger)
    batches = [planned(ledger, job, [f"{batch}-{number:02d}" for number in range(8)]) for batch in range(8)]
    finished = threading.Event()

    def work_off(batch_id: str) -> None:
        lease = claimed(ledger, batch_id)
        for item in lease.items:
            ledger.record(lease, [indexed(item.key)], lease_s=LEASE_S)
            ledger.renew(lease, lease_s=LEASE_S)
        ledger.finish_batch(lease, stages=(), wall_s=0.0)

    def watch() -> None:
        while not finished.is_set():
            seen = ledger.job(job.id)
            assert seen.finished == seen.counts.indexed
            assert ledger.reap() == []

    with ThreadPoolExecutor(5) as pool:
        watching = pool.submit(watch)
        try:
            assert list(pool.map(work_off, batches)) == [None] * 8
        finally:
            finished.set()
        watching.result()
    assert ledger.job(job.id).counts.indexed == 64


def test_one_of_two_threads_makes_the_job(ledger: SqlLedger) -> None:
    started(ledger)
    ledger.finish_job(ledger.jobs()[0].id, JobState.DONE)
    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(lambda _: started(ledger, key="same").id, range(4)))
    assert len(set(made)) == 1
