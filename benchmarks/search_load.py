"""What else the machine does while searches are measured: an ingest as users run it, and writes without any pause.

python -m benchmarks.search_load HOME COLLECTION      # the second: upserts until its standard input ends
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Final

from benchmarks.clustered import Clusters, make_points, read_shape
from workers.adapters.vector_index.client import POINTS_PER_CALL, SocketIndex
from workers.adapters.vector_index.python_child import module_command

ROLLING_POINTS: Final = 20_000
"""Points that are written again and again: as many as the product leaves outside the approximate index."""
FIRST_NUMBER: Final = 10_000_000
"""Their numbers begin here, above those of the collection's own points."""
DRAWN: Final = 500
"""Pictures drawn for an ingest; further ones are the same with a few bytes behind their end, which no decoder reads."""
CALL_TIMEOUT_S: Final = 600.0


@dataclass(kw_only=True, slots=True)
class Load:
    """Something that goes on meanwhile."""

    process: subprocess.Popen[str]
    said: str = ""
    """Its last line, once it has ended."""

    def is_running(self) -> bool:
        """Whether it still goes on."""
        return self.process.poll() is None


def draw_pictures(folder: Path, images: int) -> None:
    """`images` JPEG files of garments, no two alike."""
    from workers.sample.catalog import write

    drawn = write(folder / "drawn", images=min(images, DRAWN), seed=7)
    originals = [path.read_bytes() for path in sorted(drawn.folder.rglob("*.jpg"))]
    for number in range(len(originals), images):
        target = folder / "more" / f"{number % 100:02}"
        target.mkdir(parents=True, exist_ok=True)
        (target / f"{number:07}.jpg").write_bytes(originals[number % len(originals)] + number.to_bytes(8, "big"))


@contextmanager
def ingest(home: Path, folder: Path, name: str) -> Iterator[Load]:
    """`catalog ingest FOLDER --name NAME`, running when the block begins and waited for at its end."""
    command = module_command("workers", "ingest", str(folder), "--name", name, "--json")
    with _started(command, {**os.environ, "CATALOG_HOME": str(home)}) as load:
        index = SocketIndex(home, call_timeout_s=CALL_TIMEOUT_S)
        while load.is_running() and not _points(index, name):
            time.sleep(0.05)
        index.close()
        yield load


@contextmanager
def upserts(home: Path, collection: str) -> Iterator[Load]:
    """Another process upserts `ROLLING_POINTS` points over and over, ended with the block."""
    command = module_command("benchmarks.search_load", str(home), collection)
    with _started(command, dict(os.environ)) as load:
        assert load.process.stdout is not None  # noqa: S101 - opened as a pipe
        load.process.stdout.readline()
        yield load


@contextmanager
def _started(command: list[str], environment: dict[str, str]) -> Iterator[Load]:
    process = subprocess.Popen(
        command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    load = Load(process=process)
    try:
        yield load
    finally:
        out, errors = process.communicate()
        load.said = out.strip().rpartition("\n")[2]
        if process.returncode:
            raise SystemExit(f"{' '.join(command[:4])} ended with {process.returncode}:\n{errors[-2000:]}")


def _points(index: SocketIndex, catalog: str) -> int:
    return sum(info.points for info in index.collections() if info.spec.catalog == catalog)


def _upsert_until_told(home: Path, collection: str, words: IO[str]) -> None:
    index = SocketIndex(home, call_timeout_s=CALL_TIMEOUT_S)
    points = make_points(Clusters(read_shape(), seed=2).draw(ROLLING_POINTS), first=FIRST_NUMBER)
    listener = threading.Thread(target=words.read, daemon=True)
    listener.start()
    written, version, started_s = 0, int(time.time()), time.perf_counter()
    print("ready", flush=True)
    while listener.is_alive():
        start = written % ROLLING_POINTS
        version += start == 0
        part = points[start : min(start + POINTS_PER_CALL, ROLLING_POINTS)]
        index.upsert(
            collection,
            [replace(point, version=version, payload=replace(point.payload, version=version)) for point in part],
        )
        written += len(part)
    print(round(written / (time.perf_counter() - started_s)))
    index.close()


def main() -> None:
    """Write until standard input ends; prints `ready` first and points a second last."""
    parser = argparse.ArgumentParser(description="Upsert without pause.")
    parser.add_argument("home", type=Path)
    parser.add_argument("collection")
    given = parser.parse_args()
    _upsert_until_told(given.home, given.collection, sys.stdin)


if __name__ == "__main__":
    main()
