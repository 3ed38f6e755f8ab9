"""Attributes: weighted binary cross entropy over what is known."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from training.datasets.attributes import ABSENT, PRESENT, UNKNOWN


def attribute_loss(logits: Tensor, truth: Tensor, weights: Tensor) -> Tensor:
    """Mean binary cross entropy over the known attributes of all images; 0 for a batch that knows none.

    Args:
        logits: (N, A).
        truth: (N, A): 1, 0 or -1 (unknown, masked).
        weights: (A,) weight of the positives.
    """
    known = (truth != UNKNOWN).float()
    each = functional.binary_cross_entropy_with_logits(logits, truth.clamp(min=0), pos_weight=weights, reduction="none")
    return (each * known).sum() / known.sum().clamp(min=1.0)


def positive_weights(truths: Iterable[Sequence[int] | None], attributes: int, cap: float) -> Tensor:
    """(A,) negatives / positives of each attribute, within 1..cap; 1 for an attribute that no image has."""
    positives, negatives = np.zeros(attributes), np.zeros(attributes)
    for truth in truths:
        if truth is not None:
            row = np.asarray(truth)
            positives += row == PRESENT
            negatives += row == ABSENT
    weights = np.where(positives > 0, negatives / np.maximum(positives, 1), 1.0)
    return torch.from_numpy(np.clip(weights, 1.0, cap).astype(np.float32))
