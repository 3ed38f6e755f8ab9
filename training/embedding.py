"""The linear map from pooled features to the embedding that is searched, fitted in closed form after training.

Pooled features are good for the classifier, which may weigh them; cosine similarity weighs them all alike, so that
lighting and background count as much as the garment. The map first evens out how features vary *within* a category
(within-class whitening, as in linear discriminant analysis), then stretches the few directions in which categories
differ. Nothing is thrown away: within a category, colour and pattern still order the neighbours.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

SHRINKAGE = 0.3
"""Share of the mean variance added to every direction before whitening, against over-fitting the small ones."""
EMPHASIS = 3.0
"""Factor on the directions that separate categories. Both were chosen on held-out senders out of 0.1..1 and 1..3."""


def fit_map(features: NDArray[np.float32], labels: NDArray[np.int64]) -> nn.Linear:
    """The map of (N, D) pooled features of training images with their categories; D to D.

    Raises:
        ValueError: fewer than two categories.
    """
    categories = np.unique(labels)
    if len(categories) < 2:
        raise ValueError("one category alone has nothing to be told apart from")
    data = features.astype(np.float64)
    mean = data.mean(0)
    means = np.stack([data[labels == c].mean(0) for c in categories])
    residuals = data - means[np.searchsorted(categories, labels)]
    variances, axes = np.linalg.eigh(residuals.T @ residuals / len(data))
    variances = np.maximum(variances, 0.0)
    whiten = axes / np.sqrt(variances + SHRINKAGE * variances.mean())
    _, sizes, directions = np.linalg.svd((means - mean) @ whiten, full_matrices=False)
    separating = directions[sizes > 1e-6 * sizes.max()]
    matrix = whiten @ (np.eye(len(mean)) + (EMPHASIS - 1) * separating.T @ separating)
    mapping = nn.Linear(*matrix.shape)
    with torch.no_grad():
        mapping.weight.copy_(torch.from_numpy(matrix.T.copy()))
        mapping.bias.copy_(torch.from_numpy(-mean @ matrix))
    return mapping.requires_grad_(False)
