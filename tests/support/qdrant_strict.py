"""The rules of Qdrant's strict mode that a stand-in over local mode has to add: that mode ignores payload indexes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from qdrant_client import models

HELP = "Help: see the collection's strict mode"
ANY_INDEX = frozenset({"keyword", "integer", "float", "bool", "datetime"})


class RefusedError(ValueError):
    """Strict mode refuses the request; the server answers 400."""


def check_filter(given: models.Filter | None, schema: dict[str, Any], strict: models.StrictModeConfig | None) -> None:
    """Every condition needs an index that serves it, and filters have a largest size."""
    if given is None or strict is None or not strict.enabled:
        return
    conditions = list(_conditions(given))
    if strict.filter_max_conditions is not None and len(conditions) > strict.filter_max_conditions:
        raise RefusedError(f"Filter condition limit reached ({len(conditions)}). {HELP}")
    for condition in conditions:
        if strict.condition_max_size is not None and _size(condition) > strict.condition_max_size:
            raise RefusedError(f"Condition size limit reached ({_size(condition)}). {HELP}")
        key, wanted = _needed(condition)
        if wanted and not wanted & _offered(schema.get(key)):
            raise RefusedError(f'Index required but not found for "{key}" of types {sorted(wanted)}. {HELP}')


def check_group(field: str, schema: dict[str, Any], strict: models.StrictModeConfig | None) -> None:
    """Grouping needs an index that serves matches."""
    if strict is not None and strict.enabled and not _offered(schema.get(field)) & {"keyword", "integer", "bool"}:
        raise RefusedError(f'Index required but not found for "{field}". {HELP}')


def check_limits(strict: models.StrictModeConfig | None, **asked: float | None) -> None:
    """Numbers asked for, by the name of strict mode's bound on them."""
    for name, value in asked.items():
        bound = getattr(strict, name) if strict is not None and strict.enabled else None
        if bound is not None and value is not None and value > bound:
            raise RefusedError(f'Limit exceeded {value} > {bound} for "{name}". {HELP}')


def check_search(strict: models.StrictModeConfig | None, parameters: models.SearchParams | None) -> None:
    if strict is None or parameters is None:
        return
    if strict.search_allow_exact is False and parameters.exact:
        raise RefusedError(f"Exact search disabled! {HELP}")
    quantisation = parameters.quantization
    check_limits(
        strict,
        search_max_hnsw_ef=parameters.hnsw_ef,
        search_max_oversampling=quantisation.oversampling if quantisation else None,
    )


def _conditions(given: models.Filter) -> Iterator[Any]:
    for part in (given.must, given.must_not, given.should):
        listed = part if isinstance(part, list) else [part] if part is not None else []
        for condition in listed:
            if isinstance(condition, models.Filter):
                yield from _conditions(condition)
            else:
                yield condition


def _size(condition: Any) -> int:
    if isinstance(condition, models.HasIdCondition):
        return len(condition.has_id)
    match = getattr(condition, "match", None)
    return len(match.any) if isinstance(match, models.MatchAny) else 1


def _needed(condition: Any) -> tuple[str, frozenset[str]]:
    """A condition's field and the index capabilities that serve it, one of which must be there."""
    if isinstance(condition, models.IsEmptyCondition):
        return condition.is_empty.key, ANY_INDEX
    if not isinstance(condition, models.FieldCondition):
        return "", frozenset()
    if condition.range is not None:
        return condition.key, frozenset({"float", "range"})
    match condition.match:
        case models.MatchValue(value=value):
            values = [value]
        case models.MatchAny(any=any_of):
            values = list(any_of)
        case _:
            raise RefusedError(f"the stand-in does not know the condition {condition!r}")
    kinds = {bool: "bool", int: "lookup", str: "keyword"}
    return condition.key, frozenset(kinds[type(value)] for value in values[:1])


def _offered(index: Any) -> frozenset[str]:
    """What a field's index can do. Integer indexes sent as an object can do only what is said."""
    if index is None:
        return frozenset()
    if isinstance(index, str):
        return frozenset({index, "lookup", "range"} if index == "integer" else {index})
    able = {index["type"]}
    if index["type"] == "integer":
        able |= {name for name in ("lookup", "range") if index.get(name)}
    return frozenset(able)
