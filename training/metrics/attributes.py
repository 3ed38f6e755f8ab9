"""Attribute recall as the DeepFashion literature measures it, in the two averagings that it mixes up.

For each image the `k` most probable attributes are said to be there. Both figures count how many of the true ones are
among them; they differ in what is averaged:

- `pooled`: true attributes found over true attributes there, over all images. Frequent attributes make it up. The
  best overall figures published for DeepFashion's test split, 54.69 at top-3 and 63.74 at top-5 (Liu and Lu 2018), are
  this one, by their authors' code.
- `per_attribute`: the recall of every attribute by itself, then their mean. Rare attributes count like frequent ones,
  and it can come out at half. MMFashion reports this one, over its 50 best attributes; here over all that occur.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from training.evaluation import Estimate
from training.metrics.resampling import Resampling, share


def attribute_recall(
    probabilities: NDArray[np.float32], truth: NDArray[np.int64], k: int, resampling: Resampling
) -> tuple[Estimate, Estimate] | None:
    """`(pooled, per_attribute)` top-k recall; None where no image has an attribute.

    Args:
        probabilities: (N, A).
        truth: (N, A): 1 has it, 0 has it not, -1 unknown. Unknown ones are neither ranked nor counted.
        k: Attributes said of each image.
        resampling: Of the N images.
    """
    positive = truth == 1
    if not positive.any():
        return None
    ranked = np.where(truth == -1, -np.inf, probabilities)
    best = np.argsort(-ranked, axis=1, kind="stable")[:, :k]
    said = np.zeros(truth.shape, dtype=bool)
    np.put_along_axis(said, best, True, axis=1)
    hit = said & positive
    pooled = resampling.estimate(share, np.column_stack([hit.sum(1), positive.sum(1)]).astype(np.float64))
    attributes = truth.shape[1]

    def mean_recall(sums: NDArray[np.float64]) -> NDArray[np.float64]:
        found, there = sums[:, :attributes], sums[:, attributes:]
        recall = np.divide(found, there, out=np.zeros_like(found), where=there > 0)
        return share(np.column_stack([recall.sum(1), (there > 0).sum(1)]))

    return pooled, resampling.estimate(mean_recall, np.hstack([hit, positive]).astype(np.float64))
