"""What people search with today, beside the product: each answers ids of the nearest points, filter and payload included."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import qdrant_edge as edge
from numpy.typing import NDArray
from qdrant_client import QdrantClient, models

from benchmarks.clustered import Vectors
from schemas.collection import PAYLOAD_INDEXES, VECTOR_NAME, CollectionSpec
from schemas.payload import Point
from schemas.query import AnyOf, Filter, Range
from workers.adapters.vector_index.edge_filters import edge_filter
from workers.adapters.vector_index.qdrant_filters import qdrant_filter

_BATCH: Final = 1_000

Ask = Callable[[Vectors, Filter | None, int], list[str]]
"""A (D,) query of length 1, a filter, a number of hits: their ids, best first."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Column:
    """One payload field of all points, for comparing without an engine."""

    values: NDArray[Any]

    def passes(self, condition: AnyOf | Range) -> NDArray[np.bool_]:
        """(N,) which points satisfy the condition."""
        if isinstance(condition, AnyOf):
            return np.isin(self.values, np.array(condition.values))
        low = -np.inf if condition.minimum is None else condition.minimum
        high = np.inf if condition.maximum is None else condition.maximum
        return np.asarray((self.values >= low) & (self.values <= high))


class NumpyScan:
    """Every vector compared in this process by one matrix product, filters as boolean columns: exact, nothing stored.

    It has no process to ask, no payload to carry and no write to wait for: the least a search by comparing costs.
    """

    def __init__(self, points: Sequence[Point], fields: Sequence[str]) -> None:
        """`fields`: payload fields that filters may name."""
        self._ids = [point.id for point in points]
        self._payloads = [point.payload for point in points]
        self._vectors = np.stack([point.vector for point in points])
        self._columns = {
            field: Column(values=np.array([getattr(point.payload, field) for point in points])) for field in fields
        }

    def ask(self, vector: Vectors, where: Filter | None, limit: int) -> list[str]:
        """See `Ask`."""
        scores = self._vectors @ vector
        if where is not None:
            scores[~self.passing(where)] = -2.0
        best = np.argpartition(-scores, limit)[:limit]
        best = best[np.argsort(-scores[best])]
        return [self._ids[row] for row in best if scores[row] > -2.0]

    def passing(self, where: Filter) -> NDArray[np.bool_]:
        """(N,) which points satisfy every condition."""
        passed = np.ones(len(self._ids), dtype=bool)
        for condition in where.conditions:
            if not isinstance(condition, AnyOf | Range):
                raise TypeError(f"no column for {condition!r}")
            passed &= self._columns[condition.field].passes(condition)
        return passed


class PlainShard:
    """A Qdrant Edge shard in this process, filled and asked as its quick start does: no optimising, so no HNSW.

    Payload indexes are made, as anyone who filters would.
    """

    def __init__(self, folder: Path, points: Sequence[Point]) -> None:
        """Fill a new shard in `folder`, which must not exist."""
        folder.mkdir(parents=True)
        size = points[0].vector.size
        vectors = {VECTOR_NAME: edge.EdgeVectorParams(size=size, distance=edge.Distance.Cosine)}
        self._shard = edge.EdgeShard.create(str(folder), edge.EdgeConfig(vectors=vectors))
        kinds = {"keyword": edge.PayloadSchemaType.Keyword, "float": edge.PayloadSchemaType.Float}
        kinds |= {"bool": edge.PayloadSchemaType.Bool, "integer": edge.PayloadSchemaType.Integer}
        for index in PAYLOAD_INDEXES:
            self._shard.update(edge.UpdateOperation.create_field_index(index.field, kinds[index.kind]))
        for start in range(0, len(points), _BATCH):
            batch = [
                edge.Point(point.id, {VECTOR_NAME: point.vector.tolist()}, point.payload.to_json())
                for point in points[start : start + _BATCH]
            ]
            self._shard.update(edge.UpdateOperation.upsert_points(batch))
        self._shard.flush()

    def ask(self, vector: Vectors, where: Filter | None, limit: int) -> list[str]:
        """See `Ask`."""
        request = edge.QueryRequest(
            limit=limit,
            query=edge.Query.Nearest(vector.tolist(), using=VECTOR_NAME),
            filter=edge_filter(where),
            with_payload=True,
        )
        return [str(hit.id) for hit in self._shard.query(request)]

    def close(self) -> None:
        """Let go of the files."""
        self._shard.close()


class LocalMode:
    """qdrant-client's local mode in this process (`QdrantClient(":memory:")`), as many tutorials and tests use it."""

    def __init__(self, points: Sequence[Point]) -> None:
        """Keep the points in memory. Its filters look at every payload in Python, so a tenth of the points are plenty."""
        self._client = QdrantClient(":memory:")
        self._spec = CollectionSpec(
            name="bench", catalog="bench", dimension=points[0].vector.size, model_digest="bench"
        )
        vectors = {VECTOR_NAME: models.VectorParams(size=points[0].vector.size, distance=models.Distance.COSINE)}
        self._client.create_collection("bench", vectors_config=vectors)
        for start in range(0, len(points), _BATCH):
            batch = [
                models.PointStruct(
                    id=point.id, vector={VECTOR_NAME: point.vector.tolist()}, payload=point.payload.to_json()
                )
                for point in points[start : start + _BATCH]
            ]
            self._client.upsert("bench", batch)

    def ask(self, vector: Vectors, where: Filter | None, limit: int) -> list[str]:
        """See `Ask`."""
        found = self._client.query_points(
            "bench",
            query=vector.tolist(),
            using=VECTOR_NAME,
            query_filter=qdrant_filter(where, self._spec),
            limit=limit,
        )
        return [str(hit.id) for hit in found.points]
