"""Temperature scaling: one number that makes confidence mean what it says (Guo et al. 2017)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from training.predictions import UNKNOWN, Predictions

_RANGE = (0.05, 20.0)
"""Wide enough for a network that hardly began to learn."""
_STEPS = 800
"""Geometric: 0.75 % apart, a tenth of what a few hundred images can tell apart."""


def calibrate(predictions: Predictions) -> float:
    """The temperature for held-out images as the engine that will serve them sees them; 1 where no category is known.

    Args:
        predictions: At temperature 1. Of an int8 graph if int8 is served: its logits are not quite the float ones.
    """
    known = predictions.categories != UNKNOWN
    if not known.any():
        return 1.0
    return round(fit_temperature(predictions.probabilities[known], predictions.categories[known]), 4)


def fit_temperature(probabilities: NDArray[np.float32], labels: NDArray[np.int64]) -> float:
    """The temperature with the least negative log-likelihood.

    Args:
        probabilities: (N, C) at temperature 1.
        labels: (N,).
    """
    logs = np.log(np.maximum(probabilities.astype(np.float64), 1e-12))
    candidates = np.geomspace(*_RANGE, _STEPS)
    return float(min(candidates, key=lambda t: _nll(logs / t, labels)))


def _nll(logits: NDArray[np.float64], labels: NDArray[np.int64]) -> float:
    shifted = logits - logits.max(1, keepdims=True)
    normaliser = np.log(np.exp(shifted).sum(1))
    return float((normaliser - shifted[np.arange(len(labels)), labels]).mean())
