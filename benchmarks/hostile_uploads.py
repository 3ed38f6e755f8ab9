"""Uploads that mean harm, against a real `catalog serve`: does it stay up, and within its memory?

    python -m benchmarks.hostile_uploads [--uploads 10000] [--clients 8]

Mutated and oversized images, pictures that are none, broken forms, wrong types, heads without end and bodies that
trickle. Prints one JSON object: answers by status, what the server did not answer, its memory before and after, its peak,
and whether it still answers properly.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import httpx
import psutil

from tests.support.mutations import intact_images, mutated_images

SETTLE_S: Final = 2.0
EVERY_S: Final = 0.1
RAW_SHARE: Final = 0.05
"""Of the uploads: sent on bare sockets, with heads and bodies that no client library makes."""


@contextmanager
def served(home: Path) -> Iterator[tuple[str, psutil.Process]]:
    """A server on a free port with an empty home."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("CATALOG_")}
    process = subprocess.Popen(
        [sys.executable, "-m", "workers", "serve", "--port", "0", "--json"],
        env={**environment, "CATALOG_HOME": str(home), "CATALOG_RATE_LIMIT": "off"},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None  # noqa: S101 - for the type checker
        yield json.loads(process.stdout.readline())["url"], psutil.Process(process.pid)
    finally:
        process.terminate()
        process.wait(60)


class Memory:
    """The highest resident memory of a process while the block runs, in bytes."""

    def __init__(self, process: psutil.Process) -> None:
        self._process = process
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self.peak = 0

    def __enter__(self) -> Memory:
        """Begin to look."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Look no more."""
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stop.wait(EVERY_S):
            self.peak = max(self.peak, self._process.memory_info().rss)


def upload(client: httpx.Client, rng: random.Random, data: bytes) -> str:
    """Send a picture in one of several wrong ways; the status, or how it ended."""
    kind = rng.choice(["image/jpeg", "image/png", "text/html", "application/x-" + "x" * 500])
    ways: list[dict[str, Any]] = [
        {"files": {"image": ("a.jpg", data, kind)}},
        {"files": {"image": ("../../" + "a" * 5000, data, kind), "query": (None, "{" * 1000)}},
        {"files": {"image": ("a", data, kind), "query": (None, '{"heat_map": false, "crop": [0, 0, 1e-9, 1]}')}},
        {"files": [("image", ("a", data, kind))] * 3},
        {"content": data, "headers": {"Content-Type": "multipart/form-data; boundary=x"}},
        {"content": data, "headers": {"Content-Type": "application/json"}},
        {"content": data, "headers": {"Content-Type": kind}},
        {"content": (data[i : i + 1000] for i in range(0, len(data), 1000)), "headers": {"Content-Type": kind}},
    ]
    weights = [60, *[5] * (len(ways) - 1)]
    try:
        return str(client.post(rng.choice(["/v1/classify", "/v1/search"]), **rng.choices(ways, weights)[0]).status_code)
    except httpx.HTTPError as error:
        return type(error).__name__


def raw(url: str, rng: random.Random) -> str:
    """Something that is hardly HTTP; what the server says, or that it hung up."""
    where = urlsplit(url)
    head = b"POST /v1/classify HTTP/1.1\r\nHost: localhost\r\n"
    sent = rng.choice(
        [
            head + b"X: " + b"x" * 500_000,
            head + b"".join(b"X%d: y\r\n" % i for i in range(20_000)) + b"\r\n",
            head + b"Content-Length: 99999999999\r\n\r\n",
            head + b"Content-Length: -1\r\n\r\n",
            head + b"Transfer-Encoding: chunked\r\n\r\nfffffffff\r\nx",
            b"GET /" + b"a" * 200_000 + b" HTTP/1.1\r\n\r\n",
            rng.randbytes(5000),
        ]
    )
    try:
        with socket.create_connection((where.hostname or "", where.port or 0), timeout=15) as connection:
            connection.sendall(sent)
            answer = connection.recv(64)
    except OSError as error:
        return type(error).__name__
    return answer[9:12].decode("latin-1") if answer else "hung up"


def trickle(url: str, seconds: float) -> None:
    """Hold a connection with a body that never comes to its end."""
    where = urlsplit(url)
    try:
        with socket.create_connection((where.hostname or "", where.port or 0), timeout=15) as connection:
            connection.sendall(
                b"POST /v1/classify HTTP/1.1\r\nHost: localhost\r\nContent-Type: multipart/form-data; boundary=x\r\n"
                b"Content-Length: 30000000\r\n\r\n"
            )
            until = time.monotonic() + seconds
            while time.monotonic() < until:
                connection.sendall(b"x")
                time.sleep(0.5)
    except OSError:
        return


def campaign(url: str, *, uploads: int, clients: int, seed: int) -> Counter[str]:
    """All of it; answers by status."""
    said: Counter[str] = Counter()
    images = mutated_images(seed, uploads)
    lock = threading.Lock()

    def work(number: int) -> None:
        rng = random.Random(f"{seed}:{number}")
        with httpx.Client(base_url=url, timeout=60) as client:
            while True:
                with lock:
                    found = next(images, None)
                if found is None:
                    return
                answer = raw(url, rng) if rng.random() < RAW_SHARE else upload(client, rng, found[1])
                with lock:
                    said[answer] += 1

    slow = [threading.Thread(target=trickle, args=(url, 10.0), daemon=True) for _ in range(4)]
    for thread in slow:
        thread.start()
    with ThreadPoolExecutor(clients) as pool:
        list(pool.map(work, range(clients)))
    for thread in slow:
        thread.join()
    return said


def measure(*, uploads: int, clients: int, seed: int) -> dict[str, Any]:
    """Run the campaign against a server of its own."""
    with tempfile.TemporaryDirectory() as folder, served(Path(folder)) as (url, process):
        good = intact_images()[0][1]
        ask: dict[str, Any] = {"files": {"image": ("a", good, "image/jpeg")}}
        with httpx.Client(base_url=url, timeout=60) as client:
            for _ in range(20):
                client.post("/v1/classify", **ask).raise_for_status()
            before = process.memory_info().rss
            started = time.perf_counter()
            with Memory(process) as memory:
                said = campaign(url, uploads=uploads, clients=clients, seed=seed)
            seconds = time.perf_counter() - started
            time.sleep(SETTLE_S)
            after = client.post("/v1/classify", **ask).status_code
            ready = client.get("/readyz").status_code
        return {
            "uploads": uploads,
            "clients": clients,
            "seconds": round(seconds, 1),
            "answers": dict(sorted(said.items())),
            "rss_before_mib": before >> 20,
            "rss_peak_mib": memory.peak >> 20,
            "rss_after_mib": process.memory_info().rss >> 20,
            "still_answers": after == 200 and ready == 200,
        }


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description="Hostile uploads against a real server.")
    parser.add_argument("--uploads", type=int, default=10_000)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    print(json.dumps(measure(uploads=arguments.uploads, clients=arguments.clients, seed=arguments.seed)))


if __name__ == "__main__":
    main()
