"""Boxes: intersection over union."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def box_iou(boxes: NDArray[np.floating], truth: NDArray[np.floating]) -> NDArray[np.float64]:
    """(N,) intersection over union of (N, 4) boxes `x1, y1, x2, y2`, pair by pair; NaN where the truth is unknown.

    A box whose corners are the wrong way round is empty and scores 0.
    """
    ours, theirs = boxes.astype(np.float64), truth.astype(np.float64)
    width = np.minimum(ours[:, 2], theirs[:, 2]) - np.maximum(ours[:, 0], theirs[:, 0])
    height = np.minimum(ours[:, 3], theirs[:, 3]) - np.maximum(ours[:, 1], theirs[:, 1])
    inter = np.maximum(width, 0) * np.maximum(height, 0)
    union = _area(ours) + _area(theirs) - inter
    iou = np.divide(inter, union, out=np.zeros_like(inter), where=union > 0)
    return np.asarray(np.where(np.isnan(theirs).any(1), np.nan, iou))


def _area(boxes: NDArray[np.float64]) -> NDArray[np.float64]:
    sides = np.maximum(boxes[:, 2:] - boxes[:, :2], 0)
    return np.asarray(sides[:, 0] * sides[:, 1])
