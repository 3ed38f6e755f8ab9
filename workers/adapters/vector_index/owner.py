"""The process that owns a home's vector index and serves it to others on a Unix socket.

Qdrant Edge lets one process open its files, so every process of the embedded default talks to this one. `SocketIndex`
starts it when it is needed; it ends by itself when nobody has been connected for a while, when its folder is removed,
on SIGTERM, and when a client of a newer version asks for it.

    python -m workers.adapters.vector_index.owner --home .catalog --idle-s 30
"""

from __future__ import annotations

import argparse
import logging
import os
import signal
import socket
import sys
import threading
import time
from pathlib import Path
from typing import Final

from workers.adapters.vector_index.carried_errors import error_to_json
from workers.adapters.vector_index.durable_files import write_atomically
from workers.adapters.vector_index.edge import EdgeIndex
from workers.adapters.vector_index.frames import PROTOCOL, receive_frame, send_frame
from workers.adapters.vector_index.owner_address import index_folder, socket_path
from workers.adapters.vector_index.owner_calls import answer
from workers.errors import CatalogError, ContractError, TransientError

_log = logging.getLogger("workers.index_owner")

_POLL_S: Final = 0.25
"""How soon a signal, the end of idling or a removed folder is noticed; connections are accepted at once."""
_TAKEOVER_S: Final = 8.0
"""How long to wait for a predecessor that is flushing its last writes."""
_FAREWELL_S: Final = 10.0
"""How long running calls may take to end when the owner stops."""
_SWITCH_INTERVAL_S: Final = 0.001
"""The engine holds the interpreter lock in its calls; a waiting search asks for it after 1 ms instead of Python's 5."""


class Owner:
    """Serves an index until it is told to stop or has nothing to do."""

    def __init__(self, folder: Path, index: EdgeIndex, *, idle_s: float) -> None:
        self._folder = folder
        self._identity = folder.stat().st_ino
        self._index = index
        self._idle_s = idle_s
        self._stopping = threading.Event()
        self._changed = threading.Condition()
        self._connections: dict[socket.socket, threading.Thread] = {}
        self._last_seen_s = time.monotonic()

    def serve(self, listener: socket.socket) -> None:
        """Accept connections until `stop`, idleness or the folder's disappearance; one thread each."""
        listener.settimeout(_POLL_S)
        while not self._stopping.is_set() and not self._idle():
            if self._folder_is_gone():
                _log.warning("the index folder is gone, leaving")
                os._exit(0)  # nothing can be flushed any more
            try:
                connection, _ = listener.accept()
            except TimeoutError:
                continue
            thread = threading.Thread(target=self._converse, args=(connection,), daemon=True)
            with self._changed:
                self._connections[connection] = thread
            thread.start()

    def stop(self) -> None:
        """Let `serve` end soon."""
        self._stopping.set()

    def say_farewell(self) -> None:
        """Let running calls end and be answered, then close every connection."""
        self._stopping.set()
        with self._changed:
            for connection in self._connections:
                _hush(connection)
            self._changed.wait_for(lambda: not self._connections, timeout=_FAREWELL_S)

    def _converse(self, connection: socket.socket) -> None:
        try:
            with connection:
                while not self._stopping.is_set():
                    frame = receive_frame(connection)
                    if frame is None:
                        return
                    self._reply(connection, *frame)
        except (OSError, ContractError) as error:
            _log.info("a connection ended: %s", error)
        finally:
            with self._changed:
                self._connections.pop(connection, None)
                self._last_seen_s = time.monotonic()
                self._changed.notify_all()

    def _reply(self, connection: socket.socket, request: dict[str, object], block: bytes) -> None:
        if request.get("call") == "hello":
            send_frame(connection, {"result": {"protocol": PROTOCOL, "pid": os.getpid()}})
            return
        if request.get("call") == "quit":
            _log.info("asked to quit")
            self.stop()
            send_frame(connection, {"result": None})
            return
        try:
            result, answered = answer(self._index, request, block)
            header: dict[str, object] = {"result": result}
        except CatalogError as error:
            header, answered = {"error": error_to_json(error)}, b""
        except Exception as error:  # noqa: BLE001 - logged here and raised again in the client
            _log.exception("call %s failed", request.get("call"))
            header, answered = {"error": error_to_json(error)}, b""
        try:
            send_frame(connection, header, answered)
        except ContractError as error:  # too large: nothing of it was sent
            send_frame(connection, {"error": error_to_json(error)})

    def _idle(self) -> bool:
        with self._changed:
            if self._connections or self._index.is_building():
                self._last_seen_s = time.monotonic()
            return time.monotonic() - self._last_seen_s > self._idle_s

    def _folder_is_gone(self) -> bool:
        try:
            return self._folder.stat().st_ino != self._identity
        except FileNotFoundError:
            return True


def main(arguments: list[str] | None = None) -> int:
    """Own the index of a home until there is no need any more; 0 unless it could not be had."""
    parser = argparse.ArgumentParser(description="Own the vector index of a home and serve it on a Unix socket.")
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--idle-s", type=float, default=30.0)
    options = parser.parse_args(arguments)
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format=f"%(asctime)s [{os.getpid()}] %(message)s")
    sys.setswitchinterval(_SWITCH_INTERVAL_S)
    folder = index_folder(options.home)
    try:
        index = _take_index(folder)
    except CatalogError as error:
        _log.error("cannot own the index: %s", error)
        return 1
    path = socket_path(folder)
    listener = _listen(path)
    owner = Owner(folder, index, idle_s=options.idle_s)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: owner.stop())
    write_atomically(folder / "owner.address", os.fsencode(path))
    _log.info("ready on %s", path)
    owner.serve(listener)
    path.unlink(missing_ok=True)  # still ours: a successor waits for the folder's lock, which `index` holds
    listener.close()
    owner.say_farewell()
    index.close()
    _log.info("done")
    return 0


def _take_index(folder: Path) -> EdgeIndex:
    folder.mkdir(parents=True, exist_ok=True)
    deadline_s = time.monotonic() + _TAKEOVER_S
    while True:
        try:
            return EdgeIndex(folder)
        except TransientError:
            if time.monotonic() > deadline_s:
                raise
            time.sleep(0.05)


def _listen(path: Path) -> socket.socket:
    path.unlink(missing_ok=True)  # a predecessor that was killed left it; the folder's lock proves that it is gone
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    previous = os.umask(0o177)
    try:
        listener.bind(str(path))
    finally:
        os.umask(previous)
    listener.listen(64)
    return listener


def _hush(connection: socket.socket) -> None:
    """Let a thread that waits for the next request see the end; the answer to the present one still goes out."""
    try:
        connection.shutdown(socket.SHUT_RD)
    except OSError:
        return


if __name__ == "__main__":
    sys.exit(main())
