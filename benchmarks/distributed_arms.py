"""The distributed form's figures that need running workers: Celery's cost, the broker's memory, freshness of events."""

from __future__ import annotations

import json
import random
import statistics
import subprocess
import threading
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import boto3
import redis

from benchmarks.arms.stand_in_worker import IMAGES_VARIABLE, SOURCE
from benchmarks.servers import Servers
from schemas.ids import point_id
from schemas.records import Job, JobState, Lane
from tests.support.s3_server import free_port
from workers.adapters.vector_index.client import SocketIndex
from workers.celery_app import queue_of

FOLDER_IMAGES: Final = 200
"""The S3 server reads a whole folder to find one of its objects."""
WORKER: Final = ("worker", "--lanes", "interactive,bulk")
INTERACTIVE: Final = ("worker", "--lanes", "interactive")
BEAT: Final = ("beat",)
SAMPLE_S: Final = 0.1
POLL_S: Final = 0.02
LOST_S: Final = 120.0


def write_bucket(folder: Path, pictures: Sequence[Path], count: int) -> None:
    """`count` objects, the pictures over and over, each with a few bytes of its own behind its end."""
    for number in range(count):
        path = folder / f"{number // FOLDER_IMAGES:04d}" / f"{number:07d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(pictures[number % len(pictures)].read_bytes() + number.to_bytes(4, "big"))


def in_process(servers: Servers, name: str, bucket: str) -> dict[str, Any]:
    """`catalog ingest` without a broker: the worker is a thread of the command."""
    return _rated(servers.catalog("ingest", f"s3://{bucket}", "--name", name, environment=servers.environment))


def one_worker(servers: Servers, name: str, bucket: str) -> dict[str, Any]:
    """`catalog ingest` with a broker, one distributed worker and a beat, all of them awake before the job is made."""
    with servers.running(WORKER, BEAT):
        return _rated(servers.catalog("ingest", f"s3://{bucket}", "--name", name, environment=servers.distributed))


def _rated(job: dict[str, Any]) -> dict[str, Any]:
    images = job["indexed"] + job["duplicates"]
    return {"images": images, "seconds": job["seconds"], "rate": images / job["seconds"]}


@dataclass(kw_only=True)
class BrokerMemory:
    """Valkey's own count of what it holds, in bytes."""

    idle: list[int] = field(default_factory=list)
    working: list[int] = field(default_factory=list)
    longest_queue: int = 0
    seconds: float = 0.0

    @property
    def above_idle(self) -> float:
        """The most that the job added at any time to what an idle broker holds at its median."""
        return max(self.working) - statistics.median(self.idle)


def broker_memory(servers: Servers, *, images: int, idle_s: float) -> BrokerMemory:
    """Run a job of so many made-up images through broker, ledger and two workers, and watch the broker."""
    seen = BrokerMemory()
    servers.extra[IMAGES_VARIABLE] = str(images)
    module = "benchmarks.arms.stand_in_worker"
    with servers.running(INTERACTIVE, WORKER, BEAT, module=module):
        with _watching(servers, seen.idle, seen):
            time.sleep(idle_s)
        begun = time.monotonic()
        with _watching(servers, seen.working, seen):
            job = servers.catalog("ingest", SOURCE, "--name", "made-up", environment=servers.distributed, module=module)
        seen.seconds = time.monotonic() - begun
    if job["indexed"] != images:
        raise SystemExit(f"of {images:,} images {job['indexed']:,} were finished: {job}")
    return seen


@contextmanager
def _watching(servers: Servers, into: list[int], seen: BrokerMemory) -> Iterator[None]:
    over = threading.Event()

    def watch() -> None:
        state = servers.state
        with redis.Redis(port=state.broker_port, password=state.broker_password) as client:
            while not over.wait(SAMPLE_S):
                into.append(int(client.info("memory")["used_memory"]))
                length = sum(int(client.llen(queue_of(lane))) for lane in Lane)
                seen.longest_queue = max(seen.longest_queue, length)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


@dataclass(kw_only=True)
class Freshness:
    """Seconds from the beginning of each PUT until the index answers the image."""

    idle: list[float] = field(default_factory=list)
    beside_a_job: list[float] = field(default_factory=list)
    rate_beside: float = 0.0
    """Images a second of the job meanwhile."""


