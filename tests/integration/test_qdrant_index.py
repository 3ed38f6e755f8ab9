"""The Qdrant adapter where local mode cannot show it: errors on the wire, and writers that overtake each other."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import grpc  # type: ignore[import-untyped]
import pytest
from qdrant_client import QdrantClient

from schemas.payload import PayloadChange, Tombstone
from tests.support import vectors as make
from workers.adapters.vector_index.qdrant import QdrantIndex
from workers.adapters.vector_index.qdrant_connection import ServerOptions
from workers.adapters.vector_index.qdrant_errors import translate
from workers.errors import CatalogError, ConfigurationError, ContractError, NotFoundError, TransientError

pytestmark = pytest.mark.filterwarnings("ignore:Payload indexes have no effect in the local Qdrant")


class Answer:
    """What the stand-in for a server answers to every request."""

    status = 200
    headers: dict[str, str]
    body = b"{}"
    delay = threading.Event()


@pytest.fixture
def server() -> Iterator[tuple[str, Answer]]:
    answer = Answer()
    answer.headers = {}
    answer.delay = threading.Event()
    answer.delay.set()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answer.delay.wait(10)
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(answer.body)))
            self.end_headers()
            self.wfile.write(answer.body)

        def log_message(self, *_: Any) -> None:
            pass

    listener = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=listener.serve_forever, args=(0.02,))
    thread.start()
    yield f"http://127.0.0.1:{listener.server_port}", answer
    answer.delay.set()
    listener.shutdown()
    listener.server_close()
    thread.join()


@pytest.mark.parametrize(
    ("status", "headers", "kind"),
    [
        (401, {}, ConfigurationError),
        (403, {}, ConfigurationError),
        (404, {}, NotFoundError),
        (400, {}, ContractError),
        (409, {}, ContractError),
        (422, {}, ContractError),
        (408, {}, TransientError),
        (429, {}, TransientError),
        (429, {"Retry-After": "7"}, TransientError),
        (500, {}, TransientError),
        (503, {"Retry-After": "7"}, TransientError),
        (200, {}, ContractError),
    ],
)
def test_a_status_becomes_the_error_it_stands_for(
    server: tuple[str, Answer],
    status: int,
    headers: dict[str, str],
    kind: type[CatalogError],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    url, answer = server
    answer.status, answer.headers, answer.body = status, headers, b'{"status": {"error": "because"}}'
    index = QdrantIndex(url, server=ServerOptions(patience_s=0.0))
    monkeypatch.setattr(index._connection, "_version", "1.19.0")
    with pytest.raises(CatalogError) as raised:
        index.resolve("shop")
    assert isinstance(raised.value, kind)
    assert isinstance(raised.value, NotFoundError) == (kind is NotFoundError)
    assert "resolving shop" in str(raised.value)
    assert getattr(raised.value, "retry_after_s", None) == (7.0 if headers else None)
    index.close()


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (404, b'{"status": {"error": "no such page"}}', ConfigurationError),
        (200, b'{"hello": "world"}', ConfigurationError),
        (200, b"<html>log in first</html>", TransientError),
        (200, b'{"title": "qdr', TransientError),
    ],
)
def test_what_is_no_qdrant_server_is_told_apart(
    server: tuple[str, Answer], status: int, body: bytes, kind: type[CatalogError]
) -> None:
    url, answer = server
    answer.status, answer.body = status, body
    with pytest.raises(kind):
        QdrantIndex(url, server=ServerOptions(patience_s=0.0)).drop("shop--1")


def test_a_retry_after_that_is_a_date_is_still_a_busy_server(
    server: tuple[str, Answer], monkeypatch: pytest.MonkeyPatch
) -> None:
    url, answer = server
    answer.status, answer.headers = 429, {"Retry-After": "Wed, 21 Oct 2026 07:28:00 GMT"}
    with pytest.raises(TransientError, match="slow down"):
        QdrantIndex(url, server=ServerOptions(patience_s=0.0)).collections()


def test_a_server_that_is_slow_or_away_is_transient(server: tuple[str, Answer]) -> None:
    url, answer = server
    answer.delay.clear()
    index = QdrantIndex(url, server=ServerOptions(timeout_s=1, patience_s=0.0))
    with pytest.raises(TransientError, match="does not answer"):
        index.resolve("shop")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(TransientError, match="does not answer"):
        QdrantIndex(f"http://127.0.0.1:{port}", server=ServerOptions(patience_s=0.0)).resolve("shop")


class _Failed(grpc.RpcError, grpc.Call):  # type: ignore[misc]
    def __init__(self, status: grpc.StatusCode) -> None:
        self._status = status

    def code(self) -> grpc.StatusCode:
        return self._status

    def details(self) -> str:
        return "because"

    initial_metadata = trailing_metadata = is_active = time_remaining = cancel = add_callback = None


@pytest.mark.parametrize("status", grpc.StatusCode)
def test_every_grpc_status_has_its_error(status: grpc.StatusCode) -> None:
    passing = {"CANCELLED", "UNKNOWN", "DEADLINE_EXCEEDED", "RESOURCE_EXHAUSTED", "ABORTED", "INTERNAL", "UNAVAILABLE"}
    passing.add("FAILED_PRECONDITION")
    error = translate(_Failed(status), "searching")
    assert isinstance(error, TransientError) == (status.name in passing | {"DATA_LOSS", "OK"})
    assert "searching" in str(error)


def test_a_payload_change_that_is_overtaken_looks_again(monkeypatch: pytest.MonkeyPatch) -> None:
    client = QdrantClient(":memory:")
    index = QdrantIndex(client)
    index.create(make.spec())
    index.upsert("shop--1", make.points([1, 2], version=1))
    overtaking = [make.point(1, make.vectors(1)[0], version=2, colour="red"), *make.points([2], version=9)]
    send = client.batch_update_points
    sent: list[int] = []

    def overtaken(*args: Any, **named: Any) -> Any:
        if not sent:
            index.upsert("shop--1", overtaking)
        sent.append(1)
        return send(*args, **named)

    monkeypatch.setattr(client, "batch_update_points", overtaken)
    ids = [make.point_id(1), make.point_id(2)]
    index.change_payload("shop--1", [PayloadChange(id=i, version=3, fields={"brand": "new"}) for i in ids])
    first, second = sorted(index.retrieve("shop--1", ids), key=lambda record: record.payload.version)
    assert (first.payload.version, first.payload.colour, first.payload.brand) == (3, "red", "new")
    assert (second.payload.version, second.payload.brand) == (9, None)
    assert len(sent) == 2


def test_writes_are_guarded_on_the_server_not_by_what_was_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another writer's newer point lands between this writer's decision and its request."""
    client = QdrantClient(":memory:")
    one, other = QdrantIndex(client), QdrantIndex(client)
    one.create(make.spec())
    upsert, delete = client.upsert, client.delete

    def after_another_upsert(*args: Any, **named: Any) -> Any:
        monkeypatch.setattr(client, "upsert", upsert)
        other.upsert("shop--1", make.points([1], version=5))
        return upsert(*args, **named)

    monkeypatch.setattr(client, "upsert", after_another_upsert)
    one.upsert("shop--1", make.points([1], version=4))
    assert one.retrieve("shop--1", [make.point_id(1)])[0].payload.version == 5

    def after_a_newer_upsert(*args: Any, **named: Any) -> Any:
        other.upsert("shop--1", make.points([1], version=7))
        return delete(*args, **named)

    monkeypatch.setattr(client, "delete", after_a_newer_upsert)
    one.delete("shop--1", [Tombstone(id=make.point_id(1), version=6)])
    assert one.count("shop--1") == 1


def test_collections_of_others_on_the_same_server_are_left_alone() -> None:
    client = QdrantClient(":memory:")
    client.create_collection("foreign", vectors_config={})
    index = QdrantIndex(client)
    index.create(make.spec())
    assert [info.spec.name for info in index.collections()] == ["shop--1"]
    with pytest.raises(ContractError, match="not made by this program"):
        index.count("foreign")


def test_an_interrupted_creation_is_completed(monkeypatch: pytest.MonkeyPatch) -> None:
    client = QdrantClient(":memory:")
    index = QdrantIndex(client)
    made: list[str] = []
    failing = True

    def create_payload_index(collection: str, field: str, *args: Any, **named: Any) -> None:
        if failing and len(made) == 3:
            raise ConnectionError("the worker is killed")
        made.append(field)

    monkeypatch.setattr(client, "create_payload_index", create_payload_index)
    with pytest.raises(ConnectionError):
        index.create(make.spec())
    failing = False
    index.create(make.spec())
    assert {found.field for found in make.spec().indexes} <= set(made)
