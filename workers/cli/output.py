"""What commands print: results on stdout (tables for people, JSON lines for programs), everything else on stderr."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import orjson
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from workers.readable import readable

_JSON = orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_APPEND_NEWLINE


WIDE = 200
"""Columns of a table that goes to a file or a pipe, where nothing need be wrapped."""


class Output:
    """One command's two streams."""

    def __init__(self, *, json: bool) -> None:
        """`json`: one object a line on stdout instead of tables."""
        self.json = json
        self.out = Console(file=sys.stdout, highlight=False, width=None if sys.stdout.isatty() else WIDE)
        self.err = Console(file=sys.stderr, highlight=False, soft_wrap=not sys.stderr.isatty())

    def emit(self, value: Mapping[str, Any]) -> None:
        """One JSON object on a line of its own, written at once so that a reader sees it while work goes on."""
        try:
            line = orjson.dumps(value, option=_JSON)
        except TypeError:  # a file's name that is no text
            line = orjson.dumps(_readable_json(value), option=_JSON)
        sys.stdout.buffer.write(line)
        sys.stdout.buffer.flush()

    def say(self, text: str, *, style: str | None = None) -> None:
        """A line for people; silent under --json."""
        if not self.json:
            self.out.print(escape(readable(text)), style=style)

    def note(self, text: str, *, style: str | None = None) -> None:
        """A line about the run itself, on stderr."""
        self.err.print(escape(readable(text)), style=style)

    def table(self, columns: Sequence[str], rows: Iterable[Sequence[object]], *, title: str | None = None) -> None:
        """A table for people; columns whose name begins with `#` hold numbers, columns without any value are left out."""
        values = list(rows)
        used = [place for place in range(len(columns)) if any(row[place] is not None for row in values)]
        table = Table(
            title=title, title_justify="left", box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0)
        )
        for column in (columns[place] for place in used):
            number = column.startswith("#")
            table.add_column(
                column.removeprefix("#"), justify="right" if number else "left", overflow="fold", no_wrap=number
            )
        for row in values:
            table.add_row(*(escape(readable(_cell(row[place]))) for place in used))
        self.out.print(table)


def _readable_json(value: object) -> object:
    if isinstance(value, str):
        return readable(value)
    if isinstance(value, Mapping):
        return {readable(str(key)): _readable_json(below) for key, below in value.items()}
    return [_readable_json(below) for below in value] if isinstance(value, (list, tuple)) else value


def _cell(value: object) -> str:
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:,.2f}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def size(count: int) -> str:
    """Bytes for people: 1024 is the step."""
    value = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < 1024 or unit == "GiB":
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    raise AssertionError("the last unit always fits")


def duration(seconds: float) -> str:
    """Seconds for people: 0.4 s, 12 s, 3 min 20 s, 2 h 5 min."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
