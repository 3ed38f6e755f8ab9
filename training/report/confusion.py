"""Which category is taken for which: the matrix, the most frequent confusions, and precision, recall and F1 a class."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from training.evaluation import ClassFigures
from training.report.evidence import NOT_EVALUATED, Absent, Measurement

_MOST_CLASSES: Final = 40
"""A wider matrix is read by nobody; then the classes with the most mistakes are shown."""
_MOST_CONFUSIONS: Final = 12


@dataclass(frozen=True, kw_only=True, slots=True)
class Cell:
    """Images of one true class (row) that were called another (column)."""

    images: int
    share: float
    """Of the row's images, 0..1; the depth of the cell's colour."""
    right: bool
    words: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Matrix:
    """The confusion matrix as a table."""

    labels: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    left_out: int
    """Classes that are not shown."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Confusion:
    """One class taken for another."""

    true: str
    predicted: str
    images: int
    share: float
    """Of the true class's images."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Categories:
    """The section."""

    data: str
    images: int
    matrix: Matrix
    confusions: tuple[Confusion, ...]
    classes: tuple[ClassFigures, ...]


def categories(measurement: Measurement | None) -> Categories | Absent:
    """The section of one measured data set."""
    if measurement is None:
        return NOT_EVALUATED
    matrix = np.array(measurement.figures.confusion, dtype=np.int64)
    if not matrix.any():
        return Absent(reason=f"No image of {measurement.data} has a known category to compare with.")
    return Categories(
        data=measurement.data,
        images=int(matrix.sum()),
        matrix=_matrix(matrix, measurement.labels),
        confusions=confusions(matrix, measurement.labels),
        classes=tuple(c for c in measurement.figures.classes if c.images or c.predicted),
    )


def confusions(matrix: NDArray[np.int64], labels: tuple[str, ...]) -> tuple[Confusion, ...]:
    """The pairs of classes that are confused most, by images."""
    wrong = matrix.copy()
    np.fill_diagonal(wrong, 0)
    order = np.argsort(-wrong, axis=None, kind="stable")[:_MOST_CONFUSIONS]
    pairs = [tuple(map(int, np.unravel_index(flat, wrong.shape))) for flat in order]
    return tuple(
        Confusion(
            true=labels[true],
            predicted=labels[predicted],
            images=int(wrong[true, predicted]),
            share=float(wrong[true, predicted] / matrix[true].sum()),
        )
        for true, predicted in pairs
        if wrong[true, predicted]
    )


def _matrix(matrix: NDArray[np.int64], labels: tuple[str, ...]) -> Matrix:
    wrong = matrix.sum(0) + matrix.sum(1) - 2 * np.diag(matrix)
    seen = (matrix.sum(0) + matrix.sum(1)) > 0
    worst = np.argsort(np.where(seen, -wrong, 1), kind="stable")[: min(_MOST_CLASSES, int(seen.sum()))]
    shown = np.sort(worst)
    rows = tuple(tuple(_cell(matrix, labels, int(true), int(predicted)) for predicted in shown) for true in shown)
    return Matrix(labels=tuple(labels[i] for i in shown), rows=rows, left_out=len(labels) - len(shown))


def _cell(matrix: NDArray[np.int64], labels: tuple[str, ...], true: int, predicted: int) -> Cell:
    images, whole = int(matrix[true, predicted]), int(matrix[true].sum())
    share = images / whole if whole else 0.0
    verb = "recognised" if true == predicted else f"taken for {labels[predicted]}"
    return Cell(
        images=images,
        share=share,
        right=true == predicted,
        words=f"{labels[true]}: {images} of {whole} {verb} ({100 * share:.0f} %)",
    )
