"""Everything distributed on this machine, for the benchmarks: Postgres, Valkey, S3, workers, a beat, the webhook."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import psutil

from benchmarks.large_catalog import end_owner
from tests.support.s3_server import S3Server, serve_s3
from workers.adapters.ledger import SqlLedger, open_ledger, upgrade_ledger
from workers.cluster import servers
from workers.cluster.detached import end
from workers.cluster.state import ClusterFolder, ClusterState, new_state

LISTING_CACHE_S: Final = 3600
"""The S3 server may believe its folders unchanged: everything that is written goes through it or is there before it."""
READY_S: Final = 120.0
TIMEOUT_S: Final = 1800
OWN_MODULE: Final = "workers"


@dataclass(kw_only=True)
class Servers:
    """The running servers and whatever was started beside them."""

    home: Path
    state: ClusterState
    store: S3Server
    ledger: SqlLedger
    extra: dict[str, str] = field(default_factory=dict)
    """Settings of every process beyond those that name the servers."""

    @property
    def environment(self) -> dict[str, str]:
        """Settings of a process that uses the servers, without the broker."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("CATALOG_")}
        return {
            **kept,
            **self.store.environment(),
            "AWS_REGION": "us-east-1",
            "CATALOG_HOME": str(self.home),
            "CATALOG_LEDGER_URL": self.state.ledger_url,
            "CATALOG_S3_ENDPOINT_URL": self.store.endpoint_url,
            "CATALOG_LOG_LEVEL": "WARNING",
            **self.extra,
        }

    @property
    def python(self) -> str:
        """The interpreter of every process."""
        return sys.executable

    @property
    def broker_url(self) -> str:
        """Of Valkey, with its password."""
        return f"redis://:{self.state.broker_password}@127.0.0.1:{self.state.broker_port}/0"

    @property
    def distributed(self) -> dict[str, str]:
        """The same with the broker: work is done by workers elsewhere."""
        return {**self.environment, "CATALOG_BROKER_URL": self.broker_url}

    def catalog(self, *arguments: str, environment: dict[str, str], module: str = OWN_MODULE) -> dict[str, Any]:
        """The last object that a command prints with --json.

        Raises:
            SystemExit: it failed; with the end of what it said.
        """
        done = subprocess.run(
            [sys.executable, "-m", module, *arguments, "--json"],
            env=environment, capture_output=True, text=True, timeout=TIMEOUT_S, stdin=subprocess.DEVNULL, check=False,
        )  # fmt: skip
        if done.returncode:
            raise SystemExit(f"catalog {arguments[0]} ended with {done.returncode}:\n{done.stderr[-3000:]}")
        answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return answer

    @contextmanager
    def running(self, *commands: Sequence[str], module: str = OWN_MODULE) -> Iterator[list[psutil.Process]]:
        """Run `catalog` commands beside each other for the block; it begins when every worker and beat has shown itself."""
        log = (self.home / "processes.log").open("ab")
        known = {worker.pulse.id for worker in self.ledger.workers()}
        started = [
            subprocess.Popen(
                [sys.executable, "-m", module, *command],
                env=self.distributed, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            )
            for command in commands
        ]  # fmt: skip
        try:
            expected = sum(command[0] in ("worker", "beat") for command in commands)
            self._wait_for(known, expected, started)
            yield [psutil.Process(process.pid) for process in started]
        finally:
            for process in started:
                with suppress(ProcessLookupError):
                    process.send_signal(signal.SIGTERM)
            for process in started:
                _end(process)
            log.close()

    def _wait_for(self, known: set[str], expected: int, started: Sequence[subprocess.Popen[bytes]]) -> None:
        deadline = time.monotonic() + READY_S
        while len({worker.pulse.id for worker in self.ledger.workers()} - known) < expected:
            ended = [process for process in started if process.poll() is not None]
            if ended or time.monotonic() >= deadline:
                raise SystemExit(f"a process did not start; its words are in {self.home / 'processes.log'}")
            time.sleep(0.1)
        time.sleep(2.0)  # a worker shows itself before its model is open


def _end(process: subprocess.Popen[bytes]) -> None:
    try:
        process.wait(timeout=60)
    except subprocess.TimeoutExpired:
        family = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
        for member in family:
            with suppress(psutil.NoSuchProcess):
                member.kill()
        process.wait(timeout=10)


@contextmanager
def serving(folder: Path) -> Iterator[Servers]:
    """Start the servers with their data under `folder` and end them afterwards; `folder / "s3"` has the buckets."""
    home, buckets = folder / "home", folder / "s3"
    home.mkdir(parents=True)
    buckets.mkdir(exist_ok=True)
    cluster = ClusterFolder(home)
    with ExitStack() as stack, cluster.locked():
        for above in (folder, home):  # Postgres runs as another user when root starts it
            above.chmod(0o711)
        state = new_state(broker_port=None, store_port=None, store_folder=buckets, workers=1)
        for part in (servers.start_postgres(cluster), servers.start_broker(cluster, state)):
            state = state.with_part(part)
            how = signal.SIGINT if part.name == "postgres" else signal.SIGTERM
            stack.callback(end, part, how, within_s=20.0)
        upgrade_ledger(state.ledger_url)
        ledger = open_ledger(state.ledger_url)
        stack.callback(ledger.close)
        store = stack.enter_context(serve_s3(buckets, cache_s=LISTING_CACHE_S))
        stack.callback(end_owner, home)
        yield Servers(home=home, state=state, store=store, ledger=ledger)
