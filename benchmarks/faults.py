"""The long fault campaign: fifty kills and every other fault at random moments, then a full comparison.

    python -m benchmarks.faults --seed 1             # one job, then two at once on two catalogs
    python -m benchmarks.faults --seed 2 --jobs 2
    python -m benchmarks.faults --quick

Real Postgres, Valkey and S3 (`rclone serve s3` behind a proxy that fails as told), three workers and a beat; the index is
the stand-in for a Qdrant server that the tests use. A job is slow enough to take all faults; two of its images end every
worker that decodes them and one is cut off. At the end each image has to be indexed exactly once or quarantined for the
right reason, source, ledger and index have to agree, and no lease or lock may be left. The exit status says whether they do.
"""

from __future__ import annotations

import argparse
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from sqlalchemy import text

from benchmarks.report import median, show_machine, show_table, write_json
from schemas.ids import point_id
from schemas.payload import Point
from schemas.records import Job
from tests.support.bundles import write_bundle
from tests.support.campaign import Campaign, Done, assert_agreement, campaign, write_harmful, write_pictures
from workers.adapters.ledger.database import Database
from workers.adapters.vector_index.qdrant import QdrantIndex
from workers.bootstrap import Process
from workers.cluster.detached import is_alive
from workers.indexing.jobs import reapply_tombstones
from workers.settings import load_settings

INTERVAL_S: Final = 0.4
"""Between two objects of the S3 server: some faults stop all work, most of them only a part of it."""
POLL_S: Final = 0.05
QUIET_S: Final = 120.0
"""Longest time without any outcome that is waited for: twice the longest outage."""
END_S: Final = 900.0
LATE: Final = "an older upsert after a delete"
TOMBSTONE_LEASE_S: Final = 2.0
"""Tombstones wait for no longer than this lease here; in production for the task limit besides, which is four minutes."""


@dataclass(frozen=True, kw_only=True)
class Shop:
    """One catalog of the campaign, with what has to become of its images."""

    name: str
    bucket: str
    good: dict[str, str]
    bad: dict[str, str]


@dataclass(kw_only=True)
class Progress:
    """Follows the jobs of the shops on a thread: how many images have their outcome, and how long each job stood still."""

    running: Campaign
    names: Sequence[str]
    finished: dict[str, int] = field(default_factory=dict)
    ended: set[str] = field(default_factory=set)
    moments: list[float] = field(default_factory=list)
    """When outcomes of any job were seen."""
    longest_quiet_s: dict[str, float] = field(default_factory=dict)
    over: threading.Event = field(default_factory=threading.Event)

    def follow(self) -> None:
        """Look until `over`."""
        moved = dict.fromkeys(self.names, time.monotonic())
        while not self.over.wait(POLL_S):
            for name in self.names:
                job = self.running.job(name)
                if job is None or name in self.ended:
                    continue
                now = time.monotonic()
                if job.finished != self.finished.get(name):
                    if name in self.finished:
                        quiet = max(self.longest_quiet_s.get(name, 0.0), now - moved[name])
                        self.longest_quiet_s[name] = quiet
                    self.finished[name], moved[name] = job.finished, now
                    self.moments.append(now)
                if job.state.is_final:
                    self.ended.add(name)

    @property
    def total(self) -> int:
        """Outcomes of all jobs."""
        return sum(self.finished.values())

    def longest_gap(self, since: float) -> float:
        """The longest time without any outcome between a moment and the last outcome that was seen."""
        moments = [since, *(moment for moment in self.moments if moment > since)]
        return max((after - before for before, after in pairwise(moments)), default=0.0)

    def wait_for(self, images: int) -> None:
        """Wait until so many more images of any job have their outcome.

        Raises:
            SystemExit: a job ended, or nothing went on.
        """
        wanted, deadline = self.total + images, time.monotonic() + QUIET_S
        while self.total < wanted:
            if self.ended:
                raise SystemExit(f"the job of {self.ended} ended before all faults were done: give it more --images")
            if time.monotonic() > deadline:
                raise SystemExit(f"no outcome for {QUIET_S:.0f} s\n{self.running.words()}")
            time.sleep(POLL_S)


