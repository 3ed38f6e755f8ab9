"""How fast Postgres takes outcomes, and how fast a scan of a million objects finds that nothing is to be done."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from sqlalchemy import text

from schemas.ids import new_id
from schemas.outcomes import OutcomeKind
from schemas.records import Change, Counts, Job, JobKind, JobOptions, JobState, Lease, Outcome, PlannedPage, WorkItem
from tests.support.memory import high_water
from workers.adapters.ledger import SqlLedger, open_ledger
from workers.adapters.ledger.database import Database
from workers.adapters.object_store.memory import MemoryObjectStore
from workers.indexing.jobs import LARGEST_BATCH_ITEMS
from workers.indexing.scan import scan
from workers.ports import Listed

LEASE_S: Final = 600.0
BATCH_ITEMS: Final = 2048
"""15 s of work at 136 images a second."""
SIZE: Final = 28_000
"""Bytes of a photograph of 400 x 533; nothing is read."""
_DAY: Final = datetime(2026, 1, 1, tzinfo=UTC)


class GeneratedStore(MemoryObjectStore):
    """An object store whose listing is made up as it is read: `images` keys in byte order, in folders of a thousand."""

    def __init__(self, images: int) -> None:
        """Nothing is held."""
        super().__init__("generated")
        self._images = images

    def list(self, *, after: str | None = None) -> Iterator[Listed]:
        """Every object behind `after`; one that a listing has shown is found by its number."""
        first = 0 if not after else _number(after) + 1
        for number in range(first, self._images):
            yield Listed(key=key_of(number), etag=etag_of(number), size=SIZE, modified=_DAY)


def key_of(number: int) -> str:
    """A key such as shops have them."""
    return f"catalog/{number // 1000:06d}/{number % 1000:03d}.jpg"


def etag_of(number: int) -> str:
    """32 hexadecimal digits, as S3's."""
    return f"{number:032x}"


def _number(key: str) -> int:
    folder, name = key.split("/")[1:]
    return int(folder) * 1000 + int(name.removesuffix(".jpg"))


def started(ledger: SqlLedger, catalog: str) -> Job:
    """A running sync of a catalog whose first generation is active."""
    ledger.ensure_catalog(catalog, source_url="memory://generated")
    if not ledger.generations(catalog):
        ledger.activate(catalog, ledger.add_generation(catalog, model_digest="0" * 64).number)
    generation = ledger.generations(catalog)[0].number
    return ledger.create_job(catalog, generation, JobKind.SYNC, JobOptions(), idempotency_key=new_id())


