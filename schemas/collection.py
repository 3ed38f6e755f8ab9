"""What a collection is: one per catalog generation, bound to one model digest for good."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

VECTOR_NAME = "image"
"""Name of the one vector of a point."""

FieldKind = Literal["keyword", "float", "integer", "bool", "datetime"]


@dataclass(frozen=True, kw_only=True, slots=True)
class PayloadIndex:
    """A payload field that can be filtered and counted."""

    field: str
    kind: FieldKind


PAYLOAD_INDEXES: tuple[PayloadIndex, ...] = (
    PayloadIndex(field="key", kind="keyword"),
    PayloadIndex(field="product_id", kind="keyword"),
    PayloadIndex(field="category", kind="keyword"),
    PayloadIndex(field="category_predicted", kind="keyword"),
    PayloadIndex(field="attributes", kind="keyword"),
    PayloadIndex(field="brand", kind="keyword"),
    PayloadIndex(field="colour", kind="keyword"),
    PayloadIndex(field="price", kind="float"),
    PayloadIndex(field="in_stock", kind="bool"),
    PayloadIndex(field="version", kind="integer"),
    PayloadIndex(field="content_digest", kind="keyword"),
)
"""Made before the first point: an index added after HNSW was built ruins filtered recall (0.10 instead of 0.99)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CollectionSpec:
    """How a collection is made."""

    name: str
    """`<catalog>--<generation>`; lower-case letters, digits and hyphens."""
    catalog: str
    dimension: int
    model_digest: str
    extra_indexes: tuple[PayloadIndex, ...] = ()
    """For payload fields that the catalog declares beyond the standard ones."""

    @property
    def indexes(self) -> tuple[PayloadIndex, ...]:
        """Standard and declared payload indexes."""
        return PAYLOAD_INDEXES + self.extra_indexes


@dataclass(frozen=True, kw_only=True, slots=True)
class CollectionInfo:
    """What an engine says of a collection."""

    spec: CollectionSpec
    points: int
    indexed_points: int
    """Points that the approximate index (HNSW) covers; the others are searched exactly."""
    bytes_on_disk: int | None = None
