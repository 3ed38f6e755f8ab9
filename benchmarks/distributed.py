"""The distributed form: what Celery costs, what the broker and the ledger bear, and how soon a new image is searchable.

    python -m benchmarks.distributed
    python -m benchmarks.distributed --quick
    python -m benchmarks.distributed --only ledger,planning

Postgres, Valkey and S3 (`rclone serve s3`) are real and run on this machine; the index is the embedded one's owner process.
docs/benchmarks/distributed.md says what each figure means.
"""

from __future__ import annotations

import argparse
import math
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from rich.console import Console

from benchmarks import distributed_arms as arms
from benchmarks import ledger_rates
from benchmarks.photographs import photographs
from benchmarks.report import median, show_machine, show_table, spread, write_json
from benchmarks.servers import Servers, serving
from workers.indexing.record import GROUP_ITEMS

FIGURES: Final = ("cost", "broker", "ledger", "planning", "freshness")
BUCKET, FRESH, BULK = "photographs", "fresh", "bulk"


def main() -> None:
    """Measure what was asked for, each on servers of its own, and print it."""
    given = _arguments()
    console = Console(width=120)
    show_machine(console)
    measures: dict[str, Callable[[Console, argparse.Namespace, Servers], dict[str, Any]]] = {
        "cost": _cost,
        "broker": _broker,
        "ledger": _ledger,
        "planning": _planning,
        "freshness": _freshness,
    }
    result: dict[str, Any] = {}
    for name in given.only:
        with (
            tempfile.TemporaryDirectory(prefix=f"{name}-", dir=given.work) as scratch,
            serving(Path(scratch)) as servers,
        ):
            result[name] = measures[name](console, given, servers)
    write_json(given.json, {"benchmark": "distributed", "quick": given.quick, **result})


def _cost(console: Console, given: argparse.Namespace, servers: Servers) -> dict[str, Any]:
    """Images a second of one distributed worker and of a command that works by itself, in turns."""
    images, rounds = (300, 2) if given.quick else (given.images, given.rounds)
    kind, pictures = photographs(given.pictures)
    arms.write_bucket(servers.store.folder / BUCKET, pictures, images)
    arms.in_process(servers, "warm-up", BUCKET)
    names = {"in-process": arms.in_process, "one worker": arms.one_worker}
    measured: dict[str, list[float]] = {name: [] for name in names}
    for number in range(rounds):
        for name in sorted(names, reverse=bool(number % 2)):
            seen = names[name](servers, f"{name.replace(' ', '-')}-{number}", BUCKET)
            measured[name].append(seen["rate"])
            console.print(f"round {number + 1}: {name} {seen['rate']:,.1f} images/s", highlight=False)
    ratios = [ours / alone for ours, alone in zip(measured["one worker"], measured["in-process"], strict=True)]
    rows = [(name, images, median(rates), spread(rates)) for name, rates in measured.items()]
    show_table(console, f"Celery's cost ({kind}, default model)", ["arm", "images", "images/s", "spread"], rows)
    console.print(
        f"one worker is {median(ratios):.3f} of in-process ({min(ratios):.3f} to {max(ratios):.3f}); wanted 0.95"
    )
    return {"images": images, "rates": measured, "ratios": ratios}


def _broker(console: Console, given: argparse.Namespace, servers: Servers) -> dict[str, Any]:
    """Valkey's memory through a job of a million made-up images."""
    images = 30_000 if given.quick else given.objects
    seen = arms.broker_memory(servers, images=images, idle_s=5.0 if given.quick else 20.0)
    rows = [
        ("idle, workers and beat connected", median(seen.idle) / 1e6, max(seen.idle) / 1e6),
        (f"a job of {images:,} images", median(seen.working) / 1e6, max(seen.working) / 1e6),
    ]
    show_table(console, "Broker memory", ["while", "MB (median)", "MB (most)"], rows)
    console.print(
        f"{seen.above_idle / 1e6:.3f} MB above idle at most, wanted 1; {seen.longest_queue} messages waited at most; "
        f"{len(seen.working):,} looks in {seen.seconds:,.0f} s"
    )
    return {
        "images": images,
        "above_idle_bytes": seen.above_idle,
        "idle_bytes": median(seen.idle),
        "most_bytes": max(seen.working),
        "longest_queue": seen.longest_queue,
        "seconds": seen.seconds,
    }


