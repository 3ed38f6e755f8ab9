"""What a cluster remembers between commands: its addresses, its secrets, and which process is which."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import secrets
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from workers.errors import ConfigurationError

STATE: Final = "state.json"
LOCK: Final = "lock"
ENVIRONMENT: Final = "environment"
_LOOPBACK: Final = "127.0.0.1"


@dataclass(frozen=True, kw_only=True, slots=True)
class Part:
    """One process of the cluster."""

    name: str
    pid: int
    started: float
    """Seconds since 1970, of the process table: a pid that is given again has another one."""
    address: str
    log: str


@dataclass(frozen=True, kw_only=True, slots=True)
class ClusterState:
    """Everything that `up`, `down` and `--status` have to know of each other."""

    broker_port: int
    store_port: int
    broker_password: str
    access_key: str
    secret_key: str
    store_folder: str
    """The S3 server's folder; its sub-folders are the buckets."""
    workers: int
    parts: tuple[Part, ...] = field(default=())

    def part(self, name: str) -> Part | None:
        """The process of that name, as it was last known."""
        return next((part for part in self.parts if part.name == name), None)

    @property
    def ledger_url(self) -> str:
        """Of the Postgres server; empty before it has been started."""
        postgres = self.part("postgres")
        return "" if postgres is None else postgres.address

    def with_part(self, part: Part) -> ClusterState:
        """The same with this process in place of its predecessor."""
        others = tuple(other for other in self.parts if other.name != part.name)
        return replace(self, parts=(*others, part))


class ClusterFolder:
    """The folder of a cluster: state, logs, data. Secrets in it can be read by its owner alone."""

    def __init__(self, home: Path) -> None:
        """Nothing is made yet."""
        self.path = home / "cluster"

    @property
    def logs(self) -> Path:
        """Where every process writes its log."""
        return self.path / "logs"

    @property
    def environment(self) -> Path:
        """The settings that make other commands use this cluster, as `VARIABLE=value` lines."""
        return self.path / ENVIRONMENT

    @contextmanager
    def locked(self) -> Iterator[None]:
        """One `up` or `down` at a time.

        Raises:
            ConfigurationError: another one is at work.
        """
        self.logs.mkdir(parents=True, exist_ok=True)
        self.path.chmod(0o711)  # Postgres runs as another user when root starts it, and has to get through to its data
        with (self.path / LOCK).open("a") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise ConfigurationError("another `catalog up` or `catalog down` is at work in this home") from None
            yield

    def load(self) -> ClusterState | None:
        """The state, or None where there never was a cluster.

        Raises:
            ConfigurationError: the file is damaged.
        """
        try:
            stored: dict[str, Any] = json.loads((self.path / STATE).read_text(encoding="utf-8"))
            parts: Sequence[dict[str, Any]] = stored.pop("parts", ())
            return ClusterState(**stored, parts=tuple(Part(**part) for part in parts))
        except FileNotFoundError:
            return None
        except (ValueError, TypeError) as error:
            raise ConfigurationError(
                f"{self.path / STATE} is damaged ({error}); end its processes, remove {self.path} and start again"
            ) from error

    def save(self, state: ClusterState) -> None:
        """Write the state, whole or not at all."""
        self._write(STATE, json.dumps(asdict(state), indent=2))

    def save_environment(self, variables: dict[str, str]) -> None:
        """Write the settings for other commands."""
        self._write(ENVIRONMENT, "".join(f"{name}={value}\n" for name, value in variables.items()))

    def _write(self, name: str, text: str) -> None:
        staging = self.path / f".{name}.new"
        with contextlib.suppress(FileNotFoundError):
            staging.unlink()
        descriptor = os.open(staging, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        staging.replace(self.path / name)


def new_state(*, broker_port: int | None, store_port: int | None, store_folder: Path, workers: int) -> ClusterState:
    """A cluster that has not been started yet, with free ports where none are given and secrets of its own."""
    return ClusterState(
        broker_port=broker_port or free_port(),
        store_port=store_port or free_port(),
        broker_password=secrets.token_urlsafe(24),
        access_key=secrets.token_hex(10),
        secret_key=secrets.token_urlsafe(30),
        store_folder=str(store_folder),
        workers=workers,
    )


def free_port() -> int:
    """A loopback port that nobody uses now."""
    with socket.socket() as probe:
        probe.bind((_LOOPBACK, 0))
        return int(probe.getsockname()[1])


def port_in_use(port: int) -> bool:
    """Whether somebody listens on this loopback port."""
    with socket.socket() as probe:
        probe.settimeout(1.0)
        return probe.connect_ex((_LOOPBACK, port)) == 0
