"""Processes that outlive the command that started them: found again by pid and start time, ended in order."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

import psutil

from workers.cluster.state import Part
from workers.errors import ConfigurationError

_POLL_S: Final = 0.05
_TAIL_LINES: Final = 5
_CLOCK_SLACK_S: Final = 1.0


def is_alive(part: Part | None) -> bool:
    """Whether this very process still runs; a pid that was given to another one does not count."""
    return part is not None and _process(part) is not None


def start(
    name: str, command: Sequence[str], *, address: str, log: Path, environment: Mapping[str, str] | None = None
) -> Part:
    """Start a process in a session of its own, which Ctrl-C in the terminal does not reach. Its output goes to `log`."""
    with log.open("ab") as output:
        child = subprocess.Popen(
            list(command),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env={**os.environ, **(environment or {})},
            start_new_session=True,
        )
    return described(name, child.pid, address=address, log=log)


def described(name: str, pid: int, *, address: str, log: Path) -> Part:
    """A process that runs already, so that it is found again."""
    try:
        started = psutil.Process(pid).create_time()
    except psutil.NoSuchProcess:
        raise ConfigurationError(f"{name} ended at its start; {tail(log)}") from None
    return Part(name=name, pid=pid, started=started, address=address, log=str(log))


def wait_until(part: Part, ready: Callable[[], bool], *, timeout_s: float) -> None:
    """Wait for a process to be ready.

    Raises:
        ConfigurationError: it ended, or is not ready in time; the text ends with its log.
    """
    deadline = time.monotonic() + timeout_s
    while not ready():
        if not is_alive(part):
            raise ConfigurationError(f"{part.name} ended at its start; {tail(Path(part.log))}")
        if time.monotonic() >= deadline:
            raise ConfigurationError(f"{part.name} is not ready after {timeout_s:g} s; {tail(Path(part.log))}")
        time.sleep(_POLL_S)


def end(part: Part, how: signal.Signals, *, within_s: float) -> bool:
    """Ask a process to end and wait; after `within_s` it is killed with all it started. Whether it ended by itself."""
    process = _process(part)
    if process is None:
        return True
    with contextlib.suppress(psutil.NoSuchProcess):
        family = [process, *process.children(recursive=True)]
        process.send_signal(how)
        _, left = psutil.wait_procs([process], timeout=within_s)
        if not left:
            return True
        for member in family:
            with contextlib.suppress(psutil.NoSuchProcess):
                member.kill()
        psutil.wait_procs(family, timeout=5.0)
        return False
    return True


def tail(log: Path) -> str:
    """The last lines of a log, for an error's text."""
    try:
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()[-_TAIL_LINES:]
    except OSError:
        lines = []
    return f"its log {log} ends with: {' / '.join(lines) or 'nothing'}"


def _process(part: Part) -> psutil.Process | None:
    try:
        process = psutil.Process(part.pid)
        same = abs(process.create_time() - part.started) < _CLOCK_SLACK_S
        return process if same and process.status() != psutil.STATUS_ZOMBIE else None
    except psutil.NoSuchProcess:
        return None
