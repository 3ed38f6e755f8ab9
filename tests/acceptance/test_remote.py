"""Commands and clients through a server: the same output as on its own machine, the same errors, nothing touched here."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from schemas.records import JobState
from tests.support.commands import Catalog, Ran
from tests.support.served import command_served
from workers.async_client import AsyncCatalog
from workers.client import Catalog as Client
from workers.errors import ConfigurationError, ContractError, NotFoundError
from workers.settings import Settings

CHANGING = ("seconds", "took_ms", "oldest_pending_s", "silent_s", "beat_at")


@dataclass(frozen=True)
class Sides:
    """One catalog, asked on its own machine and through its server."""

    local: Catalog
    remote: Catalog
    url: str
    key: str
    folder: Path


@pytest.fixture(scope="module")
def sides(shop: tuple[Catalog, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sides]:
    local, folder = shop
    away = tmp_path_factory.mktemp("away")
    key = local.json("keys", "add", "everything", "--scope", "admin")["key"]
    with command_served(local, "--require-key") as (url, _):
        told = {"CATALOG_API_URL": url, "CATALOG_API_KEY": key}
        yield Sides(local, replace(local, home=away / "home", environment=told), url, key, folder)
    assert not (away / "home").exists()


def steady(ran: Ran) -> tuple[int, list[object]]:
    """What a command said, without what the clock alone changes."""
    objects = [json.loads(line) for line in ran.out.splitlines()]
    return ran.code, [{name: value for name, value in one.items() if name not in CHANGING} for one in objects]


@pytest.mark.parametrize(
    "command",
    [
        ["list"],
        ["browse", "--name", "shop", "--category", "dress"],
        ["search", "--name", "shop", "--key", "003.jpg", "--price-max", "20", "--group-by", "product"],
        ["search", "--name", "shop", "PICTURE", "-k", "5"],
        ["classify", "PICTURE"],
        ["status", "--name", "shop"],
        ["jobs", "--name", "shop"],
        ["report", "JOB"],
        ["quarantine", "--name", "shop", "--reason", "truncated", "--limit", "1"],
    ],
    ids=" ".join,
)
def test_a_command_says_the_same_through_a_server(sides: Sides, command: list[str]) -> None:
    command = [str(sides.folder / "007.jpg") if word == "PICTURE" else word for word in command]
    if "JOB" in command:
        job = sides.local.json("jobs", "--name", "shop", "--limit", "1")["job"]
        command = [job if word == "JOB" else word for word in command]
    here, there = sides.local.run(*command, "--json"), sides.remote.run(*command, "--json")
    assert here.code == 0, here.err
    assert steady(here) == steady(there)
    if command[0] in ("status", "list"):  # what people see is made of the same values
        assert sides.local.run(*command).out == sides.remote.run(*command).out


def test_jobs_are_made_and_followed_through_a_server(sides: Sides, tmp_path: Path) -> None:
    ended = sides.remote.json("ingest", sides.folder, "--name", "shop")
    assert (ended["state"], ended["seen"]) == ("done", 32)
    assert sides.local.json("status", ended["job"])["job"] == ended["job"]
    assert sides.remote.json("look", "000.jpg", "--name", "shop")["unchanged"] == 1
    updated = sides.remote.run("update", "--name", "shop", "--set", "price=9.90", "--product", "P1")
    assert (updated.code, updated.out.splitlines()[0]) == (0, "2 images to update")
    again = sides.remote.run("retry", "--name", "shop", "--json")
    assert (again.code, again.last["quarantined"]) == (0, 2)
    for side in (sides.local, sides.remote):
        side.json("report", again.last["job"], "--failures", tmp_path / f"{side is sides.local}.csv")
    assert (tmp_path / "True.csv").read_text() == (tmp_path / "False.csv").read_text() != ""
    wrong = sides.remote.run("pause", again.last["job"])
    assert (wrong.code, wrong.err) == (1, sides.local.run("pause", again.last["job"]).err)


@pytest.mark.parametrize(
    "command",
    [
        ["doctor"],
        ["keys", "list"],
        ["drop", "--name", "shop", "--yes"],
        ["ingest", "/images", "--manifest", "products.csv"],
        ["update", "--file", "prices.csv"],
    ],
    ids=" ".join,
)
def test_what_is_about_this_machine_is_refused(sides: Sides, command: list[str]) -> None:
    ran = sides.remote.run(*command)
    assert (ran.code, ran.out) == (1, "")
    assert "CATALOG_API_URL" in ran.err
    assert "unset it" in ran.err


def test_the_clients_raise_what_they_raise_at_home(sides: Sides) -> None:
    settings = Settings(home=sides.local.home, model=str(sides.local.bundle))
    with (
        Client("shop", url=sides.url, api_key=sides.key) as there,
        Client("nowhere", url=sides.url, api_key=sides.key) as lost,
        Client("nowhere", settings=settings) as lost_here,
    ):
        job = there.sync(idempotency_key="a client's")
        assert there.sync(idempotency_key="a client's").id == job.id
        assert there.wait(job, timeout_s=60).state is JobState.DONE
        with pytest.raises(ContractError, match="sync job"):
            there.reindex(idempotency_key="a client's")
        with pytest.raises(ContractError, match="price"):
            there.update({"price": "cheap"}, keys=["000.jpg"])
        errors = []
        for client in (lost, lost_here):
            with pytest.raises(NotFoundError) as raised:
                client.reindex()
            errors.append(str(raised.value))
        assert errors[0] == errors[1]
    with Client("shop", url=sides.url) as stranger, pytest.raises(ConfigurationError, match="CATALOG_API_KEY"):
        stranger.job("0000")


def test_the_asynchronous_client_does_the_same(sides: Sides) -> None:
    async def talk() -> None:
        async with AsyncCatalog("shop", url=sides.url, api_key=sides.key) as shop:
            jobs = await asyncio.gather(*(shop.index_keys([f"00{n}.jpg"], idempotency_key=f"k{n}") for n in range(4)))
            ended = await asyncio.gather(*(shop.wait(job, timeout_s=60) for job in jobs))
            assert {job.state for job in ended} == {JobState.DONE}
            with pytest.raises(NotFoundError):
                await shop.job("0" * 32)

    asyncio.run(talk())
    with pytest.raises(ConfigurationError, match="CATALOG_API_URL"):
        AsyncCatalog("shop", settings=Settings())


@pytest.mark.parametrize(
    ("url", "key", "said"),
    [
        ("http://catalog.example", "k", "plain http"),
        ("ftp://catalog.example", None, "names no server"),
        ("https://user:word@catalog.example", None, "names no server"),
        ("http://127.0.0.1:99999", None, "is no URL"),
        ("https://catalog.example", "not a key", "is no key"),
    ],
)
def test_a_server_that_cannot_be_meant_is_refused_before_anything_is_sent(url: str, key: str | None, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        Client("shop", url=url, api_key=key, settings=Settings())
