"""What facets share: which fields have them, and their order."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from schemas.collection import CollectionSpec
from schemas.query import FacetCount
from workers.adapters.vector_index.matching import typed
from workers.adapters.vector_index.validation import check_limit
from workers.errors import ContractError

_COUNTABLE: Final = frozenset({"keyword", "integer", "bool"})
"""Index kinds that Qdrant counts values of."""


def check_facet(spec: CollectionSpec, field: str, limit: int) -> None:
    """Judge a request to count a field's values; raises ContractError."""
    check_limit(limit)
    if not any(index.field == field and index.kind in _COUNTABLE for index in spec.indexes):
        raise ContractError(f"collection {spec.name}: {field!r} has no index whose values can be counted")


def ordered(counts: Iterable[FacetCount], limit: int) -> list[FacetCount]:
    """The most frequent first, equal counts by value."""
    return sorted(counts, key=lambda facet: (-facet.count, typed(facet.value)))[:limit]
