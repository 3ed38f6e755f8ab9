"""Reading a collection on Qdrant Edge: retrieve, count, facet, scroll and search."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, Final

import numpy as np
import qdrant_edge as edge
from numpy.typing import NDArray

from schemas.collection import VECTOR_NAME
from schemas.payload import PointRecord
from schemas.query import FacetCount, Filter, Scored, Search
from workers.adapters.vector_index.edge_collection import EdgeCollection
from workers.adapters.vector_index.edge_filters import edge_filter
from workers.adapters.vector_index.facets import ordered
from workers.adapters.vector_index.ranked_search import point_record, ranked_search

_PAGE: Final = 256
"""Points read in one engine call, which holds the interpreter lock: a few milliseconds."""
_ACORN_BELOW: Final = 0.45
"""Share of points passing a filter under which the graph is walked by ACORN, which looks past points that fail; it takes
twice as long as the plain walk of `_PLAIN_CANDIDATES`. Recall@10 of the two, on 100,000 x 512 from `benchmarks.clustered`:
0.998 and 0.992 where 25 % pass, 1.000 and 0.998 where a half does. On other vectors the plain walk of 100 candidates
found 0.81 where 25 % passed, 0.95 where 35 % did and 0.995 where a half did, so the change comes between."""
_ACORN_CANDIDATES: Final = 64
_PLAIN_CANDIDATES: Final = 200
"""Points kept while the graph is walked under a filter (`ef`; without one it is Qdrant's own 100). On 20,000 x 128 in
2,000 weak clusters, 40 to 70 % passing: the plain walk finds 0.973 to 0.981 with 100 and 0.996 to 0.998 with 200, for 0.1
to 0.3 ms more; ACORN finds 0.996 to 0.999 with 64 and 0.999 to 1.000 with 100, for a third to a half more time."""
_RESCORED: Final = edge.QuantizationSearchParams(rescore=True, oversampling=3.0)
"""The graph holds an int8 copy of the vectors beside them: the walk by it takes half the time, and of three times as many
candidates as are wanted the vectors themselves choose. Collections whose graph has no such copy are not affected."""
_ALL_VALUES: Final = 100_000
"""Facet values asked of the engine, which breaks ties at its limit as it likes; the exact order is made here."""


def retrieve(collection: EdgeCollection, ids: Sequence[str], *, with_vectors: bool) -> list[PointRecord]:
    """The points that exist among `ids`."""
    unique = list(dict.fromkeys(ids))
    found: list[PointRecord] = []
    for start in range(0, len(unique), _PAGE):
        page = partial(_retrieve_page, ids=unique[start : start + _PAGE], with_vectors=with_vectors)
        found += [point_record(record) for record in collection.read(page)]
    return found


def count(collection: EdgeCollection, where: Filter | None) -> int:
    """Exact number of points that match."""
    request = edge.CountRequest(exact=True, filter=edge_filter(where))
    return int(collection.read(lambda engine: engine.count(request)))


def facet(collection: EdgeCollection, field: str, where: Filter | None, limit: int) -> list[FacetCount]:
    """Values with their number of points, exactly."""
    request = edge.FacetRequest(field, _ALL_VALUES, True, edge_filter(where))
    hits = collection.read(lambda engine: engine.facet(request)).hits
    # the engine goes on naming values whose last point is gone
    return ordered((FacetCount(value=hit.value, count=hit.count) for hit in hits if hit.count), limit)


def scroll(collection: EdgeCollection, where: Filter | None, after: str | None, limit: int) -> list[PointRecord]:
    """Points in id order behind `after`, read page by page so that others get in between."""
    condition = edge_filter(where)
    found: list[PointRecord] = []
    offset: Any = after
    while True:
        request = edge.ScrollRequest(
            offset=offset,
            limit=min(_PAGE, limit - len(found)) + 1,
            filter=condition,
            with_payload=True,
            with_vector=False,
        )
        records, offset = collection.read(partial(_scroll_page, request=request))
        found += [point_record(record) for record in records if str(record.id) != after]
        if offset is None or len(found) >= limit:
            return found[:limit]


def search(collection: EdgeCollection, request: Search, vector: NDArray[np.float32]) -> list[Scored]:
    """Nearest points; see `VectorIndex.search`."""
    nearest = edge.Query.Nearest(vector.tolist(), using=VECTOR_NAME)
    condition = edge_filter(request.where, request.exclude_ids)
    parameters = edge.SearchParams(exact=True)
    if not request.exact:
        parameters = (
            edge.SearchParams(quantization=_RESCORED)
            if condition is None
            else collection.read(partial(_walk, condition=condition))
        )

    def query(*, limit: int, offset: int, fields: bool | list[str], vectors: bool) -> Sequence[Any]:
        asked = edge.QueryRequest(
            limit=limit,
            offset=offset,
            query=nearest,
            filter=condition,
            score_threshold=request.score_threshold,
            params=parameters,
            with_payload=fields,
            with_vector=vectors,
        )
        found: Sequence[Any] = collection.read(lambda engine: engine.query(asked))
        return found

    return ranked_search(request, query, partial(retrieve, collection, with_vectors=request.with_vectors))


def _walk(engine: Any, condition: Any) -> Any:
    """How to walk the graph under a filter, by the share of points that the payload indexes expect to pass it."""
    passing = engine.count(edge.CountRequest(exact=False, filter=condition))
    if passing >= _ACORN_BELOW * engine.info().points_count:
        return edge.SearchParams(hnsw_ef=_PLAIN_CANDIDATES, quantization=_RESCORED)
    acorn = edge.AcornSearchParams(enable=True, max_selectivity=1.0)  # the share is judged here
    return edge.SearchParams(hnsw_ef=_ACORN_CANDIDATES, acorn=acorn, quantization=_RESCORED)


def _retrieve_page(engine: Any, ids: Sequence[str], with_vectors: bool) -> Sequence[Any]:
    found: Sequence[Any] = engine.retrieve([*ids], True, with_vectors)
    return found


def _scroll_page(engine: Any, request: Any) -> tuple[Sequence[Any], Any]:
    page: tuple[Sequence[Any], Any] = engine.scroll(request)
    return page
