"""How long one waits: for `catalog --help`, for the answer of `catalog search`, for a worker's first image.

    python -m benchmarks.start

Every figure is from starting the command to what the user sees. The first search finds no owner of the index running;
the others find it. The worker's first image is from the start of `catalog ingest` to the first outcome in its ledger, in
a home whose compiled graph is cached.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

from rich.console import Console

from benchmarks.large_catalog import end_owner, write_images
from benchmarks.report import median, show_machine, show_table, write_json
from tests.support.commands import wait_until
from workers.adapters.ledger import open_ledger

IMAGES: Final = 500


def main() -> None:
    """Measure and print."""
    given = _arguments()
    console = Console(width=120)
    show_machine(console)
    with tempfile.TemporaryDirectory(prefix="start-", dir=given.work) as scratch:
        folder, home = Path(scratch) / "images", Path(scratch) / "home"
        write_images(folder, IMAGES)
        environment = {n: v for n, v in os.environ.items() if not n.startswith("CATALOG_")} | {
            "CATALOG_HOME": str(home)
        }
        picture = next(folder.rglob("*.jpg"))
        _run(environment, "ingest", folder, "--name", "first")
        figures = {
            "catalog --help": [_run(environment, "--help") for _ in range(given.rounds)],
            "catalog search, index asleep": [_cold_search(environment, home, picture) for _ in range(given.rounds)],
            "catalog search, index awake": [_search(environment, picture) for _ in range(given.rounds)],
            "a worker's first image": [_first_image(environment, home, folder, n) for n in range(given.rounds)],
        }
        end_owner(home)
    rows = [(name, f"{median(s):.2f}", f"{min(s):.2f} to {max(s):.2f}") for name, s in figures.items()]
    show_table(console, "Waiting", ["for", "seconds (median)", "spread"], rows)
    write_json(given.json, {"benchmark": "start", "seconds": figures})


def _command(*arguments: str | Path) -> list[str]:
    return [str(Path(sys.executable).with_name("catalog")), *map(str, arguments)]


def _run(environment: dict[str, str], *arguments: str | Path) -> float:
    started = time.perf_counter()
    subprocess.run(_command(*arguments), env=environment, capture_output=True, check=True, stdin=subprocess.DEVNULL)
    return time.perf_counter() - started


def _search(environment: dict[str, str], picture: Path) -> float:
    return _run(environment, "search", picture, "--name", "first")


def _cold_search(environment: dict[str, str], home: Path, picture: Path) -> float:
    end_owner(home)
    return _search(environment, picture)


def _first_image(environment: dict[str, str], home: Path, folder: Path, number: int) -> float:
    """From the command to the first outcome in the ledger, of a catalog of one image."""
    name = f"one-{number}"
    small = folder.with_name(name)
    small.mkdir()
    (small / "only.jpg").write_bytes(next(folder.rglob("*.jpg")).read_bytes())
    end_owner(home)
    started = time.perf_counter()
    process = subprocess.Popen(
        _command("ingest", small, "--name", name, "--json"),
        env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    wait_until(lambda: _finished(home, name) > 0 or process.poll() is not None)
    seconds = time.perf_counter() - started
    if process.wait():
        raise SystemExit(f"catalog ingest ended with {process.returncode}")
    return seconds


def _finished(home: Path, name: str) -> int:
    ledger = open_ledger(f"sqlite:///{home / 'ledger.sqlite3'}")
    try:
        return next((job.finished for job in ledger.jobs(catalog=name, limit=1)), 0)
    finally:
        ledger.close()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--work", type=Path, default=Path("runs/benchmarks"), help="where the images are written")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    given = parser.parse_args()
    given.work.mkdir(parents=True, exist_ok=True)
    return given


if __name__ == "__main__":
    main()
