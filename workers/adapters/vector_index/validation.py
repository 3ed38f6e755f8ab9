"""What may be stored and asked, checked before any engine sees it.

An operation that an engine refuses half-way is worse than one never begun: Qdrant Edge keeps it in its write-ahead log
and replays it, a server applies part of a batch. So every value is judged here first, for all implementations alike.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from schemas.collection import CollectionSpec
from schemas.payload import Payload, PayloadChange, Point, Tombstone
from schemas.query import AnyOf, Condition, Filter, Missing, NoneOf, Range, Search
from workers.errors import ContractError, PointsRefusedError

MAX_LIMIT: Final = 10_000
"""Hits or points of one answer: bounds memory and the time an answer blocks others."""
MAX_DIVERSE: Final = 1_000
"""Offset plus limit of a diverse search: maximal marginal relevance compares every hit with every candidate."""
MAX_DIMENSION: Final = 65_536
"""Qdrant's own limit."""

_INT64: Final = range(-(2**63), 2**63)
_COLLECTION: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,199}")
_ALIAS: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}")
_FIELD: Final = re.compile(r"[\w-]{1,64}")
_UUID: Final = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_KEPT: Final = frozenset({"catalog", "key", "version"})
_REQUIRED: Final = frozenset({"etag", "content_digest", "model_digest", "job", "indexed_at"})


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """A point as engines take it: checked, the vector of length 1, the payload plain JSON."""

    id: str
    version: int
    vector: NDArray[np.float32]
    payload: dict[str, Any]


def check_spec(spec: CollectionSpec) -> None:
    """Judge a collection's description.

    Raises:
        ContractError: what is wrong with it.
    """
    if not _COLLECTION.fullmatch(spec.name):
        raise ContractError(f"collection name {spec.name!r}: use at most 200 lower-case letters, digits and hyphens")
    if not 1 <= spec.dimension <= MAX_DIMENSION:
        raise ContractError(f"collection {spec.name}: dimension {spec.dimension} is outside 1..{MAX_DIMENSION}")
    if not spec.model_digest or not spec.catalog:
        raise ContractError(f"collection {spec.name}: catalog and model digest must not be empty")
    names = [index.field for index in spec.indexes]
    for name in names:
        check_field(name)
        if names.count(name) > 1:
            raise ContractError(f"collection {spec.name}: payload field {name!r} is indexed twice")


def check_alias(alias: str) -> None:
    """Judge an alias' name; raises ContractError."""
    if not _ALIAS.fullmatch(alias):
        raise ContractError(f"alias {alias!r}: use at most 200 letters, digits, dots, hyphens and underscores")


@lru_cache(maxsize=1024)  # 24 names of every point, always the same: a quarter of the time it takes to judge one
def check_field(name: str) -> None:
    """Judge a payload field's name, which engines read as a path; raises ContractError."""
    if not _FIELD.fullmatch(name):
        raise ContractError(f"payload field {name!r}: use at most 64 letters, digits, hyphens and underscores")


def check_ids(ids: Iterable[str]) -> None:
    """Judge point ids; raises ContractError for one that is no UUID in its usual spelling."""
    for point_id in ids:
        if not _UUID.fullmatch(point_id):
            raise ContractError(f"point id {point_id!r} is no UUID in lower-case hyphenated form")


def check_limit(limit: int) -> None:
    """Judge the size of an answer; raises ContractError."""
    if not 1 <= limit <= MAX_LIMIT:
        raise ContractError(f"limit {limit} is outside 1..{MAX_LIMIT}")


def check_rows(points: Sequence[Point], dimension: int) -> list[Row]:
    """The points as rows, in their order.

    Raises:
        PointsRefusedError: every point that can never be stored, and why.
    """
    rows: list[Row] = []
    refused: dict[str, str] = {}
    for point in points:
        try:
            rows.append(_checked_row(point, dimension))
        except ContractError as error:
            refused[point.id] = str(error)
    if refused:
        raise PointsRefusedError(refused)
    return rows


def check_changes(changes: Sequence[PayloadChange]) -> None:
    """Judge payload changes.

    Raises:
        PointsRefusedError: every point whose change can never be made, and why.
    """
    refused: dict[str, str] = {}
    for change in changes:
        try:
            _check_change(change)
        except ContractError as error:
            refused[change.id] = str(error)
    if refused:
        raise PointsRefusedError(refused)


def check_tombstones(tombstones: Sequence[Tombstone]) -> None:
    """Judge orders to delete; raises ContractError."""
    check_ids(tombstone.id for tombstone in tombstones)
    for tombstone in tombstones:
        _checked_version(tombstone.version, tombstone.id)


def check_search(request: Search, dimension: int, spec: CollectionSpec | None = None) -> NDArray[np.float32]:
    """Judge a search, with the spec also its filter's indexes; its vector at length 1.

    Raises:
        ContractError: what is wrong with it.
    """
    check_limit(request.limit)
    if not 0 <= request.offset <= MAX_LIMIT:
        raise ContractError(f"offset {request.offset} is outside 0..{MAX_LIMIT}")
    if not 0.0 <= request.diversity <= 1.0:
        raise ContractError(f"diversity {request.diversity} is outside 0..1")
    if request.diversity and request.offset + request.limit > MAX_DIVERSE:
        raise ContractError(f"a diverse search reaches at most {MAX_DIVERSE} hits deep (offset plus limit)")
    if request.pool is not None and not request.offset + request.limit <= request.pool <= MAX_DIVERSE:
        raise ContractError(
            f"a pool of {request.pool} is not between the hits wanted (offset plus limit) and {MAX_DIVERSE}"
        )
    if request.score_threshold is not None and not math.isfinite(request.score_threshold):
        raise ContractError("score_threshold must be a finite number")
    if request.group_by is not None:
        check_field(request.group_by)
    check_ids(request.exclude_ids)
    check_filter(request.where, spec)
    return unit_vector(request.vector, dimension, "query")


