"""A server to test against: the application on a thread, or the real command."""

from __future__ import annotations

import json
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn

from tests.support.commands import Catalog
from workers.web.protocol import BoundedProtocol


@contextmanager
def app_served(app: Any) -> Iterator[str]:
    """The application on a free port of this machine; its URL."""
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="error", http=BoundedProtocol))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive()
        time.sleep(0.005)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()


@contextmanager
def command_served(catalog: Catalog, *arguments: str) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """`catalog serve` as a process of its own; its URL and the process, which SIGTERM ends."""
    process = catalog.start("serve", "--port", "0", "--json", *arguments)
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, process.communicate()[1]
        yield json.loads(line)["url"], process
    finally:
        process.terminate()
        process.communicate(timeout=60)
