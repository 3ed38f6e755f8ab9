"""How far two engines are apart on the same pictures, and how far they may be to share a bundle's digest.

A collection is bound to one digest, so what one engine indexed another one searches. That is sound only if their vectors
are near, and nobody knows that of a new driver, card or library version before it is measured.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from workers.ports import Embedder

LOWEST_COSINE: Final = 0.97
MEAN_COSINE: Final = 0.995
"""The default bundle's int8 graph against its float weights: mean 0.9988, lowest 0.987 on 341 photographs. Pictures of
different products are seldom above 0.9."""
PROBABILITY_DIFFERENCE: Final = 0.15
"""Largest for any picture and label; 0.067 was measured there."""
BOX_DIFFERENCE: Final = 0.05
"""Largest for any side of a box, as a share of the picture's."""


class Parity(BaseModel):
    """What was measured of one engine against the bundle's graph."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    images: int
    mean_cosine: float
    lowest_cosine: float
    same_category: float | None
    """Share of the pictures that both give the same category; told, not judged: near a tie it says nothing."""
    probability_difference: float
    box_difference: float

    @property
    def faults(self) -> tuple[str, ...]:
        """What lies outside of the bounds; empty: the engines may share a digest."""
        checks = (
            (self.mean_cosine >= MEAN_COSINE, f"mean cosine {self.mean_cosine:.4f} under {MEAN_COSINE}"),
            (self.lowest_cosine >= LOWEST_COSINE, f"lowest cosine {self.lowest_cosine:.4f} under {LOWEST_COSINE}"),
            (
                self.probability_difference <= PROBABILITY_DIFFERENCE,
                f"probabilities {self.probability_difference:.3f} apart, over {PROBABILITY_DIFFERENCE}",
            ),
            (
                self.box_difference <= BOX_DIFFERENCE,
                f"boxes {self.box_difference:.3f} apart, over {BOX_DIFFERENCE}",
            ),
        )
        return tuple(text for holds, text in checks if not holds)

    def __str__(self) -> str:
        """The figures in a line."""
        return (
            f"cosine {self.mean_cosine:.4f} on average, {self.lowest_cosine:.4f} at least, over {self.images} pictures"
        )


def measure_parity(reference: Embedder, other: Embedder, images: NDArray[np.uint8]) -> Parity:
    """Run both on (N, S, S, 3) pictures and compare."""
    expected, found = reference.embed(images), other.embed(images)
    cosines = (expected.vectors * found.vectors).sum(1)
    same = None
    if expected.category is not None and found.category is not None:
        same = float((expected.category.argmax(1) == found.category.argmax(1)).mean())
    return Parity(
        images=len(images),
        mean_cosine=_known(float(cosines.mean())),
        lowest_cosine=_known(float(cosines.min())),
        same_category=same,
        probability_difference=max(
            _largest(expected.category, found.category), _largest(expected.attributes, found.attributes)
        ),
        box_difference=_largest(expected.boxes, found.boxes),
    )


def _largest(expected: NDArray[np.float32] | None, found: NDArray[np.float32] | None) -> float:
    """Of all differences; 0 where neither has the head, 1 (of at most 1) where only one has or a value is no number."""
    if expected is None or found is None:
        return 0.0 if expected is found else 1.0
    largest = float(np.abs(expected - found).max())
    return largest if np.isfinite(largest) else 1.0


def _known(cosine: float) -> float:
    return cosine if np.isfinite(cosine) else -1.0
