"""A catalog of 100,000 small images: memory while it is indexed, and how fast a run with nothing to do is.

    python -m benchmarks.large_catalog
    python -m benchmarks.large_catalog --s3 --images 20000

The images are some drawn ones over and over, each with a few bytes of its own behind the end of the picture, so that
every file has another digest and none is skipped as a copy. They lie under 100 folders. `catalog ingest` indexes them
with the default model; every second the anonymous resident memory (`RssAnon`) of the command and of the index's owner
is read. Then the same command runs again, several times: everything is listed, compared with the ledger and found
unchanged.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from rich.console import Console

from benchmarks.report import median, show_machine, show_table, spread, write_json
from tests.support.commands import Catalog, wait_until
from tests.support.s3_server import serve_s3

FOLDERS: Final = 100
DRAWN: Final = 300
BUCKET: Final = "catalog"
OWNER: Final = "workers.adapters.vector_index.owner"
LISTING_CACHE_S: Final = 3600


@dataclass(kw_only=True, slots=True)
class MemoryCurve:
    """Anonymous resident memory of one process over time."""

    seconds: list[float] = field(default_factory=list)
    megabytes: list[float] = field(default_factory=list)

    def quarters(self) -> list[float]:
        """The highest value in each quarter of the time: equal ones are a flat curve."""
        size = max(1, len(self.megabytes) // 4)
        return [max(self.megabytes[i * size : (i + 1) * size] or self.megabytes[-1:]) for i in range(4)]


def main() -> None:
    """Measure and print."""
    given = _arguments()
    console = Console(width=120)
    show_machine(console)
    with tempfile.TemporaryDirectory(prefix="large-", dir=given.work) as scratch, ExitStack() as stack:
        folder = Path(scratch) / "s3" / BUCKET
        write_images(folder, given.images)
        environment = {name: value for name, value in os.environ.items() if not name.startswith("CATALOG_")}
        environment["CATALOG_HOME"] = str(Path(scratch) / "home")
        source = str(folder)
        if given.s3:
            server = stack.enter_context(serve_s3(folder.parent, cache_s=LISTING_CACHE_S))
            environment |= server.environment() | {"CATALOG_S3_ENDPOINT_URL": server.endpoint_url}
            source = f"s3://{BUCKET}"
        first, curves = ingest(source, environment)
        again = [ingest(source, environment)[0] for _ in range(given.rounds)]
        end_owner(Path(environment["CATALOG_HOME"]))  # it may be building its graph in the folder that goes now
    kind = "S3" if given.s3 else "folder"
    console.print(f"{given.images:,} images in {FOLDERS} folders, from {kind}: {first['images_per_s']:,.0f} images/s")
    rows = [(name, max(c.megabytes), *(f"{q:,.0f}" for q in c.quarters())) for name, c in curves.items()]
    columns = ["process", "peak MB", "1st quarter", "2nd", "3rd", "4th"]
    show_table(console, "Anonymous resident memory of the ingest", columns, rows)
    planned = [run["seen"] / _plan_s(run) for run in again]
    whole = [run["seen"] / run["seconds"] for run in again]
    figures = [("planning", median(planned), spread(planned)), ("the whole job", median(whole), spread(whole))]
    show_table(console, "Nothing to do", ["what", "objects/s (median)", "spread"], figures)
    assert all(run["unchanged"] == given.images and run["planned"] == 0 for run in again)  # noqa: S101 - or it measured something else
    memory = {name: {"seconds": c.seconds, "megabytes": c.megabytes} for name, c in curves.items()}
    result = {"source": kind, "images": given.images, "first": first, "again": again, "memory": memory}
    write_json(given.json, {"benchmark": "large_catalog", **result})


def end_owner(home: Path) -> None:
    """Send the index of this home to sleep, as it goes by itself after a while."""
    catalog = Catalog(home=home, bundle=home, environment={})
    catalog.end_owner()
    wait_until(lambda: not catalog.owner_pids())


def write_images(folder: Path, count: int) -> None:
    """`count` files under `FOLDERS` folders, no two alike in bytes."""
    from workers.sample.catalog import draw

    pictures = [image.jpeg for image in draw(images=DRAWN, seed=7)]
    for number in range(FOLDERS):
        (folder / f"{number:02d}").mkdir(parents=True)
    for number in range(count):
        path = folder / f"{number % FOLDERS:02d}" / f"{number:07d}.jpg"
        path.write_bytes(pictures[number % DRAWN] + number.to_bytes(4, "big"))


def ingest(source: str, environment: dict[str, str]) -> tuple[dict[str, Any], dict[str, MemoryCurve]]:
    """The job's report and the memory of the processes that worked on it."""
    command = [sys.executable, "-m", "workers", "ingest", source, "--name", "large", "--json"]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True, stdin=subprocess.DEVNULL)
    curves = {"catalog ingest": MemoryCurve(), "index owner": MemoryCurve()}
    started = time.monotonic()
    with _reading(process) as output:
        while process.poll() is None:
            pids = {"catalog ingest": process.pid, "index owner": _owner(environment["CATALOG_HOME"])}
            for name, pid in pids.items():
                if (megabytes := anonymous_megabytes(pid)) is not None:
                    curves[name].seconds.append(time.monotonic() - started)
                    curves[name].megabytes.append(megabytes)
            time.sleep(1.0 if time.monotonic() - started > 5 else 0.1)
    if process.returncode:
        raise SystemExit(f"catalog ingest ended with {process.returncode}")
    job: dict[str, Any] = json.loads(output[-1])
    return job, {name: curve for name, curve in curves.items() if curve.megabytes}


def anonymous_megabytes(pid: int | None) -> float | None:
    """`RssAnon` of a process in MB, or None when there is no such process."""
    if pid is None:
        return None
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 / 1e6 for line in lines if line.startswith("RssAnon:")), None)


@contextmanager
def _reading(process: subprocess.Popen[str]) -> Iterator[list[str]]:
    """The lines of stdout, complete behind the block; it is short enough to fit the pipe."""
    lines: list[str] = []
    yield lines
    assert process.stdout is not None  # noqa: S101 - it was asked for
    lines += process.stdout.read().splitlines()


def _owner(home: str) -> int | None:
    """The process that owns this home's index."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                command = (entry / "cmdline").read_bytes().decode(errors="replace")
            except OSError:
                continue
            if OWNER in command and home in command:
                return int(entry.name)
    return None


def _plan_s(job: dict[str, Any]) -> float:
    return float(next(stage["wait_s"] for stage in job["stages"] if stage["stage"] == "plan"))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=100_000)
    parser.add_argument("--s3", action="store_true", help="read from a local S3 server instead of a folder")
    parser.add_argument("--rounds", type=int, default=3, help="runs with nothing to do")
    parser.add_argument("--work", type=Path, default=Path("runs/benchmarks"), help="where the images are written")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    given = parser.parse_args()
    given.work.mkdir(parents=True, exist_ok=True)
    return given


if __name__ == "__main__":
    main()
