"""What a manifest's cell means: text, price, yes or no. Each reader answers None for an unknown (empty) cell.

A cell is a `str` out of CSV, or whatever pyarrow made of a Parquet value. Readers raise `ValueError` with a phrase that
goes behind the column's name in a report.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any, Final

from schemas.extra_field import ExtraKind
from schemas.payload import JsonValue

Cell = Any
"""A `str` (CSV) or the Python value of a Parquet cell."""

MAX_TEXT_CHARS: Final = 1000
"""Of one field: enough for any title or signed URL; longer text is a description, which no filter can use."""

_INT64: Final = range(-(2**63), 2**63)

UNREADABLE: Final = object()
"""Stands for a Parquet value that cannot become a Python value (broken UTF-8, a date out of range)."""

_PLAIN: Final = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_DECIMAL_COMMA: Final = re.compile(r"[+-]?(\d+|\d{1,3}(\.\d{3})+),\d{1,2}", re.ASCII)
"""19,90 and 1.299,00; but 1,299 may be a thousand or one and a bit, so it is refused."""
_GROUPED: Final = re.compile(r"[+-]?\d{1,3}(,\d{3})+\.\d{1,2}", re.ASCII)
"""1,299.00"""
_FLAGS: Final = {
    **dict.fromkeys(("true", "1", "yes", "y"), True),
    **dict.fromkeys(("false", "0", "no", "n"), False),
}


def shown(value: object) -> str:
    """A value as a report quotes it: on one line and short."""
    text = ascii(value) if isinstance(value, str) and not value.isprintable() else repr(value)
    return text if len(text) <= 60 else f"{text[:40]}...{text[-17:]}"


def text(cell: Cell) -> str | None:
    """Text without the blanks around it. Numbers and dates of Parquet become their usual spelling (1002.0 is "1002").

    Raises:
        ValueError: over 1,000 characters, a NUL byte, or a kind of value that is no text (a list, a struct).
    """
    if cell is None:
        return None
    value = (cell if type(cell) is str else _spelled(cell)).strip()
    if len(value) > MAX_TEXT_CHARS:
        raise ValueError(f"has {len(value):,} characters; at most {MAX_TEXT_CHARS:,} are kept")
    if "\x00" in value:
        raise ValueError("holds a NUL byte")
    return value or None


def price(cell: Cell) -> float | None:
    """A `number` of at least 0.

    Raises:
        ValueError: not a number, ambiguous, negative, NaN or infinite.
    """
    value = number(cell)
    if value is not None and value < 0:
        raise ValueError(f"is {shown(cell)}, below 0")
    return value


def number(cell: Cell) -> float | None:
    """A finite number. Text may have a decimal comma or thousands marks where only one reading is possible.

    Raises:
        ValueError: not a number, ambiguous, NaN or infinite.
    """
    if cell is None or isinstance(cell, (int, float, Decimal)):
        return None if cell is None else _finite(cell)
    spelled = text(cell)
    if spelled is None:
        return None
    if _PLAIN.fullmatch(spelled):
        return _finite(spelled)
    if _DECIMAL_COMMA.fullmatch(spelled):
        return _finite(spelled.replace(".", "").replace(",", "."))
    if _GROUPED.fullmatch(spelled):
        return _finite(spelled.replace(",", ""))
    if spelled.lower().lstrip("+-") in ("nan", "inf", "infinity"):
        raise ValueError(f"is {shown(spelled)}, not a finite number; leave the cell empty where it is unknown")
    raise ValueError(f"is {shown(spelled)}, not a plain number such as 19.90")


def flag(cell: Cell) -> bool | None:
    """true/false, yes/no, y/n or 1/0, in any case.

    Raises:
        ValueError: anything else.
    """
    if cell is None or isinstance(cell, bool):
        return cell
    if isinstance(cell, (int, float, Decimal)):
        if cell in (0, 1):
            return bool(cell)
    else:
        spelled = text(cell)
        if spelled is None:
            return None
        if spelled.lower() in _FLAGS:
            return _FLAGS[spelled.lower()]
    raise ValueError(f"is {shown(cell)}; use true or false, yes or no, 1 or 0")


def extra(cell: Cell) -> JsonValue:
    """A column the catalog declares as text. Parquet's numbers, booleans and lists of text stay what they are.

    A CSV cell stays text even where it looks like a number: a column of sizes ("38", "XL") keeps one type, and an
    article number its leading zeros. Who wants numbers declares `size:number`.

    Raises:
        ValueError: over-long text, a NUL byte, a number that is not finite or beyond 64 bits, or a
            kind of value a payload cannot hold.
    """
    if cell is None or isinstance(cell, bool):
        return cell
    if isinstance(cell, int):
        if cell not in _INT64:
            raise ValueError(f"is {shown(cell)}, an integer beyond 64 bits (signed); store it as text")
        return cell
    if isinstance(cell, (float, Decimal)):
        return _finite(cell)
    if isinstance(cell, list):
        if not all(isinstance(part, str) for part in cell):
            raise ValueError("is a list with something else than text in it")
        parts = [part for part in map(text, cell) if part is not None]
        if sum(map(len, parts)) > MAX_TEXT_CHARS:
            raise ValueError(f"is a list of more than {MAX_TEXT_CHARS:,} characters")
        return parts or None
    return text(cell)


READERS: Final[dict[str, Callable[[Cell], JsonValue]]] = {"price": price, "in_stock": flag}
"""Standard columns that are not text."""
EXTRA_READERS: Final[dict[ExtraKind, Callable[[Cell], JsonValue]]] = {
    ExtraKind.TEXT: extra,
    ExtraKind.NUMBER: number,
    ExtraKind.FLAG: flag,
}
"""Declared columns by what they hold."""


def _spelled(cell: Cell) -> str:
    if isinstance(cell, bool):
        return "true" if cell else "false"
    if isinstance(cell, (float, Decimal)):
        number = _finite(cell)
        return str(int(number)) if number.is_integer() and abs(number) < 2**53 else str(cell)
    if isinstance(cell, (int, str)):
        return str(cell)
    if isinstance(cell, (date, datetime, time)):
        return cell.isoformat()
    if isinstance(cell, bytes):
        try:
            return cell.decode()
        except UnicodeDecodeError:
            raise ValueError("holds bytes that are not UTF-8 text") from None
    if cell is UNREADABLE:
        raise ValueError("cannot be read: broken text, or a date out of range")
    raise ValueError(f"is a {type(cell).__name__}, which no payload field can hold")


def _finite(number: str | float | Decimal) -> float:
    try:
        value = float(number)
    except (OverflowError, ValueError):  # an integer beyond float, a signalling NaN
        value = math.inf
    if not math.isfinite(value):
        raise ValueError(f"is {shown(number)}, not a finite number; leave the cell empty where it is unknown")
    return value + 0.0  # -0.0 becomes 0.0: one value, one digest
