"""The filter language of the port in qdrant-client's terms, within strict mode: every condition suits its field's index."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from qdrant_client import models

from schemas.collection import CollectionSpec, FieldKind
from schemas.query import AnyOf, Condition, Filter, FilterValue, Missing, NoneOf, Range

_NOTHING: Final = models.HasIdCondition(has_id=[])
"""No point is among no ids. Needs no index, whatever the field."""
_TYPES: Final[dict[FieldKind, type]] = {"keyword": str, "integer": int, "bool": bool}
"""Values that an index can hold. Strict mode refuses to look for others, which no point has anyway."""


def qdrant_filter(where: Filter | None, spec: CollectionSpec, excluded_ids: Sequence[str] = ()) -> models.Filter | None:
    """A Qdrant filter, or None where nothing is asked. `where` was judged by `validation.check_filter` with the spec."""
    kinds = {index.field: index.kind for index in spec.indexes}
    must: list[models.Condition] = []
    must_not: list[models.Condition] = []
    for condition in where.conditions if where else ():
        _add(condition, kinds[condition.field], must, must_not)
    if excluded_ids:
        must_not.append(models.HasIdCondition(has_id=list(excluded_ids)))
    return models.Filter(must=must or None, must_not=must_not or None) if must or must_not else None


def narrowed(
    base: models.Filter | None,
    *,
    must: Sequence[models.Condition] = (),
    must_not: Sequence[models.Condition] = (),
) -> models.Filter:
    """The filter with more conditions."""
    return models.Filter(
        must=[*_listed(base.must if base else None), *must] or None,
        must_not=[*_listed(base.must_not if base else None), *must_not] or None,
    )


def version_at_most(version: int, ids: Sequence[str] = ()) -> models.Filter:
    """Points (among `ids`, if any) whose version is not higher: the guard of every write.

    Bounds travel as floating point, exact up to 2^53; versions are counted up from 1.
    """
    return _guarded(models.Range(lte=version), ids)


def version_is(version: int, ids: Sequence[str]) -> models.Filter:
    """Points among `ids` whose version is still the one that was read."""
    return _guarded(models.Range(gte=version, lte=version), ids)


def missing(field: str) -> models.Condition:
    """The field is absent, null or an empty list."""
    return models.IsEmptyCondition(is_empty=models.PayloadField(key=field))


def _guarded(versions: models.Range, ids: Sequence[str]) -> models.Filter:
    conditions: list[models.Condition] = [models.FieldCondition(key="version", range=versions)]
    if ids:
        conditions.append(models.HasIdCondition(has_id=list(ids)))
    return models.Filter(must=conditions)


def _add(condition: Condition, kind: FieldKind, must: list[models.Condition], must_not: list[models.Condition]) -> None:
    match condition:
        case AnyOf(field=field, values=values):
            must.append(_holds_any(field, kind, values) or _NOTHING)
        case NoneOf(field=field, values=values):
            if unwanted := _holds_any(field, kind, values):
                must_not.append(unwanted)
        case Range(field=field, minimum=low, maximum=high):
            if kind not in ("integer", "float"):
                must.append(_NOTHING)
            elif low is None and high is None:
                must_not.append(missing(field))
            else:
                must.append(models.FieldCondition(key=field, range=models.Range(gte=low, lte=high)))
        case Missing(field=field):
            must.append(missing(field))


def _holds_any(field: str, kind: FieldKind, values: Sequence[FilterValue]) -> models.Condition | None:
    """A condition that any of the values satisfies; None where the field's index can hold none of them."""
    suitable = [value for value in values if type(value) is _TYPES.get(kind)]
    if not suitable:
        return None
    if kind == "bool":  # `MatchAny` takes no booleans
        conditions: list[models.Condition] = [
            models.FieldCondition(key=field, match=models.MatchValue(value=value)) for value in sorted(set(suitable))
        ]
        return conditions[0] if len(conditions) == 1 else models.Filter(should=conditions)
    return models.FieldCondition(key=field, match=models.MatchAny(any=suitable))


def _listed(conditions: object) -> list[models.Condition]:
    if conditions is None:
        return []
    return list(conditions) if isinstance(conditions, list) else [conditions]  # type: ignore[list-item]
