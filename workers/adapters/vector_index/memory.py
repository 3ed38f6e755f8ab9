"""`VectorIndex` in memory, by brute force: the twin that tests use and the reference the engines are held against."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from schemas.collection import CollectionInfo, CollectionSpec
from schemas.payload import Payload, PayloadChange, Point, PointRecord, Tombstone
from schemas.query import FacetCount, Filter, Scored, Search
from workers.adapters.vector_index import validation
from workers.adapters.vector_index.facets import check_facet, ordered
from workers.adapters.vector_index.matching import elements, matches, typed
from workers.adapters.vector_index.nearest import choose, is_plain
from workers.adapters.vector_index.newer_wins import changed_payloads, deletable, winning_rows
from workers.adapters.vector_index.rerank import Candidate
from workers.adapters.vector_index.validation import Row
from workers.errors import ContractError, NotFoundError


class MemoryIndex:
    """Everything in dictionaries under one lock; gone with the process."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._specs: dict[str, CollectionSpec] = {}
        self._rows: dict[str, dict[str, Row]] = {}
        self._aliases: dict[str, str] = {}

    def create(self, spec: CollectionSpec) -> None:
        """See `VectorIndex.create`."""
        validation.check_spec(spec)
        with self._lock:
            if self._specs.setdefault(spec.name, spec) != spec:
                raise ContractError(f"collection {spec.name} exists with another description")
            self._rows.setdefault(spec.name, {})

    def collections(self) -> Sequence[CollectionInfo]:
        """See `VectorIndex.collections`."""
        with self._lock:
            return [self.info(name) for name in sorted(self._specs)]

    def info(self, collection: str) -> CollectionInfo:
        """See `VectorIndex.info`."""
        with self._lock:
            return CollectionInfo(spec=self._spec(collection), points=len(self._rows[collection]), indexed_points=0)

    def drop(self, collection: str) -> None:
        """See `VectorIndex.drop`."""
        with self._lock:
            self._specs.pop(collection, None)
            self._rows.pop(collection, None)
            self._aliases = {alias: name for alias, name in self._aliases.items() if name != collection}

    def point_alias(self, alias: str, collection: str) -> None:
        """See `VectorIndex.point_alias`."""
        validation.check_alias(alias)
        with self._lock:
            self._spec(collection)
            if alias in self._specs:
                raise ContractError(f"alias {alias!r} is the name of a collection")
            self._aliases[alias] = collection

    def resolve(self, alias: str) -> str | None:
        """See `VectorIndex.resolve`."""
        with self._lock:
            return self._aliases.get(alias)

    def drop_alias(self, alias: str) -> None:
        """See `VectorIndex.drop_alias`."""
        with self._lock:
            self._aliases.pop(alias, None)

    def upsert(self, collection: str, points: Sequence[Point]) -> None:
        """See `VectorIndex.upsert`."""
        with self._lock:
            checked = validation.check_rows(points, self._spec(collection).dimension)
            rows = self._rows[collection]
            rows.update({row.id: row for row in winning_rows(checked, _versions(rows, (row.id for row in checked)))})

    def change_payload(self, collection: str, changes: Sequence[PayloadChange]) -> None:
        """See `VectorIndex.change_payload`."""
        validation.check_changes(changes)
        with self._lock:
            self._spec(collection)
            rows = self._rows[collection]
            stored = {c.id: rows[c.id].payload for c in changes if c.id in rows}
            for point_id, payload in changed_payloads(changes, stored).items():
                vector = rows[point_id].vector
                rows[point_id] = Row(id=point_id, version=payload["version"], vector=vector, payload=payload)

    def delete(self, collection: str, tombstones: Sequence[Tombstone]) -> None:
        """See `VectorIndex.delete`."""
        validation.check_tombstones(tombstones)
        with self._lock:
            self._spec(collection)
            rows = self._rows[collection]
            for point_id in deletable(tombstones, _versions(rows, (tombstone.id for tombstone in tombstones))):
                del rows[point_id]

    def retrieve(self, collection: str, ids: Sequence[str], *, with_vectors: bool = False) -> Sequence[PointRecord]:
        """See `VectorIndex.retrieve`."""
        validation.check_ids(ids)
        with self._lock:
            self._spec(collection)
            rows = self._rows[collection]
            return [_record(rows[i], with_vectors) for i in dict.fromkeys(ids) if i in rows]

    def count(self, collection: str, where: Filter | None = None) -> int:
        """See `VectorIndex.count`."""
        return len(self._matching(collection, where))

    def facet(
        self, collection: str, field: str, *, where: Filter | None = None, limit: int = 50
    ) -> Sequence[FacetCount]:
        """See `VectorIndex.facet`."""
        with self._lock:
            check_facet(self._spec(collection), field, limit)
        counts: Counter[tuple[str, Any]] = Counter()
        for row in self._matching(collection, where):
            counts.update({typed(value) for value in elements(row.payload.get(field))})
        return ordered((FacetCount(value=value, count=count) for (_, value), count in counts.items()), limit)

    def scroll(
        self, collection: str, *, where: Filter | None = None, after: str | None = None, limit: int = 1000
    ) -> Sequence[PointRecord]:
        """See `VectorIndex.scroll`."""
        validation.check_limit(limit)
        validation.check_ids(() if after is None else (after,))
        rows = sorted(self._matching(collection, where), key=lambda row: row.id)
        return [_record(row, with_vector=False) for row in rows if after is None or row.id > after][:limit]

    def search(self, collection: str, request: Search) -> Sequence[Scored]:
        """See `VectorIndex.search`."""
        with self._lock:
            query = validation.check_search(request, (spec := self._spec(collection)).dimension, spec)
            excluded = set(request.exclude_ids)
            rows = {row.id: row for row in self._matching(collection, request.where) if row.id not in excluded}
        ranked = _ranked(query, list(rows.values()), request)
        if is_plain(request):
            hits: Sequence[Candidate] = ranked[request.offset : request.offset + request.limit]
        else:
            hits = choose(request, lambda count: ranked[:count])
        return [
            Scored(
                id=hit.id,
                score=hit.score,
                payload=Payload.from_json(rows[hit.id].payload),
                vector=rows[hit.id].vector if request.with_vectors else None,
            )
            for hit in hits
        ]

    def settle(self, collection: str) -> None:
        """Nothing to build here."""
        with self._lock:
            self._spec(collection)

    def close(self) -> None:
        """Nothing to let go of: the data stays as long as the object."""

    def _spec(self, collection: str) -> CollectionSpec:
        if collection not in self._specs:
            raise NotFoundError(f"there is no collection {collection!r}")
        return self._specs[collection]

    def _matching(self, collection: str, where: Filter | None) -> list[Row]:
        with self._lock:
            validation.check_filter(where, self._spec(collection))
            return [row for row in self._rows[collection].values() if matches(where, row.payload)]


def _versions(rows: dict[str, Row], ids: Iterable[str]) -> dict[str, int]:
    return {point_id: rows[point_id].version for point_id in ids if point_id in rows}


def _record(row: Row, with_vector: bool) -> PointRecord:
    return PointRecord(id=row.id, payload=Payload.from_json(row.payload), vector=row.vector if with_vector else None)


def _ranked(query: NDArray[np.float32], rows: list[Row], request: Search) -> list[Candidate]:
    if not rows:
        return []
    scores = np.stack([row.vector for row in rows]) @ query
    candidates = [
        Candidate(
            id=row.id,
            score=float(np.clip(score, -1.0, 1.0)),
            group=row.payload.get(request.group_by) if request.group_by else None,
            vector=row.vector,
        )
        for row, score in zip(rows, scores, strict=True)
        if request.score_threshold is None or score >= request.score_threshold
    ]
    return sorted(candidates, key=lambda candidate: (-candidate.score, candidate.id))
