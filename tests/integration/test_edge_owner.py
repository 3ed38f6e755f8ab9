"""The owner process of the embedded index: started on demand, shared, killed, replaced, gone when idle."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from schemas.query import Search
from tests.support import vectors as make
from workers.adapters.vector_index.client import SocketIndex
from workers.adapters.vector_index.edge import EdgeIndex
from workers.adapters.vector_index.frames import PROTOCOL, receive_frame, send_frame
from workers.adapters.vector_index.owner_address import index_folder, read_address
from workers.errors import ConfigurationError, ContractError, TransientError

ROOT = Path(__file__).parents[2]


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path
    for process in owners(tmp_path):
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
            process.wait(5)


def owners(home: Path) -> list[psutil.Process]:
    """Owner processes of this home."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
            line = process.cmdline()
            if "workers.adapters.vector_index.owner" in line and str(home.resolve()) in line:
                found.append(process)
    return found


def owner_pid(home: Path) -> int:
    """The owner's own word; it must be running."""
    path = read_address(index_folder(home))
    assert path is not None
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.connect(str(path))
        send_frame(connection, {"call": "hello", "protocol": PROTOCOL})
        frame = receive_frame(connection)
        assert frame is not None
        return int(frame[0]["result"]["pid"])


def until(condition: Callable[[], bool], *, timeout_s: float = 15.0) -> None:
    deadline_s = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline_s, "it did not come about in time"
        time.sleep(0.02)


def test_racing_starters_end_up_with_one_owner(home: Path) -> None:
    script = f"""
import sys
from pathlib import Path
from workers.adapters.vector_index.client import SocketIndex
sys.stdin.readline()
index = SocketIndex(Path({str(home)!r}), idle_s=30)
index.collections()
print("ok", flush=True)
sys.stdin.readline()
"""
    starters = [
        subprocess.Popen(
            [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT
        )
        for _ in range(3)
    ]
    try:
        for starter in starters:
            assert starter.stdin is not None
            starter.stdin.write("\n")
            starter.stdin.flush()
        for starter in starters:
            assert starter.stdout is not None
            assert starter.stdout.readline() == "ok\n"
        assert [process.pid for process in owners(home)] == [owner_pid(home)]
        log = (index_folder(home) / "owner.log").read_text()
        assert log.count("ready on") == 1
    finally:
        for starter in starters:
            starter.communicate("\n", timeout=20)


def test_another_process_searches_while_this_one_ingests(home: Path) -> None:
    index = SocketIndex(home)
    index.create(make.spec())
    index.upsert("shop--1", make.points(range(64)))
    script = f"""
from pathlib import Path
import numpy as np
from schemas.query import Search
from workers.adapters.vector_index.client import SocketIndex
index = SocketIndex(Path({str(home)!r}))
query = np.ones({make.DIMENSION}, np.float32)
counts = [len(index.search("shop--1", Search(vector=query, limit=1000))) for _ in range(30)]
print(counts[0], counts == sorted(counts))
"""
    searcher = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, cwd=ROOT)
    written = 64
    while searcher.poll() is None and written < 1_000:
        index.upsert("shop--1", make.points(range(written, written + 32)))
        written += 32
    out, _ = searcher.communicate(timeout=60)
    first, grows = out.split()
    assert int(first) >= 64
    assert grows == "True"
    index.close()


def test_what_was_acknowledged_survives_killing_the_owner_again_and_again(home: Path) -> None:
    index = SocketIndex(home)
    index.create(make.spec())
    acknowledged = 0
    kills = 0
    stop = threading.Event()

    def kill_now_and_then() -> None:
        nonlocal kills
        while not stop.wait(0.35):
            with contextlib.suppress(OSError, AssertionError):
                os.kill(owner_pid(home), signal.SIGKILL)
                kills += 1

    killer = threading.Thread(target=kill_now_and_then)
    killer.start()
    try:
        while kills < 4 and acknowledged < 40_000:
            index.upsert("shop--1", make.points(range(acknowledged, acknowledged + 100), version=1))
            acknowledged += 100
    finally:
        stop.set()
        killer.join()
    assert kills >= 4
    assert index.count("shop--1") == acknowledged
    found = index.retrieve("shop--1", [make.point_id(n) for n in range(acknowledged)])
    assert len(found) == acknowledged
    index.close()


def test_an_owner_without_connections_leaves_and_the_next_call_starts_another(home: Path) -> None:
    index = SocketIndex(home, idle_s=0.2)
    index.create(make.spec())
    index.upsert("shop--1", make.points(range(10)))
    first = psutil.Process(owner_pid(home))
    index.close()
    first.wait(15)
    assert not (index_folder(home) / "owner.sock").exists()
    second = SocketIndex(home, idle_s=0.2)
    assert second.count("shop--1") == 10
    second.close()


def test_sigterm_lets_the_owner_flush_and_leave_while_connected(home: Path) -> None:
    index = SocketIndex(home)
    index.create(make.spec())
    index.upsert("shop--1", make.points(range(10)))
    process = psutil.Process(owner_pid(home))
    process.terminate()
    process.wait(15)
    assert "done" in (index_folder(home) / "owner.log").read_text()
    with contextlib.closing(EdgeIndex(index_folder(home))) as direct:
        assert direct.count("shop--1") == 10
    assert index.count("shop--1") == 10  # the client finds or makes the next owner by itself
    index.close()


