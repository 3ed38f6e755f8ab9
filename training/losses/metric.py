"""Metric learning: embeddings of what belongs together come close."""

from __future__ import annotations

from torch import Tensor, nn

_UNKNOWN = -1


def metric_loss(criterion: nn.Module, embedding: Tensor, groups: Tensor) -> Tensor:
    """The criterion over the images whose group is known; 0 for a batch with fewer than two of them.

    Args:
        criterion: A loss of pytorch-metric-learning; it normalises embeddings itself.
        embedding: (N, D).
        groups: (N,) categories or products; -1 unknown.
    """
    known = groups != _UNKNOWN
    if int(known.sum()) < 2:
        return embedding.sum() * 0.0 + sum(p.sum() * 0.0 for p in criterion.parameters())
    found: Tensor = criterion(embedding[known], groups[known])
    return found
