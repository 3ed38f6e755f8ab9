"""`catalog serve` works on jobs: submitted ones, those left open, what events report; beside other commands of the home."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from tests.acceptance.conftest import write_pictures
from tests.support.commands import Catalog, wait_until
from tests.support.served import command_served
from tests.support.workshops import picture

RESTING = ("done", "failed", "cancelled", "paused", "awaiting_confirmation")


@pytest.fixture
def home(tmp_path: Path, tiny_bundle: Path) -> Iterator[Catalog]:
    settings = {"CATALOG_SOURCES": f"file://{tmp_path}/"}
    command = Catalog(home=tmp_path / "home", bundle=tiny_bundle, environment=settings)
    yield command
    command.end_owner()


def rested(caller: httpx.Client, job_id: str, *, timeout_s: float = 60.0) -> dict[str, Any]:
    deadline = time.monotonic() + timeout_s
    while (job := caller.get(f"/v1/jobs/{job_id}").json())["state"] not in RESTING:
        assert time.monotonic() < deadline, job
        time.sleep(0.05)
    return job


def worker_of(server: int) -> psutil.Process | None:
    children = psutil.Process(server).children()
    return next((child for child in children if any("work_process" in word for word in child.cmdline())), None)


def test_one_command_takes_a_folder_in_and_goes_on_with_whatever_comes(home: Catalog, tmp_path: Path) -> None:
    images = write_pictures(tmp_path / "images", 12)
    with command_served(home) as (url, server), httpx.Client(base_url=url, timeout=30) as caller:
        made = caller.post("/v1/jobs", json={"kind": "sync", "catalog": "shop", "source": str(images)})
        assert made.status_code == 202, made.text
        assert rested(caller, made.json()["jobs"][0]["job"])["indexed"] == 12

        (images / "new.jpg").write_bytes(picture(50))
        looked = caller.post("/v1/jobs", json={"kind": "keys", "catalog": "shop", "keys": ["new.jpg"]}).json()["jobs"]
        assert rested(caller, looked[0]["job"])["indexed"] == 1

        # Another command of the home finds the server at work, and its job is done by it.
        (images / "newer.jpg").write_bytes(picture(51))
        assert home.json("ingest", images, "--name", "shop")["indexed"] == 1

        # A worker that dies is started again, and the next job is none the worse for it.
        worker = worker_of(server.pid)
        assert worker is not None
        worker.send_signal(signal.SIGKILL)
        (images / "newest.jpg").write_bytes(picture(52))
        again = caller.post("/v1/jobs", json={"kind": "sync", "catalog": "shop"}).json()["jobs"]
        assert rested(caller, again[0]["job"])["indexed"] == 1
        worker = worker_of(server.pid)
        assert worker is not None
    assert server.returncode == 0
    assert not worker.is_running()


def test_a_server_that_is_killed_takes_its_worker_along(home: Catalog, tmp_path: Path) -> None:
    with command_served(home) as (_, server):
        wait_until(lambda: worker_of(server.pid) is not None)
        worker = worker_of(server.pid)
        assert worker is not None
        os.kill(server.pid, signal.SIGKILL)
        wait_until(lambda: not worker.is_running() or worker.status() == psutil.STATUS_ZOMBIE, timeout_s=20)


def test_what_an_earlier_process_left_open_is_brought_to_its_end(home: Catalog, tmp_path: Path) -> None:
    images = write_pictures(tmp_path / "images", 12)
    home.json("ingest", images, "--name", "shop")
    (images / "late.jpg").write_bytes(picture(60))
    from workers.client import Catalog as Client
    from workers.settings import Settings

    with Client("shop", settings=Settings(home=home.home, model=str(home.bundle))) as client:
        job = client.sync()  # written, and nobody waits for it
    with command_served(home) as (url, _), httpx.Client(base_url=url, timeout=30) as caller:
        assert rested(caller, job.id)["indexed"] == 1


def test_beyond_this_machine_a_key_is_needed(home: Catalog, tmp_path: Path) -> None:
    refused = home.run("serve", "--host", "0.0.0.0", "--port", "0")  # noqa: S104 - refused
    assert (refused.code, "catalog keys add" in refused.err) == (1, True)
    bearer = home.json("keys", "add", "ops", "--scope", "ingest")["key"]
    assert bearer not in home.run("keys", "list", "--json").out
    with command_served(home, "--require-key") as (url, _):
        assert httpx.get(f"{url}/v1/jobs").status_code == 401
        assert httpx.get(f"{url}/v1/jobs", headers={"Authorization": f"Bearer {bearer}"}).status_code == 200
        assert home.json("keys", "revoke", "ops")["state"] == "revoked"
        wait_until(lambda: httpx.get(f"{url}/v1/jobs", headers={"X-API-Key": bearer}).status_code == 401, timeout_s=10)
