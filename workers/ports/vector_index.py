"""Collections of points that can be searched."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from schemas.collection import CollectionInfo, CollectionSpec
from schemas.payload import PayloadChange, Point, PointRecord, Tombstone
from schemas.query import FacetCount, Filter, Scored, Search


class VectorIndex(Protocol):
    """Collections of points with payload, one per catalog generation, and aliases that name the active one.

    Writes carry a version and apply only over a lower one ("newer wins"); an acknowledged write survives kill -9.
    Every method raises `TransientError` when the engine does not answer, `NotFoundError` for a collection that does
    not exist, and `ContractError` for what can never be answered. Filters are over fields with a payload index only.
    """

    def create(self, spec: CollectionSpec) -> None:
        """Make the collection with its payload indexes; the same spec again is harmless, another one an error."""
        ...

    def collections(self) -> Sequence[CollectionInfo]:
        """Every collection, by name."""
        ...

    def info(self, collection: str) -> CollectionInfo:
        """Points, index state and binding of one collection."""
        ...

    def drop(self, collection: str) -> None:
        """Remove the collection and its data; a collection that does not exist is harmless."""
        ...

    def point_alias(self, alias: str, collection: str) -> None:
        """Let the alias name this collection from now on, atomically."""
        ...

    def resolve(self, alias: str) -> str | None:
        """The collection an alias names, or None."""
        ...

    def drop_alias(self, alias: str) -> None:
        """Remove an alias; one that does not exist is harmless."""
        ...

    def upsert(self, collection: str, points: Sequence[Point]) -> None:
        """Store points; one whose stored version is higher stays as it is. Durable when it returns.

        Raises:
            PointsRefusedError: these can never be stored (dimension, a vector that is zero or not finite, a payload
                value); repeat the call without them, the others may not be stored yet.
        """
        ...

    def change_payload(self, collection: str, changes: Sequence[PayloadChange]) -> None:
        """Replace named payload fields (None removes a field) of points with a lower or equal version; durable.

        Raises:
            PointsRefusedError: as for `upsert`.
        """
        ...

    def delete(self, collection: str, tombstones: Sequence[Tombstone]) -> None:
        """Remove points whose stored version is lower or equal; unknown ids are harmless. Durable."""
        ...

    def retrieve(self, collection: str, ids: Sequence[str], *, with_vectors: bool = False) -> Sequence[PointRecord]:
        """The points that exist among `ids`, in no promised order."""
        ...

    def count(self, collection: str, where: Filter | None = None) -> int:
        """Exact number of points that match."""
        ...

    def facet(
        self, collection: str, field: str, *, where: Filter | None = None, limit: int = 50
    ) -> Sequence[FacetCount]:
        """Values of an indexed field with their number of points, most frequent first."""
        ...

    def scroll(
        self, collection: str, *, where: Filter | None = None, after: str | None = None, limit: int = 1000
    ) -> Sequence[PointRecord]:
        """Points in id order behind the id `after`, without vectors; fewer than `limit` means the end."""
        ...

    def search(self, collection: str, request: Search) -> Sequence[Scored]:
        """Nearest points by cosine, best first, with filter, grouping, diversity and exclusions of the request."""
        ...

    def settle(self, collection: str) -> None:
        """Called when writes to a collection end: the engine may build what makes searching fast (HNSW) by its policy."""
        ...

    def close(self) -> None:
        """Let go of the engine; closing twice is harmless."""
        ...
