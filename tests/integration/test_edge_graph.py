"""The approximate index of the embedded engine: built beside the data, moved onto without losing a write, recall kept."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import psutil  # type: ignore[import-untyped]
import pytest

from schemas.payload import PayloadChange, Tombstone
from schemas.query import AnyOf, Filter, Range, Search
from tests.support import vectors as make
from workers.adapters.vector_index.client import SocketIndex
from workers.adapters.vector_index.edge import EdgeIndex
from workers.adapters.vector_index.memory import MemoryIndex

ROOT = Path(__file__).parents[2]
NAME = "shop--1"


def until(condition: Callable[[], bool], *, timeout_s: float = 90.0) -> None:
    deadline_s = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline_s, "it did not come about in time"
        time.sleep(0.01)


def builders(folder: Path) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
            line = " ".join(process.cmdline())
            if "graph_child" in line and str(folder) in line:
                found.append(process)
    return found


def entries(folder: Path) -> set[str]:
    return {entry.name for entry in (folder / "collections" / NAME).iterdir()}


@pytest.fixture
def index(tmp_path: Path) -> Iterator[EdgeIndex]:
    made = EdgeIndex(tmp_path, graph_points=1_000)
    made.create(make.spec(NAME))
    yield made
    made.close()


def test_writes_during_the_build_are_there_after_the_move(index: EdgeIndex, tmp_path: Path) -> None:
    twin = MemoryIndex()
    twin.create(make.spec(NAME))
    first = make.points(range(4_000))
    for target in (index, twin):
        target.upsert(NAME, first)
    index.settle(NAME)
    rng = np.random.default_rng(1)
    rounds = 0
    while index.is_building() or rounds == 0:
        numbers = [int(n) for n in rng.integers(0, 5_000, 40)]
        version = 2 + rounds
        for target in (index, twin):
            target.upsert(NAME, make.points(numbers[:20], version=version, seed=rounds))
            target.delete(NAME, [Tombstone(id=make.point_id(n), version=version) for n in numbers[20:30]])
            changes = [
                PayloadChange(id=make.point_id(n), version=version, fields={"brand": f"b{rounds}"})
                for n in numbers[30:]
            ]
            target.change_payload(NAME, changes)
        rounds += 1
        # the builder shares the machine's cores; where it takes long, too many writes would leave nothing covered
        time.sleep(0.02 if rounds < 60 else 0.5)
        assert len(index.search(NAME, Search(vector=make.vectors(1)[0], limit=10))) == 10
    assert rounds > 5
    info = index.info(NAME)
    assert info.points == twin.count(NAME)
    assert 0 < info.indexed_points < info.points
    assert entries(tmp_path) == {"collection.json", "CURRENT", "state.json", "shard-000002"}
    everyone = [make.point_id(n) for n in range(5_000)]
    expected = {record.id: record for record in twin.retrieve(NAME, everyone, with_vectors=True)}
    found = {record.id: record for record in index.retrieve(NAME, everyone, with_vectors=True)}
    assert found.keys() == expected.keys()
    for point_id, record in found.items():
        assert record.payload == expected[point_id].payload
        np.testing.assert_allclose(record.vector, expected[point_id].vector, atol=1e-6)  # type: ignore[arg-type]
    assert index.facet(NAME, "brand", limit=500) == twin.facet(NAME, "brand", limit=500)


def test_small_collections_and_small_additions_build_nothing(index: EdgeIndex) -> None:
    index.upsert(NAME, make.points(range(900)))
    index.settle(NAME)
    assert not index.is_building()
    index.upsert(NAME, make.points(range(900, 1_100)))
    index.settle(NAME)
    until(lambda: not index.is_building())
    assert index.info(NAME).indexed_points == 1_100
    index.upsert(NAME, make.points(range(1_100, 1_250)))
    index.settle(NAME)
    assert not index.is_building()
    assert index.info(NAME).indexed_points == 1_100
    index.upsert(NAME, make.points(range(1_250, 1_400)))
    index.settle(NAME)
    until(lambda: not index.is_building())
    assert index.info(NAME).indexed_points == 1_400


def test_a_builder_that_is_killed_leaves_the_collection_as_it_was(index: EdgeIndex, tmp_path: Path) -> None:
    index.upsert(NAME, make.points(range(4_000)))
    index.settle(NAME)
    until(lambda: bool(builders(tmp_path)))
    for process in builders(tmp_path):
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    until(lambda: not index.is_building())
    assert entries(tmp_path) == {"collection.json", "CURRENT", "state.json", "shard-000001"}
    assert (index.count(NAME), index.info(NAME).indexed_points) == (4_000, 0)
    index.settle(NAME)
    until(lambda: not index.is_building())
    assert index.info(NAME).indexed_points == 4_000


def test_closing_and_dropping_do_not_wait_for_a_build(tmp_path: Path) -> None:
    index = EdgeIndex(tmp_path, graph_points=1_000)
    for name in (NAME, "shop--2"):
        index.create(make.spec(name))
        index.upsert(name, make.points(range(4_000)))
        index.settle(name)
    index.drop("shop--2")
    index.close()
    assert not builders(tmp_path)
    with contextlib.closing(EdgeIndex(tmp_path)) as again:
        assert [(info.spec.name, info.points) for info in again.collections()] == [(NAME, 4_000)]


def test_killing_the_owner_during_a_build_leaves_a_usable_collection(tmp_path: Path) -> None:
    script = f"""
