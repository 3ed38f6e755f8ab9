"""The engine alone: ours beside what people run today, interleaved, on the same network and pixels.

    python -m benchmarks.engine                                   # ResNet-18 and -50 at 128 and 224 pixels
    python -m benchmarks.engine --architectures resnet50 --sizes 224 --end-to-end
    python -m benchmarks.engine --precisions                      # int8, bf16, float32 by the CPU's instructions
    python -m benchmarks.engine --device cuda --architectures resnet50 --sizes 224 --end-to-end

Rates are images/s, forward only: pixels in memory, results in memory. `--end-to-end` adds JPEGs in memory to results,
decoded on every core beside the engine. How to read it: docs/benchmarks/engine.md.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np
from rich.console import Console

from benchmarks.arms.engines import Arm, cpu_arms, cpus, decode_rate, end_to_end_rate, forward_rate, gpu_arms
from benchmarks.networks import Weights, prepare_weights
from benchmarks.photographs import photographs
from benchmarks.report import median, show_machine, show_table, spread, write_json
from workers.adapters.bundle import default_bundle
from workers.errors import CatalogError

LEVELS: Final = ("", "AVX512_CORE_VNNI", "AVX512_CORE", "AVX2_VNNI", "AVX2")
"""Values of ONEDNN_MAX_CPU_ISA; nothing: all that the CPU has."""
PICTURES: Final = 512
"""Photographs kept in memory for end-to-end runs."""
PAUSE_S: Final = 0.2
"""Between arms: threads of the last one that still spin go to sleep."""
Rates = dict[str, list[float]]


def main() -> None:
    """Run what was asked for."""
    given = _arguments()
    console = Console(width=120)
    kind, pictures = photographs(given.pictures)
    show_machine(console)
    results: dict[str, Mapping[str, Sequence[float]]] = {}
    try:
        if given.precisions:
            weights = prepare_weights("resnet18", input_size=128, folder=given.work, pictures=pictures)
            results["precisions"] = _precisions(console, weights, rounds=given.rounds, seconds=given.seconds)
        else:
            for architecture in given.architectures:
                for size in given.sizes:
                    weights = prepare_weights(architecture, input_size=size, folder=given.work, pictures=pictures)
                    results[f"{architecture}-{size}"] = _engines(console, weights, given, pictures)
    except CatalogError as error:
        raise SystemExit(f"error: {error}") from error
    write_json(given.json, {"benchmark": "engine", "device": given.device, "pictures": kind, "images_per_s": results})


def _engines(console: Console, weights: Weights, given: argparse.Namespace, pictures: Sequence[Path]) -> Rates:
    """Every arm once a round, in an order that turns."""
    cuda = given.device != "cpu"
    arms = gpu_arms(weights, given.device, batch=given.batch) if cuda else cpu_arms(weights)
    size = weights.input_size
    images = np.random.default_rng(0).integers(0, 256, (max(a.batch for a in arms), size, size, 3), dtype=np.uint8)
    encoded = [path.read_bytes() for path in pictures[:: max(1, len(pictures) // PICTURES)]] if given.end_to_end else []
    rates: Rates = {}
    for number in range(given.rounds):
        for arm in _turned(arms, number):
            time.sleep(PAUSE_S)
            rates.setdefault(arm.name, []).append(forward_rate(arm, images, seconds=given.seconds))
        if encoded:
            _end_to_end(rates, arms[0], encoded, weights, given)
    names = [arm.name for arm in arms] + [name for name in rates if name not in {arm.name for arm in arms}]
    ours = rates[arms[0].name]
    rows = [
        (
            name,
            median(rates[name]),
            spread(rates[name]),
            f"{median([o / r for o, r in zip(ours, rates[name], strict=True)]):.2f}",
        )
        for name in names
    ]
    title = f"{weights.architecture} at {size} px, {given.rounds} rounds"
    show_table(console, title, ["arm", "images/s (median)", "spread", f"{arms[0].name} is x times"], rows)
    return rates


def _end_to_end(rates: Rates, arm: Arm, encoded: Sequence[bytes], weights: Weights, given: argparse.Namespace) -> None:
    threads, seconds = given.decode_threads or cpus(), 2 * given.seconds
    time.sleep(PAUSE_S)
    alone = decode_rate(encoded, weights=weights, decode_threads=threads, seconds=given.seconds)
    rates.setdefault(f"decoding alone, {threads} threads", []).append(alone)
    both = end_to_end_rate(arm, encoded, weights=weights, decode_threads=threads, seconds=seconds)
    rates.setdefault(f"{arm.name}, end to end", []).append(both)


def _precisions(console: Console, weights: Weights, *, rounds: int, seconds: float) -> Rates:
    """The default bundle's int8 graph and a float graph of the same shape, one thread, at each level; 0: no code for it."""
    graphs = {
        "int8": default_bundle().graph,
        "bf16": weights.float_bundle / "model.xml",
        "f32": weights.float_bundle / "model.xml",
    }
    rates: Rates = {}
    for _ in range(rounds):
        for level in LEVELS:
            for precision, graph in graphs.items():
                rate = _limited(level, graph, precision, seconds)
                rates.setdefault(f"{level or 'all it has'}/{precision}", []).append(rate)
    rows = []
    for level in (level or "all it has" for level in LEVELS):
        middle = {precision: median(rates[f"{level}/{precision}"]) for precision in graphs}
        rows.append(
            (level, *middle.values(), f"{middle['int8'] / middle['f32']:.2f}", f"{middle['bf16'] / middle['f32']:.2f}")
        )
    columns = ["instructions", "int8", "bf16", "float32", "int8 is x times float32", "bf16 is x times float32"]
    show_table(console, f"resnet18 at 128 px, one thread, images/s, {rounds} rounds", columns, rows)
    return rates


def _limited(level: str, graph: Path, precision: str, seconds: float) -> float:
    command = [sys.executable, "-m", "benchmarks.arms.precision", str(graph), precision, "--seconds", str(seconds)]
    environment = {**os.environ, **({"ONEDNN_MAX_CPU_ISA": level} if level else {})}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {done.returncode}:\n{done.stderr[-2000:]}")
    return float(json.loads(done.stdout)["rate"])


def _turned(arms: Sequence[Arm], number: int) -> Sequence[Arm]:
    start = number % len(arms)
    return [*arms[start:], *arms[:start]]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    architectures = ("resnet18", "resnet34", "resnet50")
    parser.add_argument("--architectures", nargs="+", default=["resnet18", "resnet50"], choices=architectures)
    parser.add_argument("--sizes", nargs="+", type=int, default=[128, 224], help="sides of the input in pixels")
    parser.add_argument("--device", default="cpu", help="cpu, cuda or cuda:1")
    parser.add_argument("--batch", type=int, default=128, help="images of one inference on a GPU")
    parser.add_argument("--end-to-end", action="store_true", help="also from JPEGs in memory")
    parser.add_argument("--decode-threads", type=int, help="for --end-to-end; default: every core")
    parser.add_argument("--precisions", action="store_true", help="instead: precisions by the CPU's instructions")
    parser.add_argument("--pictures", type=Path, help="folder of JPEG files; default: the clothing photographs")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.0, help="of each arm in a round")
    parser.add_argument("--work", type=Path, default=Path("runs/benchmarks"), help="where weights are kept")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    given = parser.parse_args()
    given.work.mkdir(parents=True, exist_ok=True)
    return given


if __name__ == "__main__":
    main()
