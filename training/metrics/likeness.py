"""What a similarity is worth: how often neighbours this similar are right.

A cosine means something else for every model. A logistic curve over it, fitted to the neighbours that searches find, says
the share of right ones instead: Platt, "Probabilistic Outputs for Support Vector Machines and Comparisons to Regularized
Likelihood Methods", 1999, with his targets that are never quite 0 or 1.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from schemas.model_card import Likeness
from training.metrics.no_match import match_key, match_keys
from training.metrics.retrieval import neighbours
from training.predictions import UNKNOWN, Predictions

NEIGHBOURS = 20
"""Of each query: what a page of hits shows, and some behind it, so that the curve has seen wrong ones."""
_STEPS = 100
_FEWEST = 10
"""Right and wrong neighbours, each, without which there is no curve to fit."""


def fit_likeness(predictions: Predictions, gallery: Predictions | None, *, data: str) -> Likeness | None:
    """The curve over the neighbours of these queries.

    Args:
        predictions: The queries.
        gallery: What they search; None lets them search each other, each leaving itself out.
        data: What the queries are, as `photographs/validation`.

    Returns:
        None where neither product nor category tells right from wrong, there is too little of either, or right
        neighbours are no more similar than wrong ones.
    """
    by = match_key(predictions, gallery)
    if by is None:
        return None
    mine, theirs = match_keys(predictions, gallery, by)
    known = mine != UNKNOWN
    searched = None if gallery is None else (gallery.vectors[theirs != UNKNOWN], theirs[theirs != UNKNOWN])
    count = int(known.sum()) - 1 if searched is None else len(searched[1])
    if count < 1:
        return None
    cosines, right = neighbours(predictions.vectors[known], mine[known], k=min(NEIGHBOURS, count), gallery=searched)
    if min(right.sum(), (~right).sum()) < _FEWEST:
        return None
    slope, intercept = fit_logistic(cosines.ravel().astype(np.float64), right.ravel())
    if slope <= 0.0:
        return None
    return Likeness(
        slope=round(slope, 4),
        intercept=round(intercept, 4),
        by=by,
        data=data,
        images=int(known.sum()),
        pairs=right.size,
    )


def fit_logistic(values: NDArray[np.float64], right: NDArray[np.bool_]) -> tuple[float, float]:
    """`(slope, intercept)` of the logistic curve with the least cross-entropy against Platt's targets, by Newton's method.

    Args:
        values: (N,).
        right: (N,) with some of either kind.
    """
    positive, negative = int(right.sum()), int((~right).sum())
    target = np.where(right, (positive + 1) / (positive + 2), 1 / (negative + 2))
    centre, scale = float(values.mean()), float(values.std()) or 1.0
    design = np.stack([(values - centre) / scale, np.ones_like(values)])  # centred, so that the two hardly interact
    weights = np.array([0.0, np.log((positive + 1) / (negative + 1))])
    loss = _cross_entropy(weights, design, target)
    for _ in range(_STEPS):
        said = 1.0 / (1.0 + np.exp(-(weights @ design)))
        step = np.linalg.solve(
            (design * (said * (1.0 - said))) @ design.T + 1e-12 * np.eye(2), design @ (said - target)
        )
        while _cross_entropy(weights - step, design, target) > loss and np.abs(step).max() > 1e-12:
            step /= 2.0
        weights = weights - step
        loss = _cross_entropy(weights, design, target)
        if np.abs(step).max() < 1e-9:
            break
    slope = float(weights[0] / scale)
    return slope, float(weights[1] - slope * centre)


def _cross_entropy(weights: NDArray[np.float64], design: NDArray[np.float64], target: NDArray[np.float64]) -> float:
    logits = weights @ design
    return float((np.logaddexp(0.0, logits) - target * logits).mean())