from pathlib import Path
from tests.support import vectors as make
from workers.adapters.vector_index.edge import EdgeIndex
index = EdgeIndex(Path({str(tmp_path)!r}), graph_points=1_000)
index.create(make.spec({NAME!r}))
index.upsert({NAME!r}, make.points(range(4_000)))
index.settle({NAME!r})
written = 4_000
while True:
    index.upsert({NAME!r}, make.points(range(written, written + 10)))
    written += 10
    print(written, index.is_building(), flush=True)
"""
    for pause_s in (0.0, 0.4):
        process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, cwd=ROOT)
        lines: list[str] = []

        def read(process: subprocess.Popen[str] = process, lines: list[str] = lines) -> None:
            assert process.stdout is not None
            lines.extend(process.stdout)

        reader = threading.Thread(target=read)
        reader.start()
        until(lambda lines=lines: bool(lines))  # type: ignore[misc]
        time.sleep(pause_s)  # any moment of the build will do
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        reader.join()
        until(lambda: not builders(tmp_path))
        written = int(lines[-1].split()[0])
        with contextlib.closing(EdgeIndex(tmp_path)) as index:
            assert index.count(NAME) >= written
            everyone = [make.point_id(n) for n in range(written)]
            assert len(index.retrieve(NAME, everyone)) == written
            assert len([name for name in entries(tmp_path) if name.startswith("shard-")]) == 1
            index.drop(NAME)


def test_the_owner_builds_on_after_its_client_has_gone(tmp_path: Path) -> None:
    index = SocketIndex(tmp_path, idle_s=0.1)
    index.create(make.spec(NAME, dimension=4))
    for start in range(0, 20_500, 2_050):
        index.upsert(NAME, make.points(range(start, start + 2_050), 4))
    index.settle(NAME)
    index.close()
    pointer = tmp_path / "index" / "collections" / NAME / "CURRENT"
    until(lambda: pointer.read_text() == "shard-000002")
    again = SocketIndex(tmp_path, idle_s=0.1)
    until(lambda: again.info(NAME).indexed_points == 20_500)
    again.close()


@pytest.mark.slow
def test_filtered_recall_with_the_approximate_index(tmp_path: Path) -> None:
    count, dimension = 20_000, 128
    drawn = make.vectors(count + 40, dimension, clusters=2_000)
    share = np.random.default_rng(4).random(count)
    # few points may be compared one by one, so the wider filters are answered by walking the graph
    with contextlib.closing(EdgeIndex(tmp_path, graph_points=1_500)) as index:
        index.create(make.spec(NAME, dimension=dimension))
        for start in range(0, count, 1_000):
            index.upsert(
                NAME,
                [
                    make.point(n, drawn[n], price=float(share[n]), in_stock=bool(share[n] < 0.5))
                    for n in range(start, start + 1_000)
                ],
            )
        index.settle(NAME)
        until(lambda: not index.is_building())
        assert index.info(NAME).indexed_points == count
        assert list((tmp_path / "collections" / NAME).rglob("quantized.data"))
        filters = {
            "all": None,
            "50 %": Filter(conditions=(AnyOf(field="in_stock", values=(True,)),)),
            "25 %": Filter(conditions=(Range(field="price", maximum=0.25),)),
            "5 %": Filter(conditions=(Range(field="price", maximum=0.05),)),
            "0.5 %": Filter(conditions=(Range(field="price", maximum=0.005),)),
        }
        for name, where in filters.items():
            found = total = 0
            for query in drawn[count:]:
                exact = index.search(NAME, Search(vector=query, where=where, exact=True))
                hits = index.search(NAME, Search(vector=query, where=where))
                right = {hit.id: hit.score for hit in exact}
                found += len(right.keys() & {hit.id for hit in hits})
                for hit in hits:  # the walk goes by int8 copies, the answer by the vectors
                    assert hit.score == pytest.approx(right.get(hit.id, hit.score), abs=1e-5)
                total += len(exact)
            assert total == 400
            assert found / total >= 0.99, name
