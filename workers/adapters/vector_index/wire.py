"""The port's values as JSON objects and float32 blocks, both ways.

Decoding judges the shape only, the index judges the values. Decoders raise KeyError, TypeError or ValueError for what
is no such value; `owner_calls` turns that into a ContractError.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from schemas.collection import CollectionInfo
from schemas.payload import Payload, PayloadChange, Point, PointRecord, Tombstone
from schemas.query import AnyOf, Condition, Filter, Missing, NoneOf, Range, Scored, Search
from workers.adapters.vector_index.frames import block_to_vectors, vectors_to_block
from workers.adapters.vector_index.spec_json import spec_from_json, spec_to_json
from workers.adapters.vector_index.validation import Row

Json = dict[str, Any]

# ---------------------------------------------------------------------------------------------------------- filters


def filter_to_json(where: Filter | None) -> list[Json] | None:
    """A list of conditions, or None."""
    return None if where is None else [_condition_to_json(condition) for condition in where.conditions]


def filter_from_json(data: list[Json] | None) -> Filter | None:
    """Inverse of `filter_to_json`."""
    if data is None:
        return None
    return Filter(conditions=tuple(_CONDITIONS[str(item["kind"])](item) for item in data))


def _condition_to_json(condition: Condition) -> Json:
    match condition:
        case AnyOf(field=field, values=values):
            return {"kind": "any_of", "field": field, "values": list(values)}
        case NoneOf(field=field, values=values):
            return {"kind": "none_of", "field": field, "values": list(values)}
        case Range(field=field, minimum=low, maximum=high):
            return {"kind": "range", "field": field, "minimum": low, "maximum": high}
        case Missing(field=field):
            return {"kind": "missing", "field": field}


_CONDITIONS: Final[dict[str, Callable[[Json], Condition]]] = {
    "any_of": lambda data: AnyOf(field=data["field"], values=tuple(data["values"])),
    "none_of": lambda data: NoneOf(field=data["field"], values=tuple(data["values"])),
    "range": lambda data: Range(field=data["field"], minimum=data["minimum"], maximum=data["maximum"]),
    "missing": lambda data: Missing(field=data["field"]),
}

# ----------------------------------------------------------------------------------------------------------- writes


def rows_to_wire(rows: Sequence[Row]) -> tuple[list[Json], bytes]:
    """Checked points."""
    items = [{"id": row.id, "version": row.version, "payload": row.payload} for row in rows]
    return items, vectors_to_block([row.vector for row in rows])


def points_from_wire(items: list[Json], block: bytes) -> list[Point]:
    """Inverse of `rows_to_wire`."""
    if not items:
        return []
    vectors = block_to_vectors(block, len(items))
    return [
        Point(id=item["id"], version=item["version"], vector=vector, payload=Payload.from_json(item["payload"]))
        for item, vector in zip(items, vectors, strict=True)
    ]


def changes_to_json(changes: Sequence[PayloadChange]) -> list[Json]:
    """Payload changes."""
    return [{"id": change.id, "version": change.version, "fields": dict(change.fields)} for change in changes]


def changes_from_json(data: list[Json]) -> list[PayloadChange]:
    """Inverse of `changes_to_json`."""
    return [PayloadChange(id=item["id"], version=item["version"], fields=item["fields"]) for item in data]


def tombstones_to_json(tombstones: Sequence[Tombstone]) -> list[Json]:
    """Orders to delete."""
    return [{"id": tombstone.id, "version": tombstone.version} for tombstone in tombstones]


def tombstones_from_json(data: list[Json]) -> list[Tombstone]:
    """Inverse of `tombstones_to_json`."""
    return [Tombstone(id=item["id"], version=item["version"]) for item in data]


# ------------------------------------------------------------------------------------------------------------ reads


def search_to_wire(request: Search) -> tuple[Json, bytes]:
    """A search, its vector as the block."""
    return {
        "limit": request.limit,
        "offset": request.offset,
        "where": filter_to_json(request.where),
        "score_threshold": request.score_threshold,
        "diversity": request.diversity,
        "pool": request.pool,
        "group_by": request.group_by,
        "exact": request.exact,
        "exclude_ids": list(request.exclude_ids),
        "with_vectors": request.with_vectors,
    }, vectors_to_block([request.vector])


def search_from_wire(data: Json, block: bytes) -> Search:
    """Inverse of `search_to_wire`."""
    return Search(
        vector=block_to_vectors(block, 1)[0],
        limit=data["limit"],
        offset=data["offset"],
        where=filter_from_json(data["where"]),
        score_threshold=data["score_threshold"],
        diversity=data["diversity"],
        pool=data.get("pool"),
        group_by=data["group_by"],
        exact=bool(data["exact"]),
        exclude_ids=tuple(data["exclude_ids"]),
        with_vectors=bool(data["with_vectors"]),
    )


def hits_to_wire(hits: Sequence[Scored]) -> tuple[list[Json], bytes]:
    """Hits of a search, their vectors (of all or of none) as the block."""
    items = [{"id": hit.id, "score": hit.score, "payload": hit.payload.to_json()} for hit in hits]
    return items, vectors_to_block([hit.vector for hit in hits if hit.vector is not None])


def hits_from_wire(items: list[Json], block: bytes) -> list[Scored]:
    """Inverse of `hits_to_wire`."""
    return [
        Scored(id=item["id"], score=item["score"], payload=Payload.from_json(item["payload"]), vector=vector)
        for item, vector in zip(items, _optional_vectors(block, len(items)), strict=True)
    ]


def records_to_wire(records: Sequence[PointRecord]) -> tuple[list[Json], bytes]:
    """Points as read back, their vectors (of all or of none) as the block."""
    items = [{"id": record.id, "payload": record.payload.to_json()} for record in records]
    return items, vectors_to_block([record.vector for record in records if record.vector is not None])


def records_from_wire(items: list[Json], block: bytes) -> list[PointRecord]:
    """Inverse of `records_to_wire`."""
    return [
        PointRecord(id=item["id"], payload=Payload.from_json(item["payload"]), vector=vector)
        for item, vector in zip(items, _optional_vectors(block, len(items)), strict=True)
    ]


def info_to_json(info: CollectionInfo) -> Json:
    """What an engine says of a collection."""
    return {
        "spec": spec_to_json(info.spec),
        "points": info.points,
        "indexed_points": info.indexed_points,
        "bytes_on_disk": info.bytes_on_disk,
    }


def info_from_json(data: Json) -> CollectionInfo:
    """Inverse of `info_to_json`."""
    return CollectionInfo(
        spec=spec_from_json(data["spec"]),
        points=data["points"],
        indexed_points=data["indexed_points"],
        bytes_on_disk=data["bytes_on_disk"],
    )


def _optional_vectors(block: bytes, rows: int) -> Sequence[NDArray[np.float32] | None]:
    return list(block_to_vectors(block, rows)) if block else [None] * rows
