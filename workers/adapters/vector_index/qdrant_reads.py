"""Reading a collection on a Qdrant server: retrieve, count, facet, scroll and search."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from qdrant_client import models

from schemas.collection import PAYLOAD_INDEXES, VECTOR_NAME, CollectionSpec
from schemas.payload import PointRecord
from schemas.query import FacetCount, Filter, Scored, Search
from workers.adapters.vector_index.facets import ordered
from workers.adapters.vector_index.nearest import pool_size
from workers.adapters.vector_index.qdrant_connection import Connection
from workers.adapters.vector_index.qdrant_filters import missing, narrowed, qdrant_filter
from workers.adapters.vector_index.qdrant_layout import MAX_QUERY_LIMIT, search_parameters
from workers.adapters.vector_index.ranked_search import point_record, ranked_search, scored
from workers.adapters.vector_index.rerank import Candidate, diverse

_PAGE: Final = 1_000
"""Points of one answer when many are read."""
_GROUPED_BY_SERVER: Final = frozenset(i.field for i in PAYLOAD_INDEXES if i.kind == "keyword") - {"attributes"}
"""Fields of one text. Of a list the server puts a point into a group for every element; of booleans it makes none."""


def retrieve(connection: Connection, collection: str, ids: Sequence[str], *, with_vectors: bool) -> list[PointRecord]:
    """The points that exist among `ids`."""
    unique = list(dict.fromkeys(ids))
    found: list[PointRecord] = []
    for start in range(0, len(unique), _PAGE):
        part = unique[start : start + _PAGE]
        records = connection.call(
            f"reading from {collection}",
            partial(connection.client.retrieve, collection, part, with_payload=True, with_vectors=with_vectors),
        )
        found += [point_record(record) for record in records]
    return found


def count(connection: Connection, spec: CollectionSpec, where: Filter | None) -> int:
    """Exact number of points that match."""
    condition = qdrant_filter(where, spec)
    return connection.call(
        f"counting in {spec.name}",
        lambda: connection.client.count(spec.name, count_filter=condition, exact=True, timeout=connection.timeout_s),
    ).count


def facet(
    connection: Connection, spec: CollectionSpec, field: str, where: Filter | None, limit: int
) -> list[FacetCount]:
    """Values with their number of points, exactly."""
    condition = qdrant_filter(where, spec)
    hits = connection.call(
        f"counting {field} in {spec.name}",
        lambda: connection.client.facet(
            spec.name, field, facet_filter=condition, limit=limit, exact=True, timeout=connection.timeout_s
        ),
    ).hits
    return ordered((FacetCount(value=hit.value, count=hit.count) for hit in hits if hit.count), limit)


def scroll(
    connection: Connection, spec: CollectionSpec, where: Filter | None, after: str | None, limit: int
) -> list[PointRecord]:
    """Points in id order behind `after`."""
    condition = qdrant_filter(where, spec)
    records, _ = connection.call(
        f"scrolling {spec.name}",
        lambda: connection.client.scroll(
            spec.name,
            scroll_filter=condition,
            limit=limit + 1,  # the server begins with `after` itself
            offset=after,
            with_payload=True,
            timeout=connection.timeout_s,
        ),
    )
    return [point_record(record) for record in records if str(record.id) != after][:limit]


def search(connection: Connection, spec: CollectionSpec, request: Search, vector: NDArray[np.float32]) -> list[Scored]:
    """Nearest points; see `VectorIndex.search`. The server groups and diversifies where it means the same as the port."""
    asking = _Asking(connection, spec, request, vector)
    if request.group_by in _GROUPED_BY_SERVER:
        return asking.grouped()
    if request.diversity and request.group_by is None and request.score_threshold is None:
        return asking.diverse()
    return ranked_search(
        request, asking.ranked, partial(retrieve, connection, spec.name, with_vectors=request.with_vectors)
    )


class _Asking:
    """One search, in the requests it takes."""

    def __init__(
        self, connection: Connection, spec: CollectionSpec, request: Search, vector: NDArray[np.float32]
    ) -> None:
        self._connection = connection
        self._spec = spec
        self._request = request
        self._vector: list[float] = vector.tolist()
        self._filter = qdrant_filter(request.where, spec, request.exclude_ids)
        self._parameters = search_parameters(
            exact=request.exact, conditions=len(request.where.conditions) if request.where else 0
        )

    def ranked(self, *, limit: int, offset: int, fields: bool | list[str], vectors: bool) -> Sequence[Any]:
        """The server's ranking; see `RankedQuery`. In pages, as strict mode bounds an answer."""
        found: list[Any] = []
        while len(found) < limit:
            size = min(limit - len(found), MAX_QUERY_LIMIT)
            page = self._query(
                self._vector, limit=size, offset=offset + len(found), with_payload=fields, with_vectors=vectors
            )
            found += page
            if len(page) < size:
                break
        return found

    def diverse(self) -> list[Scored]:
        """Chosen by the server's maximal marginal relevance, so that no candidate's vector travels."""
        wanted = self._request.offset + self._request.limit
        relevance = models.Mmr(diversity=self._request.diversity, candidates_limit=pool_size(self._request))
        hits = self._query(
            models.NearestQuery(nearest=self._vector, mmr=relevance),
            limit=wanted,
            with_payload=True,
            with_vectors=self._request.with_vectors,
        )
        return [scored(hit) for hit in hits[self._request.offset :]]

    def grouped(self) -> list[Scored]:
        """The best hit of each group by the server's group query, and the points without a group, which it leaves out."""
        request = self._request
        size, vectors = pool_size(request), request.with_vectors or request.diversity > 0.0
        alone = narrowed(self._filter, must=[missing(str(request.group_by))])
        hits = [*self._groups(size, vectors=vectors)]
        hits += self._query(self._vector, limit=size, with_payload=True, with_vectors=vectors, query_filter=alone)
        found = sorted((scored(hit) for hit in hits), key=lambda hit: (-hit.score, hit.id))[:size]
        if request.diversity:
            by_id = {hit.id: hit for hit in found}
            pool = [Candidate(id=hit.id, score=hit.score, vector=hit.vector) for hit in found]
            chosen = diverse(pool, request.offset + request.limit, request.diversity)
            found = [by_id[candidate.id] for candidate in chosen]
        answer = found[request.offset : request.offset + request.limit]
        return answer if request.with_vectors else [_without_vector(hit) for hit in answer]

    def _groups(self, wanted: int, *, vectors: bool) -> list[Any]:
        """The best point of each of the best groups.

        The server looks a few times for groups and answers with those it met; it is asked for the others until it
        has enough or finds none.
        """
        field = str(self._request.group_by)
        best: dict[Any, Any] = {}
        while len(best) < wanted:
            found = models.FieldCondition(key=field, match=models.MatchAny(any=list(best)))
            condition = narrowed(self._filter, must_not=[found]) if best else self._filter
            answer = self._connection.call(
                f"searching {self._spec.name}",
                partial(
                    self._connection.client.query_points_groups,
                    self._spec.name,
                    group_by=field,
                    query=self._vector,
                    using=VECTOR_NAME,
                    query_filter=condition,
                    search_params=self._parameters,
                    limit=wanted - len(best),
                    group_size=1,
                    with_payload=True,
                    with_vectors=vectors,
                    score_threshold=self._request.score_threshold,
                    timeout=self._connection.timeout_s,
                ),
            )
            fresh = {group.id: group.hits[0] for group in answer.groups if group.hits and group.id not in best}
            if not fresh:
                break
            best |= fresh
        return list(best.values())

    def _query(self, query: Any, *, limit: int, offset: int | None = None, **arguments: Any) -> list[Any]:
        arguments.setdefault("query_filter", self._filter)
        return self._connection.call(
            f"searching {self._spec.name}",
            lambda: self._connection.client.query_points(
                self._spec.name,
                query=query,
                using=VECTOR_NAME,
                search_params=self._parameters,
                limit=limit,
                offset=offset or None,
                score_threshold=self._request.score_threshold,
                timeout=self._connection.timeout_s,
                **arguments,
            ),
        ).points


def _without_vector(hit: Scored) -> Scored:
    return Scored(id=hit.id, score=hit.score, payload=hit.payload)