def freshness(
    servers: Servers, pictures: Sequence[Path], *, bucket: str, bulk: str, idle: int, beside: int, seed: int
) -> Freshness:
    """Put objects one by one and tell the webhook of each, on an idle system, then beside a bulk job of another catalog.

    Processes are those of `catalog up`: a worker for what must not wait, one for everything, a beat; and the webhook.
    """
    port, dice, found = free_port(), random.Random(seed), Freshness()
    webhook = ("events", "serve", "--port", str(port))
    with servers.running(INTERACTIVE, WORKER, BEAT, webhook):
        servers.catalog("ingest", f"s3://{bucket}", "--name", "fresh", environment=servers.distributed)
        prober = _Prober(servers, port=port, bucket=bucket)
        for number in range(idle):
            time.sleep(dice.uniform(0.5, 3.0))
            found.idle.append(prober.probe(f"idle/{number:03d}.jpg", pictures[number].read_bytes()))
        job = _begin(servers, bulk)
        before = job.finished, time.monotonic()
        for number in range(beside):
            time.sleep(dice.uniform(0.2, 1.5))
            if servers.ledger.job(job.id).state is not JobState.RUNNING:
                raise SystemExit(f"the bulk job ended after {number} events: give it more images")
            found.beside_a_job.append(prober.probe(f"beside/{number:03d}.jpg", pictures[-number - 1].read_bytes()))
        done = servers.ledger.job(job.id).finished - before[0]
        found.rate_beside = done / (time.monotonic() - before[1])
        servers.ledger.request_cancel(job.id)
        _wait_for_end(servers, job)
    return found


def _begin(servers: Servers, bulk: str) -> Job:
    """The bulk job, once its first images have their outcome."""
    command = [servers.python, "-m", "workers", "ingest", f"s3://{bulk}", "--name", "bulk", "--json"]
    with (servers.home / "processes.log").open("ab") as log:
        subprocess.Popen(command, env=servers.distributed, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    deadline = time.monotonic() + LOST_S
    while time.monotonic() < deadline:
        job = next(iter(servers.ledger.jobs(limit=20)), None)
        if job is not None and job.catalog == "bulk" and job.finished:
            return job
        time.sleep(0.1)
    raise SystemExit("the bulk job did not begin")


def _wait_for_end(servers: Servers, job: Job) -> None:
    deadline = time.monotonic() + LOST_S
    while not servers.ledger.job(job.id).state.is_final and time.monotonic() < deadline:
        time.sleep(0.1)


class _Prober:
    """Puts an object, tells the webhook, and looks until the index has it."""

    def __init__(self, servers: Servers, *, port: int, bucket: str) -> None:
        store, active = servers.store, servers.ledger.catalog("fresh").active_generation
        if active is None:
            raise SystemExit("the catalog of the events was not indexed")
        self._collection = servers.ledger.generation("fresh", active).collection
        self._index = SocketIndex(servers.home)
        self._bucket = bucket
        self._address = f"http://127.0.0.1:{port}/v1/events"
        self._client = boto3.client(
            "s3",
            endpoint_url=store.endpoint_url,
            region_name="us-east-1",
            aws_access_key_id=store.access_key_id,
            aws_secret_access_key=store.secret_access_key,
        )

    def probe(self, key: str, data: bytes) -> float:
        """Seconds until the image is in the index."""
        begun = time.monotonic()
        self._client.put_object(Bucket=self._bucket, Key=key, Body=data)
        described = {"bucket": {"name": self._bucket}, "object": {"key": key, "size": len(data)}}
        record = {"eventSource": "aws:s3", "eventName": "ObjectCreated:Put", "s3": described}
        request = urllib.request.Request(  # noqa: S310 - a loopback address
            self._address, data=json.dumps({"Records": [record]}).encode(), method="POST"
        )
        with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
            answer.read()
        wanted = [point_id("fresh", key)]
        while not self._index.retrieve(self._collection, wanted):
            if time.monotonic() - begun > LOST_S:
                raise SystemExit(f"{key} is not searchable after {LOST_S:.0f} s")
            time.sleep(POLL_S)
        return time.monotonic() - begun
