"""The webhook over real HTTP: who is let in, what is taken, and that 202 means committed."""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
import uvicorn

from tests.integration.test_events_flow import notification
from workers.bootstrap import Process
from workers.errors import ConfigurationError
from workers.settings import Settings
from workers.web.events import MAX_BODY_BYTES, check_bind, make_events_app

TOKEN = "a long random text"


@contextmanager
def served(process: Process) -> Iterator[int]:
    """The application on a free port of this machine."""
    server = uvicorn.Server(uvicorn.Config(make_events_app(process), host="127.0.0.1", port=0, log_level="error"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive()
        time.sleep(0.01)
    try:
        yield server.servers[0].sockets[0].getsockname()[1]
    finally:
        server.should_exit = True
        thread.join()


@pytest.fixture
def process(tmp_path: Path) -> Iterator[Process]:
    with Process(Settings(home=tmp_path, events_token=TOKEN)) as opened:  # type: ignore[arg-type]
        opened.ledger.ensure_catalog("shop", source_url="s3://images/shop")
        opened.ledger.activate("shop", opened.ledger.add_generation("shop", model_digest="m" * 64).number)
        opened.ledger.ensure_catalog("other", source_url="s3://images")
        yield opened


def post(
    port: int, body: bytes, *, path: str = "/v1/events", token: str | None = TOKEN, chunked: bool = False
) -> tuple[int, dict[str, object], str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    headers = {"Content-Type": "application/json"} | ({} if token is None else {"Authorization": f"Bearer {token}"})
    parts = iter([body]) if chunked else body
    with suppress(BrokenPipeError):  # refused before it was sent to its end
        connection.request("POST", path, body=parts, headers=headers, encode_chunked=chunked)
    answer = connection.getresponse()
    read = json.loads(answer.read())
    connection.close()
    return answer.status, read, answer.headers["Content-Type"]


def waiting(process: Process, name: str = "shop") -> list[str]:
    taken = process.ledger.take_inbox(name)
    return [one.key for job in taken for one in process.ledger.job_keys(job.id)]


def test_events_are_committed_when_they_are_taken(process: Process) -> None:
    with served(process) as port:
        status, said, _ = post(port, notification("a.jpg", "b c.jpg"))
        assert (status, said) == (202, {"posted": 4, "unmatched": 0, "passed_over": 0})
        assert waiting(process) == ["a.jpg", "b c.jpg"]
        status, said, _ = post(port, notification("x.jpg"), path="/v1/events/shop")
        assert (status, said["posted"]) == (202, 1)
        assert waiting(process) == ["x.jpg"]
        assert post(port, notification("x.jpg", bucket="strange"))[1]["unmatched"] == 1


@pytest.mark.parametrize("token", [None, "", "wrong", TOKEN + "x", "é"])
def test_nobody_is_let_in_without_the_token(process: Process, token: str | None) -> None:
    with served(process) as port:
        status, said, kind = post(port, notification("a.jpg"), token=token)
    assert (status, said["status"], kind) == (401, 401, "application/problem+json")
    assert TOKEN not in json.dumps(said)
    assert waiting(process) == []


def test_what_cannot_be_taken_is_answered_with_a_problem(process: Process) -> None:
    large = notification("a" * MAX_BODY_BYTES)
    with served(process) as port:
        answers = [
            post(port, b"no json"),
            post(port, b'{"else": 1}'),
            post(port, notification("a.jpg"), path="/v1/events/none"),
            post(port, notification("a.jpg"), path="/v1/events/shop/more"),
            post(port, large),
            post(port, large, chunked=True),
        ]
        process.ledger._database.engine.dispose()
        process.ledger._database.read = _down  # type: ignore[attr-defined, method-assign]
        process.ledger._database.write = _down  # type: ignore[attr-defined, method-assign]
        answers.append(post(port, notification("a.jpg"), path="/v1/events/shop"))
    assert [status for status, _, _ in answers] == [400, 400, 404, 404, 413, 413, 503]
    assert {kind for _, _, kind in answers} == {"application/problem+json"}


def _down() -> None:
    from workers.errors import TransientError

    raise TransientError("the ledger does not answer")


def test_without_a_token_only_this_machine_is_listened_to() -> None:
    for host in ("127.0.0.1", "127.1.2.3", "::1", "localhost"):
        check_bind(host, has_token=False)
    for host in ("::", "192.168.1.5", "localhost.evil.example", ""):
        with pytest.raises(ConfigurationError, match="CATALOG_EVENTS_TOKEN"):
            check_bind(host, has_token=False)
        check_bind(host, has_token=True)