def outcome_rate(url: str, *, images: int, jobs: int, group: int) -> float:
    """Outcomes a second of new catalogs' images, recorded `group` at a time by a worker for each of so many jobs.

    Batches are as large as those of a worker that does 136 images a second, and closed one after another.
    """
    ledger = open_ledger(url)
    try:
        leases = [_leases(ledger, images=images // jobs) for _ in range(jobs)]
        work = [[(lease, list(_groups(lease, group))) for lease in mine] for mine in leases]
        threads = [threading.Thread(target=_record, args=(ledger, mine)) for mine in work]
        begun = time.perf_counter()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        seconds = time.perf_counter() - begun
        done = sum(ledger.job(mine[0].job_id).counts.indexed for mine in leases)
        if done != images:
            raise SystemExit(f"{images:,} outcomes were recorded, the jobs count {done:,}")
        return images / seconds
    finally:
        ledger.close()


def _leases(ledger: SqlLedger, *, images: int) -> list[Lease]:
    job = started(ledger, f"rate-{new_id()[:8]}")
    token = new_id()
    ledger.claim_scan(job.id, token=token, lease_s=LEASE_S)
    leases = []
    for start in range(0, images, BATCH_ITEMS):
        work = tuple(
            WorkItem(key=key_of(number), change=Change.NEW, etag=etag_of(number), size=SIZE)
            for number in range(start, min(images, start + BATCH_ITEMS))
        )
        counts = Counts(seen=len(work), new=len(work))
        page = PlannedPage(cursor=work[-1].key, complete=False, work=work, vanished=(), counts=counts)
        batch_id = ledger.plan_page(job.id, token=token, page=page)
        lease = None if batch_id is None else ledger.claim_batch(batch_id, worker="benchmark", lease_s=LEASE_S)
        if lease is None:
            raise SystemExit("a batch of the benchmark was not to be had")
        leases.append(lease)
    return leases


def _groups(lease: Lease, size: int) -> Iterator[list[Outcome]]:
    outcomes = [
        Outcome(
            key=item.key,
            kind=OutcomeKind.INDEXED,
            etag=item.etag,
            size=item.size,
            content_digest=hashlib.sha256(item.key.encode()).hexdigest(),
        )
        for item in lease.items
    ]
    for start in range(0, len(outcomes), size):
        yield outcomes[start : start + size]


def _record(ledger: SqlLedger, work: Sequence[tuple[Lease, list[list[Outcome]]]]) -> None:
    for lease, groups in work:
        for group in groups:
            ledger.record(lease, group, lease_s=LEASE_S)
        ledger.finish_batch(lease, stages=(), wall_s=0.0)


def fill(url: str, catalog: str, *, images: int) -> None:
    """A catalog that holds exactly what `GeneratedStore` lists, written by Postgres itself."""
    ledger = open_ledger(url)
    job = started(ledger, catalog)
    ledger.finish_job(job.id, JobState.DONE)
    ledger.close()
    numbers = "generate_series(0, :images - 1) AS n"
    key = "'catalog/' || lpad((n / 1000)::text, 6, '0') || '/' || lpad((n % 1000)::text, 3, '0') || '.jpg'"
    etag = "lpad(to_hex(n), 32, '0')"
    items = f"INSERT INTO items (catalog, key, etag, size) SELECT :catalog, {key}, {etag}, :size FROM {numbers}"  # noqa: S608
    placements = f"""
        INSERT INTO placements (catalog, generation, key, point_id, version, etag, size, content_digest, outcome,
                                attempts, job_id, updated_at)
        SELECT :catalog, 1, {key}, md5(n::text)::uuid::text, 1, {etag}, :size, md5('a' || n) || md5('b' || n), 'indexed',
               0, 'none', 0 FROM {numbers}"""  # noqa: S608
    database = Database(url)
    try:
        for statement in (items, placements):
            with database.write() as tx:
                tx.execute(text(statement), {"catalog": catalog, "size": SIZE, "images": images})
        with database.write() as tx:
            tx.execute(text("ANALYZE items, placements"))
    finally:
        database.close()


def plan_full(url: str, catalog: str, *, images: int) -> dict[str, float]:
    """Seconds and highest memory of planning a source in which nothing has changed, in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.ledger_rates", url, catalog, str(images)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"planning ended with {done.returncode}:\n{done.stderr[-3000:]}")
    found: dict[str, float] = json.loads(done.stdout)
    return found


def _plan(url: str, catalog: str, images: int) -> dict[str, float]:
    ledger, store = open_ledger(url), GeneratedStore(images)
    job = started(ledger, catalog)
    token, slices, begun = new_id(), 0, time.perf_counter()
    while not (job := ledger.job(job.id)).scan_complete:
        ledger.claim_scan(job.id, token=token, lease_s=LEASE_S)
        scan(
            job,
            ledger.catalog(catalog),
            store=store,
            ledger=ledger,
            token=token,
            lease_s=LEASE_S,
            batch_items=LARGEST_BATCH_ITEMS,
            stopped=lambda: False,
        )
        slices += 1
    seconds = time.perf_counter() - begun
    if (job.counts.unchanged, job.planned) != (images, 0):
        raise SystemExit(f"of {images:,} images {job.counts.unchanged:,} were found unchanged")
    ledger.finish_job(job.id, JobState.DONE)
    ledger.close()
    peak = high_water(Path("/proc/self/status").read_text())
    return {"seconds": seconds, "peak_mb": peak / 1e6, "slices": slices, "cpu_s": time.process_time()}


if __name__ == "__main__":
    print(json.dumps(_plan(sys.argv[1], sys.argv[2], int(sys.argv[3]))))
