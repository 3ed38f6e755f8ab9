"""What one batch should give."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True, kw_only=True, slots=True)
class Targets:
    """What one batch of N views should give; None where nobody asks for it."""

    category: Tensor
    """(N,) int64; any value where `trust` is 0."""
    trust: Tensor
    """(N,) float32, weight of the label."""
    soft: Tensor | None = None
    """(N, C) the teacher's probabilities."""
    pooled: Tensor | None = None
    """(N, F) the teacher's standardised pooled features."""
    positions: Tensor | None = None
    """(N, K, G, G) the teacher's feature map."""
    attributes: Tensor | None = None
    """(N, A) float32: 1 has it, 0 has it not, -1 unknown."""
    box: Tensor | None = None
    """(N, 4) float32 x1, y1, x2, y2 as shares of the view; NaN where unknown."""
    product: Tensor | None = None
    """(N,) int64, the same number for the same product; -1 unknown."""
