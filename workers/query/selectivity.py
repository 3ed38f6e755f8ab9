"""Real conditions of a catalog that let a given share of its images pass, to measure filtered search with."""

from __future__ import annotations

import math
from dataclasses import dataclass

from schemas.collection import CollectionSpec
from schemas.query import AnyOf, Condition, Filter, Range
from workers.ports import VectorIndex
from workers.query.conditions import COUNTABLE

_VALUES = 10_000
_NEAR = 2.0
"""A condition stands for a share where it passes at least half and at most twice of it."""
_UNSUITABLE = frozenset({"key", "content_digest", "version", "product_id"})
"""Fields that nobody filters by; each value holds for an image or for all of them."""
_STEPS = 40


@dataclass(frozen=True, kw_only=True, slots=True)
class Passing:
    """A condition with the share of images that pass it."""

    condition: Condition
    images: int
    share: float


def conditions_by_share(
    index: VectorIndex, spec: CollectionSpec, shares: tuple[float, ...]
) -> dict[float, Passing | None]:
    """For each share the condition that comes nearest, among single values of countable fields and upper bounds of numbers.

    None where the catalog has none within a factor of two: nothing is made up.
    """
    total = index.count(spec.name)
    if not total:
        return dict.fromkeys(shares)
    values = [
        Passing(condition=AnyOf(field=one.field, values=(found.value,)), images=found.count, share=found.count / total)
        for one in spec.indexes
        if one.kind in COUNTABLE and one.field not in _UNSUITABLE
        for found in index.facet(spec.name, one.field, limit=_VALUES)
    ]
    numbers = [one.field for one in spec.indexes if one.kind == "float"]
    return {share: _nearest([*values, *_bounds(index, spec, numbers, share, total)], share) for share in shares}


def _nearest(offered: list[Passing], share: float) -> Passing | None:
    near = [p for p in offered if p.images and share / _NEAR <= p.share <= share * _NEAR]
    return min(near, key=lambda p: abs(math.log(p.share / share)), default=None)


def _bounds(index: VectorIndex, spec: CollectionSpec, fields: list[str], share: float, total: int) -> list[Passing]:
    """Of each field the upper bound under which about that share of all images lies, found by halving."""
    found = []
    for field in fields:

        def passing(bound: float, field: str = field) -> Passing:
            condition = Range(field=field, maximum=bound)
            images = index.count(spec.name, Filter(conditions=(condition,)))
            return Passing(condition=condition, images=images, share=images / total)

        high = 1.0
        while passing(high).share < share and high < 1e9:
            high *= 10.0
        low, best = 0.0, passing(high)
        for _ in range(_STEPS):
            middle = float(f"{(low + high) / 2:.6g}")
            if middle in (low, high):
                break
            candidate = passing(middle)
            best = min((best, candidate), key=lambda p: abs(p.share - share))
            low, high = (middle, high) if candidate.share < share else (low, middle)
            if abs(candidate.share / share - 1.0) < 0.02:
                break
        found.append(best)
    return found