def main() -> None:
    """A run with one job and one with two, by one seed; exits with 1 when something was lost, doubled or wrongly blamed."""
    given = _arguments()
    console = Console(width=120)
    show_machine(console)
    results = [_on_fresh_servers(console, given, jobs) for jobs in given.jobs]
    write_json(given.json, {"benchmark": "faults", "seed": given.seed, "kills": given.kills, "runs": results})
    sys.exit(0 if all(result["verdict"] == "agreed" for result in results) else 1)


def _on_fresh_servers(console: Console, given: argparse.Namespace, jobs: int) -> dict[str, Any]:
    console.print(f"seed {given.seed}, {given.kills} kills, {jobs} job(s) of {given.images:,} images", highlight=False)
    with tempfile.TemporaryDirectory(prefix="faults-", dir=given.work) as scratch:
        folder = Path(scratch)
        folder.chmod(0o711)  # Postgres runs as another user when root starts it
        bundle = write_bundle(folder / "bundle")
        home = folder / "home"
        home.mkdir(mode=0o711)
        with campaign(home, bundle=bundle, workers=given.workers, seed=given.seed) as running:
            return {"jobs": jobs, **_run(console, given, running, jobs=jobs)}


def _run(console: Console, given: argparse.Namespace, running: Campaign, *, jobs: int) -> dict[str, Any]:
    begun = time.monotonic()
    shops = [_shop(running, number, given.images) for number in range(jobs)]
    store = running.store
    store.interval_s, store.error_share, store.cut_share, store.slow_share = INTERVAL_S, 0.05, 0.01, 0.01
    commands = [running.ingest(shop.name, shop.bucket) for shop in shops]
    progress = Progress(running=running, names=[shop.name for shop in shops])
    follower = threading.Thread(target=progress.follow, daemon=True)
    follower.start()
    try:
        for name, fault in _faults(running, given):
            _do(console, running, progress, name, fault)
        store.interval_s = store.error_share = store.cut_share = store.slow_share = 0.0
        verdict = _ended(commands, running)
    finally:
        progress.over.set()
        follower.join()
        for command in commands:
            if command.poll() is None:
                command.kill()
    verdict = verdict or _compared(running, shops)
    ended = {shop.name: running.job(shop.name) for shop in shops}
    if not verdict:
        verdict = _late_upsert(running, shops[0])
    left = _left(running.state.ledger_url)
    if not verdict and any(left.values()):
        verdict = f"left behind: {left}"
    return _report(console, running, progress, ended, left, verdict or "agreed", seconds=time.monotonic() - begun)


def _shop(running: Campaign, number: int, images: int) -> Shop:
    bucket = f"pictures-{number + 1}"
    folder = Path(running.state.store_folder) / bucket
    good = write_pictures(folder, images, first=number * images)
    return Shop(name=f"shop-{number + 1}", bucket=bucket, good=good, bad=write_harmful(folder))


def _faults(running: Campaign, given: argparse.Namespace) -> list[tuple[str, Callable[[], None]]]:
    """Kills and everything else, in an order of the seed's."""
    outage_s, index_s = (5.0, 5.0) if given.quick else (30.0, 60.0)
    kills = {"kill -9 of a pool process": running.kill_pool_process, "kill -9 of a worker": running.kill_worker}
    others: dict[str, Callable[[], None]] = {
        "SIGTERM to a worker": running.end_worker,
        "Valkey killed, restarted with its file": running.restart_broker,
        "Valkey killed, restarted without its file": running.restart_broker_empty,
        "FLUSHALL": running.wipe_broker,
        "Postgres restarted": running.restart_postgres,
        f"S3 away for {outage_s:.0f} s": partial(running.lose_store, outage_s),
        f"Qdrant away for {index_s:.0f} s": partial(running.lose_index, index_s),
        "Qdrant busy (429)": partial(running.trouble_index, 2.0, busy_share=1.0, retry_after_s=1),
        "Qdrant failing (503)": partial(running.trouble_index, 2.0, error_share=1.0),
        "Qdrant applying half of a batch": partial(running.trouble_index, 2.0, partial_share=0.9),
        "Qdrant applying without an answer": partial(running.trouble_index, 2.0, lost_share=0.9),
    }
    chosen = [running.dice.choice(list(kills.items())) for _ in range(given.kills)]
    chosen += [*others.items()] * given.others
    running.dice.shuffle(chosen)
    return [("a second beat", running.second_beat), *chosen]


