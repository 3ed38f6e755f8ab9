"""Which records an epoch shows, and in which order: a function of the generator alone."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from training.datasets.record import Record

Place = tuple[int, int]
"""A source and a record in it."""


def epoch_order(sources: Sequence[Sequence[Record]], shown: Sequence[int], rng: np.random.Generator) -> list[Place]:
    """`shown` records of every source, others each time, all sources mixed."""
    places = [
        (s, int(i))
        for s, (records, count) in enumerate(zip(sources, shown, strict=True))
        for i in rng.permutation(len(records))[:count]
    ]
    return [places[p] for p in rng.permutation(len(places))]


def side_by_side(
    order: Sequence[Place], sources: Sequence[Sequence[Record]], count: int, rng: np.random.Generator
) -> list[Place]:
    """The same places so that `count` images of a product follow each other, wherever it has as many.

    Everything comes in groups of `count`, so that a batch that holds whole groups tears none apart; images left over of
    their products are grouped as they come.
    """
    by_product: dict[tuple[int, str | None], list[Place]] = {}
    for s, i in order:
        by_product.setdefault((s, sources[s][i].product), []).append((s, i))
    groups: list[list[Place]] = []
    left: list[Place] = []
    for (_, product), places in by_product.items():
        whole = 0 if product is None else len(places) // count * count
        groups += [places[at : at + count] for at in range(0, whole, count)]
        left += places[whole:]
    groups += [left[at : at + count] for at in range(0, len(left) // count * count, count)]
    rest = left[len(left) // count * count :]
    return [place for g in rng.permutation(len(groups)) for place in groups[g]] + rest
