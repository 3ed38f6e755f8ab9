"""A stand-in for a Qdrant server: its REST interface over qdrant-client's local mode, on the loopback.

It proves the wire's shape, not the server's behaviour: every request and response is checked against Qdrant's OpenAPI
document where that is at hand, filters and limits against strict mode; there is no approximate index, no replica, no
durability. Faults are set at run time:

    python -m tests.support.qdrant_server --port 6333 [--data FOLDER] [--api-key KEY] [--faults '{"error_share": 0.05}']
    curl -X POST localhost:6333/_faults -d '{"refuse_s": 60}'     # see `qdrant_faults.Faults`; {} ends them
    curl localhost:6333/_faults                                   # faults in force, how often each struck, violations
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import threading
import time
import urllib.request
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from tests.support import qdrant_openapi
from tests.support.qdrant_faults import FaultPlan, Faults
from tests.support.qdrant_routes import VERSION, AnswerError, LocalServer, Route

POLL_S = 0.02


class QdrantStandIn:
    """One server. `start` and `stop` it, or use `serve_qdrant`."""

    def __init__(
        self, *, port: int = 0, folder: Path | None = None, api_key: str | None = None, version: str = VERSION
    ) -> None:
        warnings.filterwarnings("ignore", "Payload indexes have no effect in the local Qdrant")
        warnings.filterwarnings("ignore", "Local mode")
        self.plan = FaultPlan()
        self.local = LocalServer(folder, self.plan, version)
        self.api_key = api_key
        self.checked = qdrant_openapi.is_at_hand()
        self.violations: list[str] = []
        self.requests: list[tuple[str, str]] = []
        """Method and path template of every request that was carried out."""
        self.out_until = 0.0
        self._stopping = threading.Event()
        self._listener = _Listener(port, self)
        self.port = int(self._listener.server_port)
        self._thread = threading.Thread(target=self._run, name="qdrant-stand-in", daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        while self._thread.is_alive():  # an outage may end at this very moment and bring a new listener
            self._listener.shutdown()
            self._thread.join(0.1)

    def set_faults(self, faults: Faults) -> None:
        """From now on; an outage (`refuse_s`) begins at once and ends by itself."""
        self.plan.set(faults)
        if faults.refuse_s:
            self.plan.count("outage")
            self.out_until = time.monotonic() + faults.refuse_s
            threading.Thread(target=self._listener.shutdown, daemon=True).start()  # it waits for the serving thread

    def is_out(self) -> bool:
        return time.monotonic() < self.out_until

    def _run(self) -> None:
        """Serve; through an outage nobody listens on the port."""
        while True:
            self._listener.serve_forever(POLL_S)
            self._listener.server_close()
            self._stopping.wait(max(0.0, self.out_until - time.monotonic()))
            if self._stopping.is_set():
                return
            self._listener = _Listener(self.port, self)

    def match(self, method: str, path: str) -> tuple[Route, str] | None:
        """The route and the collection's name."""
        for route in self.local.routes:
            if route.method == method and (found := route.pattern.fullmatch(path)):
                return route, unquote(found[1]) if found.groups() else ""
        return None

    def violated(self, what: str) -> None:
        self.violations.append(what)
        print(f"violates Qdrant's OpenAPI document: {what}", file=sys.stderr, flush=True)  # noqa: T201

    def state(self) -> dict[str, Any]:
        return {
            "faults": self.plan.faults.to_json(),
            "injected": dict(self.plan.injected),
            "checked": self.checked,
            "violations": self.violations,
            "requests": len(self.requests),
        }