def check_filter(where: Filter | None, spec: CollectionSpec | None = None) -> None:
    """Judge a filter, where the collection is known also whether its payload indexes serve it.

    Every engine refuses a field without an index: on a large collection such a filter reads every point's payload.

    Raises:
        ContractError: what is wrong with it.
    """
    kinds = None if spec is None else {index.field: index.kind for index in spec.indexes}
    for condition in where.conditions if where else ():
        _check_condition(condition)
        if kinds is None or spec is None:
            continue
        if condition.field not in kinds:
            raise ContractError(
                f"collection {spec.name}: {condition.field!r} has no payload index, so nothing filters by it"
            )
        if isinstance(condition, AnyOf | NoneOf) and kinds[condition.field] in ("float", "datetime"):
            raise ContractError(f"filter on {condition.field!r}: single values cannot be asked for; ask for a range")


def _check_condition(condition: Condition) -> None:
    check_field(condition.field)
    match condition:
        case AnyOf(values=values) | NoneOf(values=values):
            for value in values:
                if not isinstance(value, str | int):
                    raise ContractError(f"filter on {condition.field!r}: {value!r} is no text, integer or boolean")
                _check_value(value, condition.field, "filter")
        case Range(minimum=low, maximum=high):
            for bound in (low, high):
                if bound is not None and not math.isfinite(bound):
                    raise ContractError(f"filter on {condition.field!r}: a bound is not a finite number; leave it out")
        case Missing():
            pass
        case _:
            raise ContractError(f"unknown filter condition {condition!r}")


def unit_vector(vector: NDArray[np.float32], dimension: int, owner: str) -> NDArray[np.float32]:
    """The vector divided by its length.

    Raises:
        ContractError: wrong shape, a number that is not finite, or length 0; the text begins with `owner`.
    """
    array = np.asarray(vector)
    if array.shape != (dimension,) or array.dtype.kind != "f":
        raise ContractError(
            f"{owner}: the vector is {array.dtype} of shape {array.shape}, the collection holds float32 of ({dimension},)"
        )
    wide = array.astype(np.float64)
    if not np.isfinite(wide).all():
        raise ContractError(f"{owner}: the vector has a number that is not finite")
    length = float(np.linalg.norm(wide))
    if length < 1e-12:
        raise ContractError(f"{owner}: the vector is zero, it has no direction to compare")
    if abs(length - 1.0) < 1e-6:  # float32's own noise: leave such vectors bit for bit as they are
        return np.ascontiguousarray(array, dtype=np.float32)
    return (wide / length).astype(np.float32)


def _checked_row(point: Point, dimension: int) -> Row:
    check_ids((point.id,))
    return Row(
        id=point.id,
        version=_checked_version(point.version, point.id),
        vector=unit_vector(point.vector, dimension, f"point {point.id}"),
        payload=_checked_payload(point),
    )


def _check_change(change: PayloadChange) -> None:
    check_ids((change.id,))
    _checked_version(change.version, change.id)
    for name, value in change.fields.items():
        check_field(name)
        if name in _KEPT:
            raise ContractError(f"point {change.id}: {name!r} cannot be changed as a payload field")
        if value is None and name in _REQUIRED:
            raise ContractError(f"point {change.id}: {name!r} cannot be removed, every point has it")
        _check_value(value, name, change.id)


def _checked_version(version: int, owner: str) -> int:
    if type(version) is not int or version not in _INT64:
        raise ContractError(f"point {owner}: version {version!r} is no 64-bit integer")
    return version


def _checked_payload(point: Point) -> dict[str, Any]:
    if point.payload.version != point.version:
        raise ContractError(
            f"point {point.id}: version {point.version} differs from its payload's {point.payload.version}"
        )
    payload = point.payload.to_json()
    for name, value in payload.items():
        check_field(name)
        _check_value(value, name, point.id)
    if point.payload.extra and (taken := _STANDARD.intersection(point.payload.extra)):
        raise ContractError(f"point {point.id}: extra field {min(taken)!r} has the name of a standard field")
    return payload


_STANDARD: Final = frozenset(Payload.__dataclass_fields__)


def _check_value(value: object, name: str, owner: str) -> None:
    if isinstance(value, list | tuple):
        for item in value:
            if isinstance(item, list | tuple):
                raise ContractError(f"{owner}: field {name!r} holds a list within a list")
            _check_value(item, name, owner)
    elif isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError:
            raise ContractError(f"{owner}: field {name!r} holds text that is no valid Unicode") from None
    elif isinstance(value, bool) or value is None:
        pass
    elif isinstance(value, int):
        if value not in _INT64:
            raise ContractError(f"{owner}: field {name!r} holds an integer beyond 64 bits")
    elif not isinstance(value, float) or not math.isfinite(value):
        raise ContractError(f"{owner}: field {name!r} holds {value!r}, which is no text, finite number or boolean")
