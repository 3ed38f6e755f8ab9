"""What the commands share: their arguments' descriptions, and how they show progress and figures."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

if TYPE_CHECKING:
    from schemas.model_card import Metric
    from training.fitting.journal import EpochLine
    from training.fitting.observer import Observer

CONSOLE = Console(stderr=True)
"""For people; stdout is for results."""

Run = Annotated[Path, typer.Argument(help="The run's folder: config.json, log.jsonl, last and best checkpoint.")]
Checkpoint = Annotated[str, typer.Option(help="Which checkpoint of the run: last or best (on the holdout).")]
Json = Annotated[bool, typer.Option("--json", help="Print machine-readable lines on stdout.")]
InputSize = Annotated[
    int | None, typer.Option(min=32, max=512, help="Side of the input in pixels, if other than the run's config says.")
]


def show_metrics(metrics: Iterable[Metric], as_json: bool) -> None:
    """Print a line a figure on stdout."""
    for metric in metrics:
        if as_json:
            typer.echo(metric.model_dump_json())
        else:
            interval = "" if metric.low is None else f"  [{metric.low:.3f}, {metric.high:.3f}]"
            typer.echo(f"{metric.data:26} {metric.engine:15} {metric.name:36} {metric.value:.4f}{interval}")


@contextmanager
def observed(as_json: bool) -> Iterator[Observer]:
    """An observer that shows a bar on a terminal and a line an epoch elsewhere."""
    from training.fitting.observer import Observer

    def on_epoch(line: EpochLine) -> None:
        if as_json:
            typer.echo(json.dumps(asdict(line)))
            return
        figures = {**{f"{name} error": value for name, value in line.errors.items()}, **line.figures}
        shown = ", ".join(f"{name} {value:.3f}" for name, value in figures.items())
        CONSOLE.print(
            f"epoch {line.epoch}/{line.planned_epochs} at {line.size} px, {line.images_per_s:.0f} images/s: {shown}",
            highlight=False,
            soft_wrap=True,
        )

    def on_note(text: str) -> None:
        CONSOLE.print(text, highlight=False, soft_wrap=True)

    if not CONSOLE.is_terminal:
        yield Observer(
            on_stage=lambda name, _: CONSOLE.print(name, highlight=False), on_epoch=on_epoch, on_note=on_note
        )
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, TimeRemainingColumn(), console=CONSOLE) as bars:
        task = bars.add_task("preparing", total=None)
        yield Observer(
            on_stage=lambda name, steps: bars.reset(task, description=name, total=steps),
            on_step=lambda: bars.advance(task),
            on_epoch=on_epoch,
            on_note=on_note,
        )
