"""The filter language of the port in Qdrant Edge's terms."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import qdrant_edge as edge

from schemas.query import AnyOf, Condition, Filter, FilterValue, Missing, NoneOf, Range


def edge_filter(where: Filter | None, excluded_ids: Sequence[str] = ()) -> Any:
    """A Qdrant Edge filter, or None where nothing is asked."""
    must: list[Any] = []
    must_not: list[Any] = []
    for condition in where.conditions if where else ():
        _add(condition, must, must_not)
    if excluded_ids:
        must_not.append(edge.HasIdCondition(set(excluded_ids)))
    if not must and not must_not:
        return None
    return edge.Filter(must=must or None, must_not=must_not or None)


def _add(condition: Condition, must: list[Any], must_not: list[Any]) -> None:
    match condition:
        case AnyOf(field=field, values=values):
            must.append(_holds_any(field, values))
        case NoneOf(field=field, values=values):
            if values:
                must_not.append(_holds_any(field, values))
        case Range(field=field, minimum=low, maximum=high):
            must.append(edge.FieldCondition(field, range=edge.RangeFloat(gte=low, lte=high)))
        case Missing(field=field):
            must.append(edge.IsEmptyCondition(field))


def _holds_any(field: str, values: Sequence[FilterValue]) -> Any:
    """One condition that any of the values satisfies; kinds are asked for apart, as `MatchAny` takes only one."""
    texts = [value for value in values if isinstance(value, str)]
    booleans = {value for value in values if isinstance(value, bool)}
    integers = [value for value in values if isinstance(value, int) and not isinstance(value, bool)]
    # numpy's boolean: the binding takes Python's for the integers 0 and 1
    matches: list[Any] = [edge.MatchValue(np.bool_(value)) for value in booleans]  # type: ignore[arg-type]
    matches += [edge.MatchAny(group) for group in (texts, integers) if group]
    if not matches:
        return edge.FieldCondition(field, match=edge.MatchAny([]))
    conditions: list[Any] = [edge.FieldCondition(field, match=match) for match in matches]
    return conditions[0] if len(conditions) == 1 else edge.Filter(should=conditions)