def _do(console: Console, running: Campaign, progress: Progress, name: str, fault: Callable[[], None]) -> None:
    """Do a fault some moments after the last one, and wait until the work goes on."""
    progress.wait_for(1)
    time.sleep(running.dice.uniform(0.0, 2.0))
    gone = [part for part in running.state.parts if not is_alive(part)]
    if gone:
        words = "\n".join(f"{part.name}:\n{Path(part.log).read_text(errors='replace')[-6000:]}" for part in gone)
        raise SystemExit(f"ended by itself: {words}")
    begun = time.monotonic()
    fault()
    progress.wait_for(1)
    done = Done(fault=name, lost_s=progress.longest_gap(begun))
    running.done.append(done)
    console.print(
        f"{len(running.done):3d} {name:<44} {done.lost_s:5.1f} s  {progress.total:,} outcomes", highlight=False
    )


def _ended(commands: Sequence[subprocess.Popen[str]], running: Campaign) -> str | None:
    """Wait for the jobs at full speed; what went wrong, or None."""
    deadline = time.monotonic() + END_S
    for command in commands:
        try:
            out, err = command.communicate(timeout=max(1.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            return f"a job did not end within {END_S:.0f} s\n{running.words()}"
        if command.returncode:
            return f"catalog ingest ended with {command.returncode}: {out}\n{err}\n{running.words()}"
    return None


def _compared(running: Campaign, shops: Sequence[Shop]) -> str | None:
    """What source, ledger and index do not agree on, or None."""
    index = QdrantIndex(running.index_url)
    try:
        for shop in shops:
            assert_agreement(running.ledger, index, shop.name, good=shop.good, bad=shop.bad)
    except AssertionError as error:
        return f"no agreement: {str(error)[:2000] or 'see the traceback of an assert in tests/support/campaign.py'}"
    finally:
        index.close()
    return None


def _late_upsert(running: Campaign, shop: Shop) -> str | None:
    """Delete an image, let an older version of its point arrive afterwards, and let the tombstones be applied again."""
    key = next(iter(shop.good))
    (Path(running.state.store_folder) / shop.bucket / key).unlink()
    index = QdrantIndex(running.index_url)
    try:
        ledger = running.ledger
        active = ledger.catalog(shop.name).active_generation
        if active is None:
            return f"{shop.name} has no active generation"
        generation = ledger.generation(shop.name, active)
        wanted = [point_id(shop.name, key)]
        (old,) = index.retrieve(generation.collection, wanted, with_vectors=True)
        if old.vector is None:
            return f"the point of {key} has no vector"
        command = running.ingest(shop.name, shop.bucket)
        out, err = command.communicate(timeout=END_S)
        if command.returncode or index.retrieve(generation.collection, wanted):
            return f"the image was not deleted: {out}\n{err}"
        begun = time.monotonic()
        point = Point(id=old.id, version=old.payload.version, vector=old.vector, payload=old.payload)
        index.upsert(generation.collection, [point])
        if not index.retrieve(generation.collection, wanted):
            return "the older upsert did not arrive: nothing was shown"
        settings = load_settings(
            home=running.folder.path.parent,
            ledger_url=running.state.ledger_url,
            index_url=running.index_url,
            lease_s=TOMBSTONE_LEASE_S,
        )
        with Process(settings) as process:
            workshop = process.workshop(lambda _message, _lane: None, worker="campaign", stop=threading.Event())
            while index.retrieve(generation.collection, wanted):
                if time.monotonic() - begun > QUIET_S:
                    return "an older upsert after a delete stayed in the index"
                reapply_tombstones(workshop, generation, task_limit_s=0.0)
                time.sleep(0.2)
        running.done.append(Done(fault=LATE, lost_s=time.monotonic() - begun))
        del shop.good[key]
    finally:
        index.close()
    return _compared(running, [shop])


def _left(ledger_url: str) -> dict[str, int]:
    """Leases, rights to scan and open transactions that nobody holds any more."""
    questions = {
        "leased batches": "SELECT count(*) FROM batches WHERE state = 'leased'",
        "scans in hand": "SELECT count(*) FROM jobs WHERE scan_token IS NOT NULL",
        "open transactions": "SELECT count(*) FROM pg_stat_activity WHERE state LIKE 'idle in transaction%'",
        "advisory locks": "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'",
    }
    database = Database(ledger_url)
    try:
        with database.read() as tx:
            return {name: int(tx.execute(text(question)).scalar_one()) for name, question in questions.items()}
    finally:
        database.close()


def _report(
    console: Console,
    running: Campaign,
    progress: Progress,
    jobs: dict[str, Job | None],
    left: dict[str, int],
    verdict: str,
    *,
    seconds: float,
) -> dict[str, Any]:
    lost: dict[str, list[float]] = {}
    for done in running.done:
        lost.setdefault(done.fault, []).append(done.lost_s)
    rows = [(name, len(times), median(times), max(times)) for name, times in sorted(lost.items())]
    show_table(
        console, "Faults, and the longest time without an outcome, s", ["fault", "times", "median", "worst"], rows
    )
    counts = {
        name: {"indexed": job.counts.indexed, "quarantined": job.counts.quarantined, "failed": job.counts.failed}
        for name, job in jobs.items()
        if job is not None
    }
    outcomes = [(name, *count.values(), progress.longest_quiet_s.get(name, 0.0)) for name, count in counts.items()]
    show_table(console, "Jobs", ["catalog", "indexed", "quarantined", "failed", "longest quiet, s"], outcomes)
    s3 = ", ".join(f"{count} x {name}" for name, count in sorted(running.store.done.items()) if count)
    index = ", ".join(f"{count} x {name}" for name, count in sorted(running.index_faults.items()) if count)
    console.print(f"S3: {s3}; index: {index}", highlight=False)
    console.print(f"left behind: {', '.join(f'{count} {name}' for name, count in left.items())}", highlight=False)
    console.print(f"{len(running.done)} faults in {seconds:,.0f} s; verdict: {verdict}", style="bold", highlight=False)
    return {
        "seconds": seconds,
        "lost_s": lost,
        "outcomes": counts,
        "longest_quiet_s": progress.longest_quiet_s,
        "s3": dict(running.store.done),
        "index": dict(running.index_faults),
        "left": left,
        "verdict": verdict,
    }


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="few kills and short outages: to see that it works")
    parser.add_argument("--kills", type=int, help="kill -9, of pool processes and of workers; default: 50")
    parser.add_argument("--others", type=int, default=1, help="how often each other fault is done")
    parser.add_argument(
        "--seed", type=int, default=random.SystemRandom().randrange(10_000), help="of order and moments"
    )
    parser.add_argument(
        "--jobs", type=int, nargs="+", choices=(1, 2), help="runs, by catalogs indexed at once; default: 1 2, quick: 1"
    )
    parser.add_argument("--images", type=int, help="of each catalog; default: enough for the kills")
    parser.add_argument(
        "--workers", type=int, default=2, help="workers of all lanes; one more takes interactive work only"
    )
    parser.add_argument("--work", type=Path, default=Path("runs/benchmarks"), help="where servers keep their data")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    given = parser.parse_args()
    given.kills = given.kills if given.kills is not None else (4 if given.quick else 50)
    given.jobs = given.jobs or ([1] if given.quick else [1, 2])
    given.images = given.images or 400 + 30 * given.kills
    given.work.mkdir(parents=True, exist_ok=True)
    given.work = given.work.absolute()
    return given


if __name__ == "__main__":
    main()