class _Listener(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128
    allow_reuse_address = True

    def __init__(self, port: int, stand_in: QdrantStandIn) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.stand_in = stand_in


class _Handler(BaseHTTPRequestHandler):
    server: _Listener
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # head and body in one packet

    def _serve(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        raw = self.rfile.read(length)
        if self.server.stand_in.is_out():
            self.close_connection = True
            return
        path = urlsplit(self.path).path
        if path == "/_faults":
            self._control(raw)
            return
        found = self.server.stand_in.match(self.command, path)
        if found is None:
            self._answer(404, _error(f"the stand-in knows no {self.command} {path}"))
            return
        route, collection = found
        if path != "/" and self.server.stand_in.api_key and self.headers.get("api-key") != self.server.stand_in.api_key:
            self._answer(401, _error("Must provide an API key or an Authorization bearer token"))
            return
        if not self._struck(route):
            self._carry_out(route, collection, raw)

    def _struck(self, route: Route) -> bool:
        """Whether a fault answered in the request's place."""
        plan = self.server.stand_in.plan
        if plan.happens("slow", write=route.write):
            time.sleep(plan.faults.slow_s)
        if plan.happens("busy", write=route.write):
            after = plan.faults.retry_after_s
            self._answer(429, _error("too many requests"), {} if after is None else {"Retry-After": str(after)})
            return True
        if plan.happens("error", write=route.write):
            self._answer(plan.faults.error_status, _error("injected"))
            return True
        return False

    def _carry_out(self, route: Route, collection: str, raw: bytes) -> None:
        body = json.loads(raw) if raw else None
        self.server.stand_in.requests.append((route.method, route.template))
        if fault := self._request_fault(route, body):
            self.server.stand_in.violated(f"{route.method} {route.template} {fault}")
            self._answer(400, _error(f"Format error in JSON body: {fault}"))
            return
        try:
            status, answer = 200, self.server.stand_in.local.answer(route, collection, body)
        except AnswerError as error:
            status, answer = error.status, _error(str(error))
        if self.server.stand_in.checked and (
            fault := qdrant_openapi.response_fault(route.template, route.method, status, answer)
        ):
            self.server.stand_in.violated(f"answer to {route.method} {route.template}: {fault}")
            status, answer = 500, _error(f"the stand-in's answer is wrong: {fault}")
        if self.server.stand_in.plan.happens("lost", write=route.write):
            self.close_connection = True
            return
        self._answer(status, answer)

    def _request_fault(self, route: Route, body: Any) -> str | None:
        if not self.server.stand_in.checked:
            return None
        parameters = dict(parse_qsl(urlsplit(self.path).query))
        return qdrant_openapi.parameters_fault(
            route.template, route.method, parameters
        ) or qdrant_openapi.request_fault(route.template, route.method, body)

    def _control(self, raw: bytes) -> None:
        if self.command == "POST":
            try:
                faults = Faults.from_json(json.loads(raw or b"{}"))
            except (ValueError, TypeError) as error:
                self._answer(400, _error(str(error)))
                return
            self.close_connection = True
            self.server.stand_in.set_faults(faults)
        self._answer(200, self.server.stand_in.state())

    def _answer(self, status: int, body: Any, headers: dict[str, str] | None = None) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", **(headers or {})}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)
        self.wfile.flush()

    do_GET = do_POST = do_PUT = do_DELETE = _serve  # noqa: N815

    def log_message(self, *_: Any) -> None:
        pass


def _error(said: str) -> dict[str, Any]:
    return {"status": {"error": said}, "time": 0.0, "result": None}


@contextmanager
def serve_qdrant(*, api_key: str | None = None, version: str = VERSION) -> Iterator[QdrantStandIn]:
    """Serve in this process; at the end nothing may have violated the OpenAPI document."""
    stand_in = QdrantStandIn(api_key=api_key, version=version)
    stand_in.start()
    try:
        yield stand_in
    finally:
        stand_in.stop()
    assert not stand_in.violations, stand_in.violations


def post_faults(url: str, **faults: Any) -> dict[str, Any]:
    """Set the faults of a stand-in that is another process; its state."""
    request = urllib.request.Request(f"{url}/_faults", json.dumps(faults).encode(), method="POST")  # noqa: S310
    with urllib.request.urlopen(request, timeout=5) as answer:  # noqa: S310
        state: dict[str, Any] = json.load(answer)
        return state


def read_faults(url: str) -> dict[str, Any]:
    """The state of a stand-in that is another process; its faults stay in force."""
    with urllib.request.urlopen(f"{url}/_faults", timeout=5) as answer:  # noqa: S310
        state: dict[str, Any] = json.load(answer)
        return state


def main() -> int:
    """Serve until SIGTERM or SIGINT."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--data", type=Path, help="keep collections in this folder; default: in memory")
    parser.add_argument("--api-key")
    parser.add_argument("--faults", type=json.loads, default={}, help="JSON, see qdrant_faults.Faults")
    given = parser.parse_args()
    if given.data is not None:
        given.data.mkdir(parents=True, exist_ok=True)
    stand_in = QdrantStandIn(port=given.port, folder=given.data, api_key=given.api_key)
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    stand_in.start()
    stand_in.set_faults(Faults.from_json(given.faults))
    checked = "checked against" if stand_in.checked else "NOT checked, there is no"
    print(f"stand-in for Qdrant {VERSION} on {stand_in.url}, {checked} OpenAPI document", flush=True)  # noqa: T201
    ended.wait()
    stand_in.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
