"""Categories: cross entropy where a label is known."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional


def label_loss(logits: Tensor, category: Tensor, trust: Tensor, smoothing: float) -> Tensor:
    """Label-smoothed cross entropy, averaged over trust; 0 for a batch without labels."""
    each = functional.cross_entropy(logits, category, reduction="none", label_smoothing=smoothing)
    return (each * trust).sum() / trust.sum().clamp(min=1.0)
