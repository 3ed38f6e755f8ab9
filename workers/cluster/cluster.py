"""Starting, stopping and describing a whole cluster. A cluster that is half there is completed, not begun again."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from workers.adapters.ledger import upgrade_ledger
from workers.adapters.vector_index.owner_address import index_folder, read_address
from workers.cluster import servers
from workers.cluster.detached import end, is_alive, start
from workers.cluster.state import ClusterFolder, ClusterState, Part, new_state, port_in_use
from workers.errors import ConfigurationError

WORKER_END_S: Final = 60.0
"""A worker that is told to end finishes its batch first (15 s of work), and its children go with it."""
SERVER_END_S: Final = 15.0


@dataclass(frozen=True, kw_only=True, slots=True)
class ClusterOptions:
    """What `catalog up` was asked for; None: as the cluster had it, or any that is free."""

    workers: int | None = None
    broker_port: int | None = None
    store_port: int | None = None
    store_folder: Path | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class PartStatus:
    """One process for a person to look at."""

    name: str
    running: bool
    pid: int | None
    address: str
    log: str


def up(
    home: Path, options: ClusterOptions, *, index_url: str | None = None, on_start: Callable[[str], None] | None = None
) -> ClusterState:
    """Start everything that does not run yet: servers first, then the ledger's tables, then workers and a beat.

    Args:
        home: CATALOG_HOME; the cluster lives in its `cluster` folder.
        options: ports and numbers that are asked for.
        index_url: The Qdrant server that is to hold the vectors; None: the embedded index's owner process.
        on_start: Told the name of what is being started.

    Raises:
        ConfigurationError: a port is in use, a package is missing, or something did not start; what runs by then stays.
    """
    folder = ClusterFolder(home.absolute())
    with folder.locked():
        state = _wanted(folder, options)
        folder.save(state)
        tell = on_start or (lambda _: None)

        def ensure(name: str, starter: Callable[[], Part]) -> None:
            nonlocal state
            if not is_alive(state.part(name)):
                tell(name)
                part = starter()
                state = state.with_part(part)
                folder.save(state)

        ensure("postgres", lambda: servers.start_postgres(folder))
        ensure("valkey", lambda: servers.start_broker(folder, state))
        ensure("s3", lambda: servers.start_store(folder, state))
        upgrade_ledger(state.ledger_url)
        variables = environment(home, state, index_url=index_url)
        folder.save_environment(variables)
        for name, arguments in _own_processes(state):
            ensure(name, lambda n=name, a=arguments: _own(folder, n, a, variables))  # type: ignore[misc]
        return _without_surplus(folder, state)


def down(home: Path, *, on_stop: Callable[[str], None] | None = None) -> list[str]:
    """Stop everything: workers and beat first, which finish what they have in hand. Data stays. What had to be killed.

    Raises:
        ConfigurationError: there is no cluster in this home.
    """
    folder = ClusterFolder(home.absolute())
    if not folder.path.exists():
        raise ConfigurationError(f"there is no cluster in {home}; start one with: catalog up")
    with folder.locked():
        state = folder.load()
        parts = [] if state is None else [part for part in state.parts if is_alive(part)]
        own = [part for part in parts if part.name.startswith(("worker", "beat"))]
        killed: list[str] = []
        for part in own:  # all at once: each may have seconds of work left
            os.kill(part.pid, signal.SIGTERM)
        for part in (*own, *(part for part in parts if part not in own)):
            if on_stop is not None:
                on_stop(part.name)
            # Postgres takes SIGINT for "as soon as possible, but in order".
            how = signal.SIGINT if part.name == "postgres" else signal.SIGTERM
            if not end(part, how, within_s=WORKER_END_S if part in own else SERVER_END_S):
                killed.append(part.name)
        if state is not None:
            folder.save(replace(state, parts=()))
        return killed


def status(home: Path) -> list[PartStatus]:
    """Every process the cluster should have, running or not; empty where there never was a cluster."""
    folder = ClusterFolder(home.absolute())
    state = folder.load()
    if state is None:
        return []
    names = ["postgres", "valkey", "s3", *(name for name, _ in _own_processes(state))]
    found = [_status(name, state.part(name)) for name in names]
    socket_path = read_address(index_folder(home.absolute()))
    if socket_path is not None:
        found.append(
            PartStatus(name="index", running=True, pid=None, address=str(socket_path), log=str(home / "index"))
        )
    return found


def environment(home: Path, state: ClusterState, *, index_url: str | None) -> dict[str, str]:
    """The settings that make a command use the cluster."""
    variables = {
        "CATALOG_HOME": str(home.absolute()),
        "CATALOG_BROKER_URL": f"redis://:{state.broker_password}@127.0.0.1:{state.broker_port}/0",
        "CATALOG_LEDGER_URL": state.ledger_url,
        "CATALOG_S3_ENDPOINT_URL": f"http://127.0.0.1:{state.store_port}",
        "AWS_ACCESS_KEY_ID": state.access_key,
        "AWS_SECRET_ACCESS_KEY": state.secret_key,
        "AWS_REGION": "us-east-1",
    }
    return variables if index_url is None else {**variables, "CATALOG_INDEX_URL": index_url}


def _wanted(folder: ClusterFolder, options: ClusterOptions) -> ClusterState:
    """The cluster as it was, changed where something else is asked for now."""
    state = folder.load()
    if state is None:
        return new_state(
            broker_port=options.broker_port,
            store_port=options.store_port,
            store_folder=(options.store_folder or folder.path / "s3").absolute(),
            workers=options.workers or 2,
        )
    asked = {
        "workers": options.workers,
        "broker_port": options.broker_port,
        "store_port": options.store_port,
        "store_folder": None if options.store_folder is None else str(options.store_folder.absolute()),
    }
    changed = {name: value for name, value in asked.items() if value is not None and value != getattr(state, name)}
    for name, part in (("broker_port", "valkey"), ("store_port", "s3"), ("store_folder", "s3")):
        if name in changed and is_alive(state.part(part)):
            raise ConfigurationError(f"{part} runs already with another {name.replace('_', ' ')}; first: catalog down")
    return replace(state, **changed)  # type: ignore[arg-type]


def _own_processes(state: ClusterState) -> list[tuple[str, list[str]]]:
    """Workers and beat with their arguments. The first worker leaves bulk work to the others, if there are any."""
    processes = [("beat", ["beat"])]
    for number in range(1, state.workers + 1):
        dedicated = number == 1 and state.workers > 1
        lanes = "interactive" if dedicated else "interactive,bulk"
        processes.append((f"worker-{number}", ["worker", "--lanes", lanes]))
    return processes


def _own(folder: ClusterFolder, name: str, arguments: list[str], variables: Mapping[str, str]) -> Part:
    return start(
        name,
        [sys.executable, "-m", "workers", *arguments],
        address=variables["CATALOG_BROKER_URL"].partition("@")[2],
        log=folder.logs / f"{name}.log",
        environment={"CATALOG_LOG_LEVEL": "INFO", **variables},
    )


def _without_surplus(folder: ClusterFolder, state: ClusterState) -> ClusterState:
    """End workers beyond the number that is wanted now."""
    wanted = {"postgres", "valkey", "s3", *(name for name, _ in _own_processes(state))}
    for part in state.parts:
        if part.name not in wanted:
            end(part, signal.SIGTERM, within_s=WORKER_END_S)
    state = replace(state, parts=tuple(part for part in state.parts if part.name in wanted))
    folder.save(state)
    return state


def _status(name: str, part: Part | None) -> PartStatus:
    running = is_alive(part)
    if part is None:
        return PartStatus(name=name, running=False, pid=None, address="", log="")
    host, _, port = part.address.partition(":")
    if running and name in ("valkey", "s3"):
        running = host == "127.0.0.1" and port_in_use(int(port))
    return PartStatus(name=name, running=running, pid=part.pid if running else None, address=part.address, log=part.log)