def _ledger(console: Console, given: argparse.Namespace, servers: Servers) -> dict[str, Any]:
    """Outcomes a second on Postgres, by how many are recorded together and by how many jobs at once."""
    images, rounds = (8_192, 3) if given.quick else (65_536, 5)
    url = servers.state.ledger_url
    ledger_rates.outcome_rate(url, images=2_048, jobs=1, group=GROUP_ITEMS)
    arms_of: dict[tuple[int, int], list[float]] = {
        (jobs, group): [] for group in (GROUP_ITEMS, 1_024) for jobs in (1, 2)
    }
    for _ in range(rounds):
        for (jobs, group), rates in arms_of.items():
            rates.append(ledger_rates.outcome_rate(url, images=images, jobs=jobs, group=group))
    rows = [
        (f"{group} at a time, {jobs} worker{'s' * (jobs > 1)}", round(median(rates)), spread(rates))
        for (jobs, group), rates in arms_of.items()
    ]
    show_table(console, "Outcomes on Postgres (wanted 10,000/s)", ["recorded", "outcomes/s", "spread"], rows)
    return {"images": images, "rates": {f"{jobs} x {group}": rates for (jobs, group), rates in arms_of.items()}}


def _planning(console: Console, given: argparse.Namespace, servers: Servers) -> dict[str, Any]:
    """Time and memory of finding that a source of a million objects has not changed."""
    objects, rounds = (100_000, 1) if given.quick else (given.objects, 3)
    url = servers.state.ledger_url
    ledger_rates.fill(url, "full", images=objects)
    runs = [ledger_rates.plan_full(url, "full", images=objects) for _ in range(rounds)]
    seconds, memory = [run["seconds"] for run in runs], [run["peak_mb"] for run in runs]
    rows = [
        ("seconds (wanted 60)", median(seconds), spread(seconds)),
        ("MB (wanted 300)", median(memory), spread(memory)),
    ]
    show_table(console, f"Planning {objects:,} objects, nothing changed", ["figure", "median", "spread"], rows)
    return {"objects": objects, "runs": runs}


def _freshness(console: Console, given: argparse.Namespace, servers: Servers) -> dict[str, Any]:
    """Seconds from a PUT to an answer of the index, on an idle system and beside a bulk job."""
    idle, beside, bulk = (6, 4, 6_000) if given.quick else (30, 20, given.bulk_images)
    _, pictures = photographs(given.pictures)
    arms.write_bucket(servers.store.folder / FRESH, pictures[:100], 100)
    arms.write_bucket(servers.store.folder / BULK, pictures, bulk)
    seen = arms.freshness(servers, pictures, bucket=FRESH, bulk=BULK, idle=idle, beside=beside, seed=given.seed)
    named = {"idle, wanted 5 s": seen.idle, "beside a bulk job, wanted 30 s": seen.beside_a_job}
    rows = [
        (name, len(times), f"{median(times):.2f}", f"{percentile(times, 0.95):.2f}", f"{max(times):.2f}")
        for name, times in named.items()
    ]
    show_table(console, "Searchable after", ["system", "events", "s (median)", "s (p95)", "s (longest)"], rows)
    console.print(f"the bulk job went on with {seen.rate_beside:,.0f} images/s")
    return {"idle_s": seen.idle, "beside_a_job_s": seen.beside_a_job, "bulk_rate": seen.rate_beside}


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least this share of the values do not exceed."""
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="small sizes: to see that it works, not to measure")
    parser.add_argument("--only", type=_figures, default=FIGURES, help=f"some of {','.join(FIGURES)}")
    parser.add_argument("--pictures", type=Path, help="folder of JPEG files; default: the clothing photographs")
    parser.add_argument("--images", type=int, default=3_000, help="pictures of an ingest that Celery's cost is seen on")
    parser.add_argument("--rounds", type=int, default=5, help="ingests of each arm")
    parser.add_argument("--objects", type=int, default=1_000_000, help="made-up objects for broker and planning")
    parser.add_argument("--bulk-images", type=int, default=24_000, help="pictures of the job beside which events come")
    parser.add_argument("--seed", type=int, default=1, help="of the pauses between events")
    parser.add_argument("--work", type=Path, default=Path("runs/benchmarks"), help="where servers keep their data")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    given = parser.parse_args()
    given.work.mkdir(parents=True, exist_ok=True)
    given.work = given.work.absolute()
    return given


def _figures(text: str) -> tuple[str, ...]:
    names = tuple(filter(None, text.split(",")))
    if not names or set(names) - set(FIGURES):
        raise argparse.ArgumentTypeError(f"name some of {', '.join(FIGURES)}")
    return names


if __name__ == "__main__":
    main()
