"""Queries: filters, what a search asks of an index, what it answers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from schemas.payload import Payload

FilterValue = str | int | bool


@dataclass(frozen=True, kw_only=True, slots=True)
class AnyOf:
    """The field holds one of the values (for a list field: at least one element does)."""

    field: str
    values: tuple[FilterValue, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class NoneOf:
    """The field holds none of the values; a missing field passes."""

    field: str
    values: tuple[FilterValue, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Range:
    """The field is a number within the bounds, both inclusive; a missing field does not pass."""

    field: str
    minimum: float | None = None
    maximum: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Missing:
    """The field is absent, null or an empty list."""

    field: str


Condition = AnyOf | NoneOf | Range | Missing


@dataclass(frozen=True, kw_only=True, slots=True)
class Filter:
    """Conditions that all have to hold."""

    conditions: tuple[Condition, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Search:
    """One vector query against one collection."""

    vector: NDArray[np.float32]
    """(D,), finite and not zero; need not be normalised."""
    limit: int = 10
    offset: int = 0
    where: Filter | None = None
    score_threshold: float | None = None
    """Cosine similarity a hit must reach."""
    diversity: float = 0.0
    """0: pure similarity; up to 1: maximal marginal relevance with lambda = 1 - diversity (Carbonell, Goldstein 1998)."""
    pool: int | None = None
    """Candidates (or groups) that a diverse search chooses among; None leaves it to the index, by offset and limit. Pages
    of one answer fit together only where all of them choose among the same."""
    group_by: str | None = None
    """At most one hit, the best, per value of this payload field (of a list: per element); points without the field are
    groups of their own."""
    exact: bool = False
    """Compare with every point instead of using the approximate index."""
    exclude_ids: tuple[str, ...] = ()
    with_vectors: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Scored:
    """One hit."""

    id: str
    score: float
    """Cosine similarity, -1 to 1."""
    payload: Payload
    vector: NDArray[np.float32] | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class FacetCount:
    """How many points hold a value."""

    value: FilterValue
    count: int