def test_an_owner_leaves_when_its_home_is_removed(home: Path) -> None:
    index = SocketIndex(home)
    index.create(make.spec())
    process = psutil.Process(owner_pid(home))
    shutil.rmtree(index_folder(home))
    process.wait(15)
    assert list(index.collections()) == []  # a new home begins empty
    index.close()


def test_a_stale_socket_and_lock_do_not_hinder_a_start(home: Path) -> None:
    index = SocketIndex(home)
    index.create(make.spec())
    os.kill(owner_pid(home), signal.SIGKILL)
    folder = index_folder(home)
    until(lambda: not owners(home))
    assert (folder / "owner.sock").exists()
    assert (folder / "start.lock").exists()
    assert [info.spec.name for info in index.collections()] == ["shop--1"]
    index.close()


def test_a_home_with_a_long_path_is_served_from_a_short_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / ("a" * 60) / ("b" * 60)
    short = Path(tempfile.mkdtemp(prefix="t", dir="/tmp"))  # pytest's own folder is too deep already
    monkeypatch.setattr("tempfile.tempdir", str(short))
    monkeypatch.setenv("TMPDIR", str(short))
    try:
        index = SocketIndex(home, idle_s=0.2)
        index.create(make.spec())
        path = read_address(index_folder(home))
        assert path is not None
        assert path.parent.parent == short
        assert (path.parent.stat().st_mode & 0o777, path.stat().st_mode & 0o777) == (0o700, 0o600)
        process = psutil.Process(owner_pid(home))
        index.close()
        process.wait(15)
        path.parent.chmod(0o755)
        with pytest.raises(TransientError, match="private folder"):
            SocketIndex(home).collections()
    finally:
        shutil.rmtree(short)


def test_the_socket_is_for_this_user_alone(home: Path) -> None:
    index = SocketIndex(home)
    index.collections()
    assert (index_folder(home) / "owner.sock").stat().st_mode & 0o777 == 0o600
    index.close()


def test_an_owner_that_cannot_start_says_why(home: Path) -> None:
    with contextlib.closing(EdgeIndex(index_folder(home))):
        index = SocketIndex(home, start_timeout_s=1.0)
        with pytest.raises(TransientError, match=r"owner.* log"):
            index.collections()


def test_a_home_that_cannot_be_written_is_a_matter_of_configuration(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("no folder")
    with pytest.raises(ConfigurationError, match="CATALOG_HOME"):
        SocketIndex(file).collections()


@pytest.mark.parametrize(("spoken", "replaced"), [(PROTOCOL - 1, True), (PROTOCOL + 1, False)])
def test_an_owner_of_another_version_is_replaced_if_older_and_respected_if_newer(
    home: Path, spoken: int, replaced: bool
) -> None:
    folder = index_folder(home)
    folder.mkdir()
    path = folder / "other.sock"
    (folder / "owner.address").write_bytes(os.fsencode(path))
    asked: list[str] = []
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(str(path))
    listener.listen()

    def other_owner() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                while (frame := receive_frame(connection)) is not None:
                    asked.append(str(frame[0]["call"]))
                    send_frame(connection, {"result": {"protocol": spoken, "pid": 0}})
                    if asked[-1] == "quit":
                        path.unlink()
                        listener.close()
                        return

    threading.Thread(target=other_owner, daemon=True).start()
    index = SocketIndex(home)
    if replaced:
        assert list(index.collections()) == []
        assert "quit" in asked
    else:
        with pytest.raises(ConfigurationError, match="newer version"):
            index.collections()
        assert "quit" not in asked
        listener.close()
    index.close()


def test_nonsense_on_the_socket_harms_nobody(home: Path) -> None:
    index = SocketIndex(home)
    index.create(make.spec())
    pid = owner_pid(home)
    path = read_address(index_folder(home))
    for nonsense in (b"GET / HTTP/1.1\r\n\r\n", b"\xff" * 64, b"\x02\x00\x00\x00\x00\x00\x00\x00[]", b"\x05\x00"):
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.connect(str(path))
            connection.sendall(nonsense)
            connection.shutdown(socket.SHUT_WR)
            connection.settimeout(5)
            with contextlib.suppress(ConnectionResetError):
                assert connection.recv(1) == b""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.connect(str(path))
        for request in (
            {"call": "explode"},
            {"call": "search"},
            {"call": "upsert", "collection": 3, "points": [{}]},
            {},
        ):
            send_frame(connection, request)
            frame = receive_frame(connection)
            assert frame is not None
            assert frame[0]["error"]["kind"] == ContractError.__name__
    assert index.count("shop--1") == 0
    assert owner_pid(home) == pid
    index.close()


def test_threads_share_one_client(home: Path) -> None:
    index = SocketIndex(home)
    index.create(make.spec())
    failures: list[BaseException] = []

    def work(lane: int) -> None:
        try:
            for start in range(0, 200, 50):
                numbers = range(lane * 1_000 + start, lane * 1_000 + start + 50)
                index.upsert("shop--1", make.points(numbers))
                hits = index.search("shop--1", Search(vector=make.vectors(1)[0], limit=5))
                assert len(hits) == 5
        except BaseException as error:  # noqa: BLE001 - shown by the assertion below
            failures.append(error)

    threads = [threading.Thread(target=work, args=(lane,)) for lane in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert index.count("shop--1") == 800
    index.close()
