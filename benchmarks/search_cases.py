"""The kinds of query that are measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.clustered import BRANDS, COLOURS
from schemas.payload import Point
from schemas.query import AnyOf, Filter, Range


@dataclass(frozen=True, kw_only=True, slots=True)
class Case:
    """A kind of query."""

    name: str
    where: Filter | None = None


def make_cases(points: Sequence[Point]) -> tuple[Case, ...]:
    """Filters passing 50, 5 and 0.5 % of the points, each by a text, boolean or number; then what is asked for besides."""
    prices = np.array([point.payload.price for point in points], dtype=float)
    middle = float(np.median(prices))
    top = float(np.quantile(prices, 0.95))
    in_stock = AnyOf(field="in_stock", values=(True,))
    return (
        Case(name="vector alone"),
        Case(name="50 % (in stock)", where=Filter(conditions=(in_stock,))),
        Case(name="50 % (price below)", where=Filter(conditions=(Range(field="price", maximum=middle),))),
        Case(name="5 % (a colour)", where=Filter(conditions=(AnyOf(field="colour", values=(COLOURS[3],)),))),
        Case(name="5 % (price above)", where=Filter(conditions=(Range(field="price", minimum=top),))),
        Case(name="0.5 % (a brand)", where=Filter(conditions=(AnyOf(field="brand", values=(BRANDS[7],)),))),
        Case(name="25 % (in stock, price)", where=Filter(conditions=(in_stock, Range(field="price", maximum=middle)))),
    )
