"""Finding the owner of an index folder, and starting one where there is none."""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from workers.adapters.vector_index.frames import PROTOCOL, receive_frame, send_frame
from workers.adapters.vector_index.owner_address import index_folder, log_tail, read_address
from workers.adapters.vector_index.python_child import module_command, module_environment
from workers.errors import ConfigurationError, TransientError

_POLL_S: Final = 0.02
_LOG_LIMIT_BYTES: Final = 1_000_000
"""The log begins anew with the owner that finds it larger."""


def connect(home: Path, *, idle_s: float, start_timeout_s: float, call_timeout_s: float) -> socket.socket:
    """A connection to the owner of the home's index, which is started (and waited for) where there is none.

    Raises:
        TransientError: it did not get ready in time; the text ends with its log.
        ConfigurationError: the home cannot be written, or its owner is of a newer version than this process.
    """
    folder = index_folder(home)
    connection = _greeted(folder, call_timeout_s)
    if connection is not None:
        return connection
    deadline_s = time.monotonic() + start_timeout_s
    with _only_starter(folder, deadline_s):
        child: subprocess.Popen[bytes] | None = None
        while time.monotonic() < deadline_s:
            connection = _greeted(folder, call_timeout_s)
            if connection is not None:
                return connection
            if child is None:
                child = _spawn(home, folder, idle_s)
            elif (ended := child.poll()) is not None and ended < 0:
                child = _spawn(home, folder, idle_s)  # killed while it started; how often is bounded by the time
            elif ended is not None:
                raise TransientError(f"the index' owner ended at its start; its log: {log_tail(folder)}")
            time.sleep(_POLL_S)
    raise TransientError(f"the index' owner was not ready within {start_timeout_s:g} s; its log: {log_tail(folder)}")


def _greeted(folder: Path, timeout_s: float) -> socket.socket | None:
    """A connection to an owner that speaks this protocol; None where nobody answers or an older one was sent away."""
    path = read_address(folder)
    if path is None:
        return None
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.settimeout(timeout_s)
    try:
        connection.connect(str(path))
        spoken = int(_ask(connection, {"call": "hello", "protocol": PROTOCOL})["protocol"])
        if spoken == PROTOCOL:
            return connection
        if spoken > PROTOCOL:
            raise ConfigurationError(
                "the vector index is in use by a newer version of this program; restart this process to use it too"
            )
        _ask(connection, {"call": "quit"})
    except (OSError, KeyError, TypeError, ValueError):
        pass
    except BaseException:
        connection.close()
        raise
    connection.close()
    return None


def _ask(connection: socket.socket, request: dict[str, Any]) -> Any:
    send_frame(connection, request)
    frame = receive_frame(connection)
    if frame is None:
        raise ConnectionResetError("the owner ended the connection")
    return frame[0]["result"]


@contextlib.contextmanager
def _only_starter(folder: Path, deadline_s: float) -> Iterator[None]:
    """Hold the start lock, so that of several processes one starts the owner and the others find it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(folder / "start.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise ConfigurationError(
            f"the index folder {folder} cannot be written ({error.strerror}); set CATALOG_HOME to one that can"
        ) from error
    try:
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline_s:
                    raise TransientError("another process has been starting the index' owner for too long") from None
                time.sleep(_POLL_S)
        yield
    finally:
        os.close(descriptor)


def _spawn(home: Path, folder: Path, idle_s: float) -> subprocess.Popen[bytes]:
    """Start an owner that outlives this process and shares none of its terminal, files or signals."""
    log_path = folder / "owner.log"
    with contextlib.suppress(FileNotFoundError):
        if log_path.stat().st_size > _LOG_LIMIT_BYTES:
            log_path.unlink()
    command = module_command("workers.adapters.vector_index.owner", "--home", str(home.resolve()))
    with log_path.open("ab") as log:
        child = subprocess.Popen(
            [*command, "--idle-s", str(idle_s)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd="/",
            env=module_environment(),
            start_new_session=True,
        )
    # reaped when it ends, so that a process which outlives its owner keeps no zombie
    threading.Thread(target=child.wait, daemon=True).start()
    return child
