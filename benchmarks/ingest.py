"""Ingest: this project against what people run today, interleaved, on the same pictures, weights and S3 server.

    python -m benchmarks.ingest --architecture resnet50
    python -m benchmarks.ingest --architecture resnet18 --json resnet18.json

Arms of each round, one after another: the script that users write (`arms/usual_script.py`), ONNX Runtime float32 behind
our fetching (`arms/onnx_runtime.py`), the engine alone (`arms/forward_only.py`), and `catalog ingest s3://...` itself
with its ledger and index, timed from the job's first step to its last. Pictures come from a real S3 server on this
machine (`rclone serve s3`), which takes its share of the same cores in every arm that reads.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from rich.console import Console

from benchmarks.networks import Weights, prepare_weights
from benchmarks.photographs import photographs
from benchmarks.report import median, show_machine, show_table, spread, write_json
from tests.support.s3_server import S3Server, serve_s3

BUCKET: Final = "photographs"
LISTING_CACHE_S: Final = 3600
"""The server may believe its folder unchanged, or it would read all of it for every object."""
SCRIPT, ONNX, FORWARD, OURS = "usual script", "ONNX Runtime float32", "engine alone", "catalog ingest"
TIMEOUT_S: Final = 1800


def main() -> None:
    """Run the rounds and print what came out."""
    given = _arguments()
    console = Console(width=120)
    kind, pictures = photographs(given.pictures)
    weights = prepare_weights(given.architecture, input_size=given.input_size, folder=given.work, pictures=pictures)
    if given.images:
        pictures = [pictures[i * len(pictures) // given.images] for i in range(min(given.images, len(pictures)))]
        kind += f", {len(pictures):,} of them"
    show_machine(console)
    console.print(f"{kind}; {given.architecture} at {given.input_size} px; {given.rounds} rounds", highlight=False)
    with tempfile.TemporaryDirectory(prefix="ingest-", dir=given.work) as scratch:
        folder = Path(scratch) / "s3"
        (folder / BUCKET).mkdir(parents=True)
        for picture in pictures:
            shutil.copyfile(picture, folder / BUCKET / picture.name)
        with serve_s3(folder, cache_s=LISTING_CACHE_S) as server:
            bench = Bench(weights, server, home=Path(scratch) / "home", rival_images=given.rival_images)
            rounds = [bench.round(number, console) for number in range(given.rounds)]
    _report(console, rounds)
    write_json(
        given.json,
        {
            "benchmark": "ingest",
            "pictures": kind,
            "network": f"{given.architecture}-{given.input_size}",
            "rounds": rounds,
        },
    )


class Bench:
    """Runs the arms."""

    def __init__(self, weights: Weights, server: S3Server, *, home: Path, rival_images: int) -> None:
        """A first ingest of everything warms the server's and the file system's caches, and compiles the graph."""
        self._weights = weights
        self._server = server
        self._rival_images = rival_images
        self._environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("CATALOG_")},
            **server.environment(),
            "CATALOG_HOME": str(home),
            "CATALOG_MODEL": str(weights.bundle),
            "CATALOG_S3_ENDPOINT_URL": server.endpoint_url,
        }
        self._catalog("ingest", f"s3://{BUCKET}", "--name", "warm-up")

    def round(self, number: int, console: Console) -> dict[str, Any]:
        """Each arm once; the order turns with the rounds."""
        arms = {
            SCRIPT: lambda: self._arm("usual_script", self._rival_images),
            ONNX: lambda: self._arm("onnx_runtime", self._rival_images),
            FORWARD: lambda: self._arm("forward_only", 4 * self._rival_images),
            OURS: lambda: self._ours(number),
        }
        names = list(arms)
        measured: dict[str, Any] = {}
        for name in names[number % len(names) :] + names[: number % len(names)]:
            measured[name] = arms[name]()
            console.print(f"round {number + 1}: {name} {measured[name]['rate']:,.1f} images/s", highlight=False)
        return measured

    def _arm(self, module: str, images: int) -> dict[str, Any]:
        weights = self._weights
        answer = self._run(
            f"benchmarks.arms.{module}", "--weights", str(weights.folder), "--architecture", weights.architecture,
            "--input-size", str(weights.input_size), "--endpoint-url", self._server.endpoint_url, "--bucket", BUCKET,
            "--images", str(images),
        )  # fmt: skip
        return {**answer, "rate": answer["images"] / answer["seconds"]}

    def _ours(self, number: int) -> dict[str, Any]:
        job = self._catalog("ingest", f"s3://{BUCKET}", "--name", f"round-{number}")
        images = job["indexed"] + job["duplicates"]
        accounted = sum(stage["wait_s"] for stage in job["stages"])
        return {
            "images": images,
            "seconds": job["seconds"],
            "rate": images / job["seconds"],
            "accounted_s": accounted,
            "stages": job["stages"],
            "quarantined": job["quarantined"],
        }

    def _catalog(self, *arguments: str) -> dict[str, Any]:
        return self._run("workers", *arguments, "--json")

    def _run(self, module: str, *arguments: str) -> dict[str, Any]:
        done = subprocess.run(
            [sys.executable, "-m", module, *arguments],
            env=self._environment, capture_output=True, text=True, timeout=TIMEOUT_S, stdin=subprocess.DEVNULL, check=False,
        )  # fmt: skip
        if done.returncode:
            raise SystemExit(f"{module} ended with {done.returncode}:\n{done.stderr[-3000:]}")
        answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return answer


def _report(console: Console, rounds: Sequence[dict[str, Any]]) -> None:
    rates = {name: [measured[name]["rate"] for measured in rounds] for name in (SCRIPT, ONNX, FORWARD, OURS)}
    ours = median(rates[OURS])
    rows = [
        (name, rounds[0][name]["images"], median(values), spread(values), f"{ours / median(values):.2f}")
        for name, values in rates.items()
    ]
    show_table(console, "Ingest", ["arm", "images", "images/s (median)", "spread", "catalog ingest is x times"], rows)
    stages = [stage["stage"] for stage in rounds[0][OURS]["stages"]]
    seconds = median([measured[OURS]["seconds"] for measured in rounds])
    budget = []
    for place, stage in enumerate(stages):
        waited = median([measured[OURS]["stages"][place]["wait_s"] for measured in rounds])
        busy = median([measured[OURS]["stages"][place]["busy_s"] for measured in rounds])
        budget.append((stage, f"{waited:.2f}", f"{waited / seconds:.1%}", f"{busy:.2f}"))
    accounted = median([measured[OURS]["accounted_s"] / measured[OURS]["seconds"] for measured in rounds])
    budget.append(("all stages", f"{accounted * seconds:.2f}", f"{accounted:.1%}", ""))
    show_table(console, "Where the time of catalog ingest goes", ["stage", "wall s", "share", "busy s"], budget)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--architecture", default="resnet50", choices=("resnet18", "resnet34", "resnet50"))
    parser.add_argument("--input-size", type=int, default=224, help="side of the input in pixels")
    parser.add_argument("--pictures", type=Path, help="folder of JPEG files; default: the clothing photographs")
    parser.add_argument("--images", type=int, help="pictures in the bucket, spread over all; default: all of them")
    parser.add_argument("--rival-images", type=int, default=480, help="pictures the slow arms get, spread over all")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--work", type=Path, default=Path("runs/benchmarks"), help="where weights are kept")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    given = parser.parse_args()
    given.work.mkdir(parents=True, exist_ok=True)
    return given


if __name__ == "__main__":
    main()
