"""The `catalog` command as its users run it: a process of its own, a home of its own, the tiny bundle as model."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workers.adapters.ledger import open_ledger

TIMEOUT_S = 280.0


@dataclass(frozen=True)
class Ran:
    """What a command came to."""

    code: int
    out: str
    err: str

    @property
    def objects(self) -> list[dict[str, Any]]:
        """The JSON lines of stdout."""
        return [json.loads(line) for line in self.out.splitlines()]

    @property
    def last(self) -> dict[str, Any]:
        """The object that ends the output."""
        return self.objects[-1]


@dataclass(frozen=True)
class Catalog:
    """The command with its environment."""

    home: Path
    bundle: Path
    environment: dict[str, str]

    def run(self, *arguments: str | Path, cwd: Path | None = None) -> Ran:
        done = subprocess.run(
            [sys.executable, "-m", "workers", *map(str, arguments)],
            env=self._environment,
            cwd=cwd,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            stdin=subprocess.DEVNULL,
        )
        return Ran(code=done.returncode, out=done.stdout, err=done.stderr)

    def json(self, *arguments: str | Path) -> dict[str, Any]:
        """The last object of a command that must succeed."""
        ran = self.run(*arguments, "--json")
        assert ran.code == 0, f"{arguments}: {ran.code}\n{ran.out}\n{ran.err}"
        return ran.last

    def start(self, *arguments: str | Path) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "workers", *map(str, arguments)],
            env=self._environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            stdin=subprocess.DEVNULL,
        )

    @property
    def _environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("CATALOG_")}
        return {**kept, "CATALOG_HOME": str(self.home), "CATALOG_MODEL": str(self.bundle), **self.environment}

    def owner_pids(self) -> list[int]:
        """Processes that own this home's index."""
        mark = str(self.home)
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    command = (entry / "cmdline").read_bytes().decode(errors="replace")
                except OSError:
                    continue
                if "vector_index.owner" in command and mark in command:
                    found.append(int(entry.name))
        return found

    def end_owner(self) -> None:
        """End this home's index owner, so that no process outlives a test."""
        for pid in self.owner_pids():
            os.kill(pid, signal.SIGTERM)


def finished(home: Path) -> int:
    """Items of the home's newest job that have their outcome; 0 before there is one."""
    if not (home / "ledger.sqlite3").exists():
        return 0
    ledger = open_ledger(f"sqlite:///{home / 'ledger.sqlite3'}")
    try:
        return next((job.finished for job in ledger.jobs(limit=1)), 0)
    finally:
        ledger.close()


def wait_until(condition: Callable[[], bool], *, timeout_s: float = 120.0) -> None:
    """Look again and again until the condition holds."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "what was waited for did not happen"
        time.sleep(0.02)
