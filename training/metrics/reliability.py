"""Calibration: does a confidence of 0.8 mean right in 8 of 10?"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from training.evaluation import Estimate, ReliabilityBin
from training.metrics.classification import top_k
from training.metrics.resampling import Resampling

BINS = 15
"""Equal-width bins of confidence (Guo et al. 2017)."""
_SEED = 0
_WORLDS = 500


def reliability_bins(probabilities: NDArray[np.float32], labels: NDArray[np.int64]) -> tuple[ReliabilityBin, ...]:
    """The reliability diagram: images, mean confidence and accuracy of each bin."""
    confidence, bins = _binned(probabilities)
    right = top_k(probabilities, labels, 1)
    found = []
    for b in range(BINS):
        inside = bins == b
        some = bool(inside.any())
        found.append(
            ReliabilityBin(
                low=b / BINS,
                high=(b + 1) / BINS,
                images=int(inside.sum()),
                confidence=float(confidence[inside].mean()) if some else None,
                accuracy=float(right[inside].mean()) if some else None,
            )
        )
    return tuple(found)


def calibration_error(
    probabilities: NDArray[np.float32], labels: NDArray[np.int64], resampling: Resampling
) -> Estimate:
    """Expected calibration error: distance of confidence and accuracy over the bins, weighted by their images.

    Chance alone keeps it above 0 on few images (`calibration_error_of_chance`), and resampling adds chance once more:
    the interval leans upwards.
    """
    confidence, bins = _binned(probabilities)
    gaps = np.zeros((len(labels), BINS + 1))
    gaps[np.arange(len(labels)), bins] = top_k(probabilities, labels, 1) - confidence
    gaps[:, BINS] = 1
    return resampling.estimate(lambda sums: np.abs(sums[:, :BINS]).sum(1) / sums[:, BINS], gaps)


def calibration_error_of_chance(probabilities: NDArray[np.float32]) -> float:
    """The mean calibration error if every confidence were exactly right: what no calibration can improve on."""
    confidence, bins = _binned(probabilities)
    rng = np.random.default_rng(_SEED)
    gaps = (rng.random((_WORLDS, len(confidence))) < confidence) - confidence
    each = sum(np.abs(gaps[:, bins == b].sum(1)) for b in range(BINS))
    return float(np.mean(each) / len(confidence))


def _binned(probabilities: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    confidence = probabilities.max(1).astype(np.float64)
    return confidence, np.minimum((confidence * BINS).astype(np.int64), BINS - 1)
