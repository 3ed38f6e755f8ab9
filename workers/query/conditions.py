"""Is what a query filters, groups and counts by there, and of the right kind?

The index would refuse too, in its own words; here the answer names what the catalog has instead.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from schemas.collection import CollectionSpec, FieldKind
from schemas.query import AnyOf, Condition, Missing, NoneOf, Range
from workers.errors import ContractError

COUNTABLE: Final[frozenset[FieldKind]] = frozenset({"keyword", "integer", "bool"})
"""Kinds whose values can be counted, and named one by one in a filter."""
_VALUE: Final[Mapping[FieldKind, tuple[type, str]]] = {
    "keyword": (str, "text"),
    "integer": (int, "whole numbers"),
    "bool": (bool, "true or false"),
}


def field_kinds(spec: CollectionSpec) -> dict[str, FieldKind]:
    """The payload fields that can be filtered, with their kinds."""
    return {index.field: index.kind for index in spec.indexes}


def check_conditions(conditions: Iterable[Condition], spec: CollectionSpec) -> None:
    """Judge a filter.

    Raises:
        ContractError: a field that cannot be filtered (those that can are named), or a value that its kind never holds.
    """
    kinds = field_kinds(spec)
    for condition in conditions:
        kind = kinds.get(condition.field)
        if kind is None:
            raise ContractError(
                f"the catalog {spec.catalog!r} cannot be filtered by {condition.field!r}; it can by {_named(kinds)}; "
                "a manifest column that was kept later joins them with the next reindex"
            )
        _check_kind(condition, kind)


def check_facets(fields: Iterable[str], spec: CollectionSpec) -> None:
    """Judge fields whose values are to be counted.

    Raises:
        ContractError: a field without countable values; those that have them are named.
    """
    countable = {field: kind for field, kind in field_kinds(spec).items() if kind in COUNTABLE}
    for field in fields:
        if field not in countable:
            raise ContractError(
                f"the catalog {spec.catalog!r} cannot count values of {field!r}; it can of {_named(countable)}"
            )


def check_group(field: str | None, spec: CollectionSpec) -> None:
    """Judge a field to group by, as `check_facets` does."""
    countable = {name: kind for name, kind in field_kinds(spec).items() if kind in COUNTABLE}
    if field is not None and field not in countable:
        raise ContractError(f"the catalog {spec.catalog!r} cannot group by {field!r}; it can by {_named(countable)}")


def _check_kind(condition: Condition, kind: FieldKind) -> None:
    field = condition.field
    match condition:
        case AnyOf(values=values) | NoneOf(values=values):
            if kind not in _VALUE:
                raise ContractError(f"{field!r} holds {_holds(kind)}; filter it by a range, not by single values")
            wanted, words = _VALUE[kind]
            for value in values:
                if type(value) is not wanted:
                    raise ContractError(f"{field!r} holds {words}, and {value!r} is none")
        case Range():
            if kind not in ("float", "integer"):
                raise ContractError(f"{field!r} holds {_holds(kind)}, which have no range; filter it by its values")
        case Missing():
            pass


def _holds(kind: FieldKind) -> str:
    return {"float": "numbers", "datetime": "times"}.get(kind) or _VALUE[kind][1]


def _named(kinds: Mapping[str, FieldKind]) -> str:
    return ", ".join(f"{field} ({kind})" for field, kind in kinds.items())
