"""Search: the embedded default as users reach it, against what people search with today, in one run.

    python -m benchmarks.search                              # about ten minutes on two quiet cores
    python -m benchmarks.search --home runs/search           # keeps the filled index for the next run
    python -m benchmarks.search --only quiet --json search.json

100,000 x 512 vectors that lie together as real embeddings do (`clustered.py`) go through `SocketIndex` into the owner
process and Qdrant Edge, with payloads as an ingest writes them. Measured are, each with what stands beside it:

    building   searches while the approximate index is built
    quiet      searches without and with filters, in turns with the arms of `search_rivals.py`, and their recall
    ingest     searches while `catalog ingest` indexes drawn pictures with the default model at full speed
    upserts    searches while another process upserts into the same collection without pause
    opening    the first search where no owner runs yet (`benchmarks.start` times the whole command)
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from rich.console import Console

from benchmarks.clustered import (
    CATALOG,
    DIMENSION,
    MODEL,
    VIEWS,
    Clusters,
    Vectors,
    make_points,
    read_shape,
)
from benchmarks.latency import COLUMNS, Latencies
from benchmarks.report import show_machine, show_table, write_json
from benchmarks.search_cases import Case, make_cases
from benchmarks.search_load import (
    CALL_TIMEOUT_S,
    FIRST_NUMBER,
    ROLLING_POINTS,
    Load,
    draw_pictures,
    ingest,
    upserts,
)
from benchmarks.search_rivals import Ask, LocalMode, NumpyScan, PlainShard
from schemas.collection import CollectionSpec
from schemas.payload import Point, Tombstone
from schemas.query import AnyOf, Filter, Search
from workers.adapters.vector_index.client import SocketIndex
from workers.adapters.vector_index.graph_build import GRAPH_POINTS
from workers.adapters.vector_index.owner_address import index_folder
from workers.adapters.vector_index.python_child import module_command

COLLECTION: Final = f"{CATALOG}--1"
PHASES: Final = ("building", "quiet", "ingest", "upserts", "opening")
LIMIT: Final = 10
PAUSE_S: Final = 0.02
"""Between searches while something else goes on: fifty searches a second are asked for, not all that fit in."""
_LOOKS: Final = 10
"""Searches between two looks at what goes on."""
OURS, SCAN, PLAIN, LOCAL = "SocketIndex", "numpy scan", "Edge, no HNSW", "qdrant-client local"
IDLE_S: Final = 3600.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Arm:
    """Something that answers queries; `points` of the collection it holds."""

    name: str
    ask: Ask
    points: int
    every: int = 1
    """Only one query in so many is put to it."""


def main() -> None:
    """Run the phases and print what came out."""
    given = _arguments()
    console = Console(width=120)
    show_machine(console)
    with contextlib.ExitStack() as closing:
        home = given.home or Path(closing.enter_context(tempfile.TemporaryDirectory(prefix="search-")))
        bench = Bench(home, points=given.points, queries=given.queries, rounds=given.rounds, console=console)
        closing.callback(bench.close)
        phases: Mapping[str, Callable[[], Any]] = {
            "building": bench.building,
            "quiet": bench.quiet,
            "ingest": lambda: bench.under_ingest(given.ingest_images),
            "upserts": lambda: bench.under_upserts(given.upsert_s),
            "opening": lambda: bench.opening(given.openings),
        }
        filled = bench.fill()
        figures = {phase: run() for phase, run in phases.items() if phase in given.only or phase == "building"}
    write_json(given.json, {"benchmark": "search", "points": given.points, "fill": filled, **figures})


class Bench:
    """One filled home and the phases on it."""

    def __init__(self, home: Path, *, points: int, queries: int, rounds: int, console: Console) -> None:
        """Draw points and queries; the queries are further draws of the same clusters, none of them is in the index."""
        home.mkdir(parents=True, exist_ok=True)
        self._home = home
        self._rounds = rounds
        self._console = console
        clusters = Clusters(read_shape())
        self._points: list[Point] = []
        for first in range(0, points, 10_000):
            self._points += make_points(clusters.draw(min(10_000, points - first)), first=first)
        self._queries: Vectors = clusters.draw(queries * VIEWS).vectors[::VIEWS]
        self._cases = make_cases(self._points)
        self._index = SocketIndex(home, idle_s=IDLE_S, call_timeout_s=CALL_TIMEOUT_S)

    def close(self) -> None:
        """End the owner too: nothing else uses this home."""
        self._index.close()
        _end_owner(self._home)

    # ------------------------------------------------------------------------------------------------------- phases

    def fill(self) -> dict[str, Any]:
        """Upsert what the collection does not hold yet."""
        self._index.create(CollectionSpec(name=COLLECTION, catalog=CATALOG, dimension=DIMENSION, model_digest=MODEL))
        held = self._index.count(COLLECTION, Filter(conditions=(AnyOf(field="version", values=(1,)),)))
        started = time.perf_counter()
        if held < len(self._points):
            self._index.upsert(COLLECTION, self._points)
        took_s = time.perf_counter() - started
        written = len(self._points) if held < len(self._points) else 0
        self._say(f"{len(self._points):,} x {DIMENSION}: {written:,} upserted in {took_s:.1f} s")
        return {"upserted": written, "seconds": round(took_s, 2)}

    def building(self) -> dict[str, Any]:
        """Have the approximate index built, searching meanwhile; nothing is measured where it is there already."""
        if len(self._points) < GRAPH_POINTS or self._index.info(COLLECTION).indexed_points:
            return {}
        started = time.perf_counter()
        self._index.settle(COLLECTION)
        measured = self._searched_while(lambda: not self._index.info(COLLECTION).indexed_points)
        took_s = time.perf_counter() - started
        self._show(f"While HNSW was built ({took_s:.0f} s)", measured)
        return {"seconds": round(took_s, 1), **_to_json(measured)}

    def quiet(self) -> dict[str, Any]:
        """Every case on every arm, in turns; recall of ours against the exact answer."""
        with tempfile.TemporaryDirectory(prefix="search-rivals-") as scratch, self._arms(Path(scratch)) as arms:
            times = {(case.name, arm.name): Latencies() for case in self._cases for arm in arms}
            for number in range(self._rounds):
                for case in self._cases:
                    for arm in arms[number % len(arms) :] + arms[: number % len(arms)]:
                        self._ask_all(arm, case, times[case.name, arm.name])
            exact = next(arm for arm in arms if arm.name == SCAN)
            recalls = {case.name: self._recall(case, exact.ask) for case in self._cases}
        rows = [
            (case.name, arm.name, *times[case.name, arm.name].row(), _ratio(times, case, arm))
            for case in self._cases
            for arm in arms
        ]
        columns = ["query", "arm", *COLUMNS, "x ours"]
        show_table(self._console, f"Search, {len(self._queries)} queries, {self._rounds} rounds", columns, rows)
        shown = [(case.name, f"{self._share(case):.2%}", f"{recalls[case.name]:.4f}") for case in self._cases]
        show_table(self._console, "Recall", ["query", "points that pass", f"recall@{LIMIT}"], shown)
        return {
            case.name: {
                "share": self._share(case),
                "recall": recalls[case.name],
                **{arm.name: {"points": arm.points, **times[case.name, arm.name].to_json()} for arm in arms},
            }
            for case in self._cases
        }

    def under_ingest(self, images: int) -> dict[str, Any]:
        """Search the collection while `catalog ingest` fills another one of the same home."""
        with tempfile.TemporaryDirectory(prefix="search-pictures-") as folder:
            draw_pictures(Path(folder), images)
            self._drop("busy")
            with ingest(self._home, Path(folder), "busy") as load:
                measured = self._searched_while(load.is_running)
        job = json.loads(load.said)
        rate = (job["indexed"] + job["duplicates"]) / job["seconds"]
        self._show(f"While catalog ingest indexed {images:,} pictures, {rate:,.0f} a second", measured)
        return {"images": images, "images_per_s": round(rate, 1), **_to_json(measured)}

    def under_upserts(self, seconds: float) -> dict[str, Any]:
        """Search the collection while another process writes into it."""
        with upserts(self._home, COLLECTION) as load:
            until = time.monotonic() + seconds
            measured = self._searched_while(lambda: _goes_on(load, until))
        written = make_points(Clusters(read_shape(), seed=2).draw(ROLLING_POINTS), first=FIRST_NUMBER)
        self._index.delete(COLLECTION, [Tombstone(id=point.id, version=2**62) for point in written])
        self._show(f"While another process upserted {load.said} points/s into the same collection", measured)
        return {"points_per_s": int(load.said), **_to_json(measured)}

    def opening(self, times: int) -> dict[str, Any]:
        """The first search of the collection where no owner runs: starting it, opening the files, answering."""
        measured = Latencies()
        for _ in range(times):
            _end_owner(self._home)
            measured.begin_round()
            with measured.timed():
                index = SocketIndex(self._home, idle_s=IDLE_S, call_timeout_s=CALL_TIMEOUT_S)
                index.search(COLLECTION, Search(vector=self._queries[0], limit=LIMIT))
            index.close()
        show_table(self._console, "First search, no owner running", COLUMNS, [measured.row()])
        return measured.to_json()

    # -------------------------------------------------------------------------------------------------------- parts

    @contextlib.contextmanager
    def _arms(self, scratch: Path) -> Iterator[list[Arm]]:
        fields = sorted({condition.field for case in self._cases if case.where for condition in case.where.conditions})
        plain = PlainShard(scratch / "plain", self._points)
        few = self._points[: len(self._points) // 10]
        try:
            yield [
                Arm(name=OURS, ask=self._ours, points=len(self._points)),
                Arm(name=SCAN, ask=NumpyScan(self._points, fields).ask, points=len(self._points)),
                Arm(name=PLAIN, ask=plain.ask, points=len(self._points)),
                Arm(name=LOCAL, ask=LocalMode(few).ask, points=len(few), every=10),
            ]
        finally:
            plain.close()

    def _ours(self, vector: Vectors, where: Filter | None, limit: int) -> list[str]:
        return [hit.id for hit in self._index.search(COLLECTION, Search(vector=vector, where=where, limit=limit))]

    def _ask_all(self, arm: Arm, case: Case, times: Latencies) -> None:
        times.begin_round()
        for vector in self._queries[:: arm.every]:
            with times.timed():
                arm.ask(vector, case.where, LIMIT)

    def _recall(self, case: Case, exact: Ask) -> float:
        found = total = 0
        for vector in self._queries:
            wanted = set(exact(vector, case.where, LIMIT))
            found += len(wanted.intersection(self._ours(vector, case.where, LIMIT)))
            total += len(wanted)
        return found / total

    def _share(self, case: Case) -> float:
        return self._index.count(COLLECTION, case.where) / self._index.count(COLLECTION)

    def _searched_while(self, goes_on: Callable[[], bool]) -> dict[str, Latencies]:
        """Every case in turn, at a steady pace, until the condition ends."""
        times: dict[str, Latencies] = {}
        number = 0
        while number % _LOOKS or goes_on():
            case = self._cases[number % len(self._cases)]
            latencies = times.setdefault(case.name, Latencies(rounds=[[]]))
            vector = self._queries[number // len(self._cases) % len(self._queries)]
            with latencies.timed():
                self._ours(vector, case.where, LIMIT)
            number += 1
            time.sleep(PAUSE_S)
        return times

    def _drop(self, catalog: str) -> None:
        """Remove what an earlier run on this home has left."""
        if any(info.spec.catalog == catalog for info in self._index.collections()):
            self._run(module_command("workers", "drop", "--name", catalog, "--yes"))

    def _run(self, command: Sequence[str]) -> None:
        environment = {**os.environ, "CATALOG_HOME": str(self._home)}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(f"{' '.join(command)} ended with {done.returncode}:\n{done.stderr[-2000:]}")

    def _show(self, title: str, measured: Mapping[str, Latencies]) -> None:
        together = Latencies(rounds=[part for latencies in measured.values() for part in latencies.rounds])
        rows = [(name, *values.row()[:4]) for name, values in {**measured, "all": together}.items()]
        show_table(self._console, title, ["query", *COLUMNS[:4]], rows)

    def _say(self, text: str) -> None:
        self._console.print(text, highlight=False)


def _ratio(times: Mapping[tuple[str, str], Latencies], case: Case, arm: Arm) -> str:
    ours = times[case.name, OURS].quantile(0.5)
    return f"{times[case.name, arm.name].quantile(0.5) / ours:.1f}"


def _to_json(measured: Mapping[str, Latencies]) -> dict[str, Any]:
    together = Latencies(rounds=[part for latencies in measured.values() for part in latencies.rounds])
    return {"all": together.to_json(), **{name: latencies.to_json() for name, latencies in measured.items()}}


def _goes_on(load: Load, until: float) -> bool:
    return load.is_running() and time.monotonic() < until


def _end_owner(home: Path) -> None:
    """Ask the home's owner to leave and wait until it has."""
    lock = index_folder(home) / "owner.lock"
    with contextlib.suppress(FileNotFoundError, ValueError, ProcessLookupError):
        pid = int(lock.read_text())
        os.kill(pid, signal.SIGTERM)
        while _is_running(pid):
            time.sleep(0.01)


def _is_running(pid: int) -> bool:
    import psutil

    with contextlib.suppress(psutil.NoSuchProcess):
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    return False


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--points", type=int, default=100_000)
    parser.add_argument("--queries", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--ingest-images", type=int, default=15_000)
    parser.add_argument("--upsert-s", type=float, default=20.0, help="how long to search while points are written")
    parser.add_argument("--openings", type=int, default=7, help="how often an owner is started")
    parser.add_argument("--only", nargs="+", choices=PHASES, default=PHASES, help="leave the other phases out")
    parser.add_argument("--home", type=Path, help="keep the filled index here; default: a temporary folder")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    return parser.parse_args()


if __name__ == "__main__":
    main()
