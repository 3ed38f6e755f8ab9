"""Categories: top-k, the confusion matrix, and precision, recall and F1 a class."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from training.evaluation import ClassFigures, Estimate
from training.metrics.resampling import Resampling, Statistic, share


def top_k(probabilities: NDArray[np.float32], labels: NDArray[np.int64], k: int) -> NDArray[np.float64]:
    """(N,) 1.0 where the label is among the `k` most probable."""
    best = np.argsort(-probabilities, axis=1, kind="stable")[:, :k]
    return np.asarray((best == labels[:, None]).any(axis=1), dtype=np.float64)


def confusion_matrix(predicted: NDArray[np.int64], labels: NDArray[np.int64], classes: int) -> NDArray[np.int64]:
    """(C, C) images by true (row) and predicted (column) class."""
    return np.bincount(labels * classes + predicted, minlength=classes**2).reshape(classes, classes)


def class_figures(
    predicted: NDArray[np.int64], labels: NDArray[np.int64], names: Sequence[str], resampling: Resampling
) -> tuple[ClassFigures, ...]:
    """Precision, recall and F1 of every class, with intervals; None where a denominator is 0."""
    figures = []
    for c, name in enumerate(names):
        said, true = predicted == c, labels == c
        both, either = (said & true).astype(float), said.astype(float) + true
        figures.append(
            ClassFigures(
                label=name,
                images=int(true.sum()),
                predicted=int(said.sum()),
                precision=_share(both, said.astype(float), resampling),
                recall=_share(both, true.astype(float), resampling),
                f1=_share(2 * both, either, resampling),
            )
        )
    return tuple(figures)


def macro_f1(predicted: NDArray[np.int64], labels: NDArray[np.int64], classes: int, resampling: Resampling) -> Estimate:
    """Mean F1 over the classes that occur, as labels or as predictions: rare classes count like common ones."""
    said, true = np.eye(classes)[predicted], np.eye(classes)[labels]
    return resampling.estimate(_macro(classes), np.hstack([2 * said * true, said + true]))


def macro_recall(
    predicted: NDArray[np.int64], labels: NDArray[np.int64], classes: int, resampling: Resampling
) -> Estimate:
    """Mean recall over the classes that have images (balanced accuracy)."""
    said, true = np.eye(classes)[predicted], np.eye(classes)[labels]
    return resampling.estimate(_macro(classes), np.hstack([said * true, true]))


def macro_precision(
    predicted: NDArray[np.int64], labels: NDArray[np.int64], classes: int, resampling: Resampling
) -> Estimate:
    """Mean precision over the classes that were predicted."""
    said, true = np.eye(classes)[predicted], np.eye(classes)[labels]
    return resampling.estimate(_macro(classes), np.hstack([said * true, said]))


def _macro(classes: int) -> Statistic:
    """The mean of the shares of `classes` numerator columns over as many denominator columns, skipping empty ones."""

    def statistic(sums: NDArray[np.float64]) -> NDArray[np.float64]:
        numerator, denominator = sums[:, :classes], sums[:, classes:]
        occurs = denominator > 0
        shares = np.divide(numerator, denominator, out=np.zeros_like(numerator), where=occurs)
        return share(np.column_stack([shares.sum(1), occurs.sum(1)]))

    return statistic


def _share(numerator: NDArray[np.float64], denominator: NDArray[np.float64], resampling: Resampling) -> Estimate | None:
    if not denominator.any():
        return None
    return resampling.estimate(share, np.column_stack([numerator, denominator]))
