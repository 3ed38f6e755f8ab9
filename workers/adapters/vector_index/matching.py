"""What a filter means, over a payload as plain JSON: the reference that engines are held against."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from schemas.query import AnyOf, Condition, Filter, FilterValue, Missing, NoneOf, Range


def matches(where: Filter | None, payload: Mapping[str, Any]) -> bool:
    """Whether all conditions hold; no filter always does."""
    return where is None or all(_holds(condition, payload.get(condition.field)) for condition in where.conditions)


def typed(value: object) -> tuple[str, object]:
    """The value with its JSON kind, so that true is not 1 and 1 is not 1.0."""
    return type(value).__name__, value


def elements(value: object) -> list[Any]:
    """A list's elements, a scalar as one element, nothing for an absent or null value."""
    found = value if isinstance(value, list | tuple) else [value]
    return [item for item in found if item is not None]


def _holds(condition: Condition, value: object) -> bool:
    held = elements(value)
    match condition:
        case AnyOf(values=values):
            return _shares(held, values)
        case NoneOf(values=values):
            return not _shares(held, values)
        case Range(minimum=low, maximum=high):
            numbers = [item for item in held if isinstance(item, int | float) and not isinstance(item, bool)]
            return any((low is None or item >= low) and (high is None or item <= high) for item in numbers)
        case Missing():
            return not held


def _shares(held: list[Any], values: tuple[FilterValue, ...]) -> bool:
    wanted = {typed(value) for value in values}
    return any(typed(item) in wanted for item in held)
