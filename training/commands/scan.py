"""`python -m training scan`."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, get_args

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from training.commands.console import CONSOLE, Json
from training.config import DataConfig, SourceName
from training.datasets.likeness import NEAR
from workers.errors import ConfigurationError

if TYPE_CHECKING:
    from training.datasets.scan import Scan

PROBLEMS_FOUND: Final = 3
"""Exit code of a scan that ran and has something to say; 1 is a scan that could not run, 2 a wrong command line."""
_SHOWN: Final = 10
"""Problems of a kind that a terminal shows without `--all`."""


def scan(
    source: Annotated[
        str, typer.Argument(help=f"What to read: {', '.join(get_args(SourceName))}. See docs/datasets.md.")
    ],
    folder: Annotated[
        Path | None,
        typer.Argument(help="The data set's folder, or the table of seed and manifest; not needed for drawn."),
    ] = None,
    images_folder: Annotated[
        Path | None, typer.Option(help="What image paths in a table start from; default: the table's folder.")
    ] = None,
    near: Annotated[
        float,
        typer.Option(
            min=0.0,
            max=50.0,
            help="Pictures across splits count as the same up to this difference in grey levels (root mean square, of "
            "255); 0 compares bytes alone.",
        ),
    ] = NEAR,
    images: Annotated[int | None, typer.Option(min=1, help="Drawings to look at (drawn only).")] = None,
    threads: Annotated[int | None, typer.Option(min=1, help="Decoding threads; default: one a core.")] = None,
    show_all: Annotated[bool, typer.Option("--all", help="List every problem, not ten of a kind.")] = False,
    as_json: Json = False,
) -> None:
    """Look at a data set before training: classes and splits, unreadable images, bad boxes, leaks across splits.

    Every image is decoded. Exit code 0: nothing found; 3: problems, each listed with path and reason; 1: not readable as
    this kind of data set.
    """
    from training.datasets.scan import scan as look
    from training.datasets.sources import read_source

    if source not in get_args(SourceName):
        raise ConfigurationError(f"no source {source!r}; there are: {', '.join(get_args(SourceName))}")
    config = DataConfig(
        source=source,  # type: ignore[arg-type]
        folder=None if folder is None else str(folder),
        images_folder=None if images_folder is None else str(images_folder),
        drawn_images=images or DataConfig().drawn_images,
    )
    CONSOLE.print(f"reading {source}", highlight=False)
    data = read_source(config)
    with _progress(len(data.records)) as on_progress:
        found = look(data, near=near, threads=threads, on_progress=on_progress)
    if as_json:
        _print_lines(found)
    else:
        _print_tables(found, show_all=show_all)
    if found.problems:
        raise typer.Exit(PROBLEMS_FOUND)


@contextmanager
def _progress(images: int) -> Iterator[Callable[[int], None]]:
    """A bar on a terminal, silence elsewhere."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, TimeRemainingColumn(), console=CONSOLE, disable=not CONSOLE.is_terminal) as bars:
        task = bars.add_task("looking at images", total=images)
        yield lambda count: bars.advance(task, count)


def _print_lines(found: Scan) -> None:
    """A line a count and a problem, then one that sums up."""
    for count in found.counts:
        typer.echo(json.dumps({"count": asdict(count)}))
    for problem in found.problems:
        typer.echo(json.dumps({"problem": asdict(problem)}))
    kinds = Counter(problem.kind.value for problem in found.problems)
    typer.echo(json.dumps({"images": found.images, "problems": kinds}))


def _print_tables(found: Scan, *, show_all: bool) -> None:
    splits = list(dict.fromkeys(count.split for count in found.counts))
    images = {(count.split, count.label): count.images for count in found.counts}
    table = Table("class", title=f"{found.images:,} images")
    for split in splits:
        table.add_column(split, justify="right")
    for label in dict.fromkeys(count.label for count in found.counts):
        cells = [f"{images.get((split, label), 0):,}" for split in splits]
        table.add_row("(no category)" if label is None else label, *cells)
    table.add_section()
    totals = [sum(count.images for count in found.counts if count.split == split) for split in splits]
    table.add_row("all", *(f"{total:,}" for total in totals))
    Console().print(table)
    shown: Counter[str] = Counter()
    for problem in found.problems:
        shown[problem.kind] += 1
        if show_all or shown[problem.kind] <= _SHOWN:
            other = "" if problem.other is None else f" -> {problem.other}"
            typer.echo(f"{problem.kind.value}: {problem.path}: {problem.reason}{other}")
    for kind, count in shown.items():
        if count > _SHOWN and not show_all:
            typer.echo(f"{kind}: {count - _SHOWN:,} more; --all lists them")
    CONSOLE.print(f"{len(found.problems):,} problems" if found.problems else "no problem found", highlight=False)
