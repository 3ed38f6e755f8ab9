"""A search on an engine that ranks by similarity and filters, but neither groups nor diversifies as the port asks.

Qdrant Edge and qdrant-client answer with records of the same attributes, so both come here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from schemas.collection import VECTOR_NAME
from schemas.payload import Payload, PointRecord
from schemas.query import Scored, Search
from workers.adapters.vector_index.nearest import choose, is_plain
from workers.adapters.vector_index.rerank import Candidate


class RankedQuery(Protocol):
    """The engine's own ranking, with filter, threshold and exclusions of the request applied."""

    def __call__(self, *, limit: int, offset: int, fields: bool | list[str], vectors: bool) -> Sequence[Any]:
        """Engine records (id, score, payload, vector), best first, with the named payload fields (or all, or none)."""
        ...


Retrieve = Callable[[Sequence[str]], Sequence[PointRecord]]
"""The points that exist among the ids, with vectors where the request wants them."""


def ranked_search(request: Search, query: RankedQuery, retrieve: Retrieve) -> list[Scored]:
    """Hits of the request.

    Choosing needs no payload but the group's field, so only the chosen points are read whole.
    """
    if is_plain(request):
        found = query(limit=request.limit, offset=request.offset, fields=True, vectors=request.with_vectors)
        return [scored(hit) for hit in found]
    group_by = request.group_by

    def fetch(count: int) -> Sequence[Candidate]:
        fields = False if group_by is None else [group_by]
        return [
            Candidate(
                id=str(hit.id),
                score=_cosine(hit),
                group=(hit.payload or {}).get(group_by) if group_by is not None else None,
                vector=_vector(hit.vector),
            )
            for hit in query(limit=count, offset=0, fields=fields, vectors=request.diversity > 0.0)
        ]

    chosen = choose(request, fetch)
    records = {record.id: record for record in retrieve([hit.id for hit in chosen])}
    return [
        Scored(id=hit.id, score=hit.score, payload=records[hit.id].payload, vector=records[hit.id].vector)
        for hit in chosen
        if hit.id in records  # deleted since it was found
    ]


def scored(hit: Any) -> Scored:
    """An engine's hit, with its whole payload, as the port's value."""
    return Scored(
        id=str(hit.id), score=_cosine(hit), payload=Payload.from_json(hit.payload or {}), vector=_vector(hit.vector)
    )


def point_record(record: Any) -> PointRecord:
    """An engine's record as the port's value."""
    return PointRecord(
        id=str(record.id), payload=Payload.from_json(record.payload or {}), vector=_vector(record.vector)
    )


def _vector(vectors: Any) -> NDArray[np.float32] | None:
    return np.asarray(vectors[VECTOR_NAME], dtype=np.float32) if vectors else None


def _cosine(hit: Any) -> float:
    return min(1.0, max(-1.0, float(hit.score)))
