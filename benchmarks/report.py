"""Figures of interleaved runs as text and JSON: median, spread, ratios."""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.machine import describe


def median(values: Sequence[float]) -> float:
    """The middle value."""
    return float(statistics.median(values))


def spread(values: Sequence[float]) -> str:
    """Lowest and highest value."""
    return f"{min(values):,.1f} to {max(values):,.1f}"


def show_machine(console: Console) -> None:
    """One line on what was measured on."""
    console.print(", ".join(f"{name} {value}" for name, value in describe().items()), style="dim", highlight=False)


def show_table(console: Console, title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """A table; every column but the first is aligned to the right."""
    table = Table(title=title, title_justify="left", title_style="bold")
    for number, column in enumerate(columns):
        table.add_column(column, justify="right" if number else "left")
    for row in rows:
        table.add_row(*(f"{cell:,.1f}" if isinstance(cell, float) else str(cell) for cell in row))
    console.print(table)


def write_json(path: Path | None, result: Mapping[str, Any]) -> None:
    """The same figures for programs, with the machine."""
    if path is not None:
        path.write_text(json.dumps({"machine": describe(), **result}, indent=2) + "\n", encoding="utf-8")
