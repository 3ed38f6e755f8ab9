"""Load on an HTTP server: so many clients, each asking its next question as soon as it has its answer.

    python -m benchmarks.http_load --port 8080 --requests FILE --clients 8 --seconds 10

A process of its own, because clients in the measuring process would share its interpreter lock. A request is a line of
FILE: a JSON object with `path`, `type` and `body` (base64). The clients speak HTTP/1.1 over one kept connection each, with
as little work of their own as possible: on a small machine they take their time from the server.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import uvloop


@dataclass(frozen=True, kw_only=True, slots=True)
class Ask:
    """One request."""

    path: str
    content_type: str
    body: bytes

    def encoded(self, port: int) -> bytes:
        """As it goes over the wire."""
        return (
            f"POST {self.path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: {self.content_type}\r\n"
            f"Content-Length: {len(self.body)}\r\n\r\n"
        ).encode() + self.body


@dataclass(frozen=True, kw_only=True, slots=True)
class Run:
    """What the clients saw."""

    seconds: float
    milliseconds: list[float]
    statuses: dict[str, int]

    @property
    def per_second(self) -> float:
        """Answers a second of all clients together."""
        return len(self.milliseconds) / self.seconds


@dataclass(kw_only=True, slots=True)
class _Tally:
    milliseconds: list[float] = field(default_factory=list)
    statuses: dict[str, int] = field(default_factory=dict)


def json_ask(path: str, body: dict[str, Any]) -> Ask:
    """A request with a JSON body."""
    return Ask(path=path, content_type="application/json", body=json.dumps(body).encode())


def picture_ask(path: str, picture: bytes, query: dict[str, Any]) -> Ask:
    """A form with a picture and a query."""
    mark = "load-boundary-5d1f"
    body = (
        f'--{mark}\r\nContent-Disposition: form-data; name="query"\r\n\r\n{json.dumps(query)}\r\n'
        f'--{mark}\r\nContent-Disposition: form-data; name="image"; filename="query.jpg"\r\n'
        "Content-Type: image/jpeg\r\n\r\n"
    ).encode()
    body += picture + f"\r\n--{mark}--\r\n".encode()
    return Ask(path=path, content_type=f"multipart/form-data; boundary={mark}", body=body)


def load(port: int, asks: Sequence[Ask], *, clients: int, seconds: float, folder: Path) -> Run:
    """Have a child process ask for so long; the requests go round."""
    file = folder / "requests.jsonl"
    with file.open("w", encoding="ascii") as out:
        for ask in asks:
            coded = base64.b64encode(ask.body).decode()
            out.write(json.dumps({"path": ask.path, "type": ask.content_type, "body": coded}) + "\n")
    command = [sys.executable, "-m", "benchmarks.http_load", "--port", str(port), "--requests", str(file)]
    command += ["--clients", str(clients), "--seconds", str(seconds)]
    ran = subprocess.run(command, check=True, capture_output=True, text=True, timeout=seconds + 120)
    return Run(**json.loads(ran.stdout))


def main() -> None:
    """Ask, and print what was seen as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--requests", type=Path, required=True)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=10.0)
    given = parser.parse_args()
    asks = []
    for line in given.requests.read_text(encoding="ascii").splitlines():
        said = json.loads(line)
        ask = Ask(path=said["path"], content_type=said["type"], body=base64.b64decode(said["body"]))
        asks.append(ask.encoded(given.port))
    run = uvloop.run(_load(given.port, asks, clients=given.clients, seconds=given.seconds))
    print(json.dumps({"seconds": run.seconds, "milliseconds": run.milliseconds, "statuses": run.statuses}))


async def _load(port: int, asks: Sequence[bytes], *, clients: int, seconds: float) -> Run:
    tally = _Tally()
    started = time.perf_counter()
    until = started + seconds
    await asyncio.gather(*(_client(port, asks[number::clients] or asks, until, tally) for number in range(clients)))
    return Run(seconds=time.perf_counter() - started, milliseconds=tally.milliseconds, statuses=dict(tally.statuses))


async def _client(port: int, asks: Sequence[bytes], until: float, tally: _Tally) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        number = 0
        while (begun := time.perf_counter()) < until:
            writer.write(asks[number % len(asks)])
            status, _ = await _answer(reader)
            tally.milliseconds.append(round((time.perf_counter() - begun) * 1000, 3))
            tally.statuses[status] = tally.statuses.get(status, 0) + 1
            number += 1
    finally:
        writer.close()


async def _answer(reader: asyncio.StreamReader) -> tuple[str, bytes]:
    head = await reader.readuntil(b"\r\n\r\n")
    lines = head.decode("latin-1").split("\r\n")
    length = next(int(line[15:]) for line in lines if line.lower().startswith("content-length:"))
    return lines[0].split(" ")[1], await reader.readexactly(length)


if __name__ == "__main__":
    main()
