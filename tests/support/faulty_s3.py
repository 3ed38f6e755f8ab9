"""A proxy in front of a real S3 server that lets it be slow, fail, cut bodies off or be away, as a test tells it."""

from __future__ import annotations

import http.client
import random
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

_HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "content-length"}


@dataclass(kw_only=True)
class FaultyS3:
    """The running proxy; its shares and delays may be changed at any time."""

    endpoint_url: str = ""
    interval_s: float = 0.0
    """Objects are sent at least so far apart, however many are asked for at once."""
    error_share: float = 0.0
    """Share of requests answered with 503."""
    cut_share: float = 0.0
    """Share of objects that end after half of their bytes."""
    slow_share: float = 0.0
    """Share of objects that come in small pieces over a second."""
    away: threading.Event = field(default_factory=threading.Event)
    """While it is set, connections are closed without an answer."""
    done: Counter[str] = field(default_factory=Counter)
    """How often which fault was done."""


@contextmanager
def faulty_s3(target_url: str, *, seed: int = 0) -> Iterator[FaultyS3]:
    """Run a proxy for `target_url` on a port of its own until the block ends.

    The Host header is passed on as it came, since a request's signature covers it.
    """
    state = FaultyS3()
    server = _Server(state, target_url, seed)
    state.endpoint_url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, state: FaultyS3, target_url: str, seed: int) -> None:
        self.state = state
        self.target_port = urlsplit(target_url).port
        self._dice, self._lock = random.Random(seed), threading.Lock()
        self._next_turn = 0.0
        super().__init__(("127.0.0.1", 0), _Handler)

    def wait_for_turn(self) -> None:
        """Keep the interval between objects."""
        with self._lock:
            now = time.monotonic()
            self._next_turn = max(now, self._next_turn + self.state.interval_s)
            pause_s = self._next_turn - now
        time.sleep(pause_s)

    def hit(self, share: float, fault: str) -> bool:
        """Whether a fault is to be done now; counts it."""
        with self._lock:
            done = self._dice.random() < share
            self.state.done[fault] += done
            return done

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that gave up in the middle is what the tests are about."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 30
    server: _Server

    def do_GET(self) -> None:
        state = self.server.state
        if state.away.is_set():
            state.done["away"] += 1
            self.close_connection = True
            return
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.server.hit(state.error_share, "error"):
            self._answer(503, {"Retry-After": "0"}, b"<Error><Code>SlowDown</Code></Error>")
            return
        reply, content = self._asked(body)
        headers = {name: value for name, value in reply.getheaders() if name.lower() not in _HOP_BY_HOP}
        length = int(reply.getheader("Content-Length") or len(content))
        if self.command == "GET" and "?" not in self.path and reply.status in (200, 206):
            self.server.wait_for_turn()
            self._answer_object(reply.status, headers, content)
        else:
            self._answer(reply.status, headers, content, length=length)

    do_HEAD = do_PUT = do_POST = do_DELETE = do_GET  # noqa: N815

    def log_message(self, *_: object) -> None:
        """Stay silent."""

    def _asked(self, body: bytes) -> tuple[http.client.HTTPResponse, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.server.target_port, timeout=30)
        try:
            connection.request(self.command, self.path, body=body, headers=dict(self.headers))
            reply = connection.getresponse()
            return reply, reply.read()
        finally:
            connection.close()

    def _answer(self, status: int, headers: dict[str, str], content: bytes, *, length: int | None = None) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content) if length is None else length))
        self.end_headers()
        self.wfile.write(content)

    def _answer_object(self, status: int, headers: dict[str, str], content: bytes) -> None:
        state = self.server.state
        if self.server.hit(state.cut_share, "cut"):
            self._answer(status, headers, content[: len(content) // 2], length=len(content))
            self.close_connection = True
        elif self.server.hit(state.slow_share, "slow"):
            piece = max(1, len(content) // 5)
            self._answer(status, headers, content[:piece], length=len(content))
            for start in range(piece, len(content), piece):
                self.wfile.flush()
                time.sleep(0.2)
                self.wfile.write(content[start : start + piece])
        else:
            self._answer(status, headers, content)
