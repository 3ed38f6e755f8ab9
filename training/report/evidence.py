"""What a run left behind, as values: the same for every section, whatever the files look like."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from schemas.model_card import Metric
from training.evaluation import Evaluation, SplitEvaluation


@dataclass(frozen=True, kw_only=True, slots=True)
class Absent:
    """A section with nothing to show."""

    reason: str
    """One sentence for the reader of the page: why, and what would bring it."""


NOT_EVALUATED: Final = Absent(reason="The run was not evaluated yet: run `python -m training evaluate` on it first.")
NO_PREDICTIONS: Final = Absent(
    reason="The predictions of single images are not in the run's folder: evaluate the run again."
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Epoch:
    """A line of the log."""

    number: int
    """From 1."""
    size_px: int | None
    seconds: float | None
    """Of this epoch alone."""
    images_per_s: float | None
    learning_rate: float | None
    losses: tuple[tuple[str, float], ...]
    """Name and mean over the epoch of each part of the loss."""
    errors: tuple[tuple[str, float], ...]
    """Name of what was measured (`train`, `holdout`, ...) and share of wrong answers, 0..1."""
    figures: tuple[tuple[str, float], ...]
    """What else was measured after the epoch (`box_iou`, ...), 0..1, higher is better."""
    score: float | None
    """What the checkpoint `best` is chosen by, higher is better."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Balance:
    """Images a class and a split."""

    splits: tuple[str, ...]
    labels: tuple[str, ...]
    counts: NDArray[np.int64]
    """(labels, splits)."""
    unlabelled: tuple[int, ...]
    """Images of each split whose class is unknown; they serve the other tasks."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DataFacts:
    """What the run says of its data."""

    labels: tuple[str, ...]
    attributes: tuple[str, ...]
    licence: str
    digest: str
    balance: Balance | None


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Shown:
    """What the network says of N images of one data set and split, and what is true of them."""

    sources: tuple[str, ...]
    names: tuple[str, ...]
    splits: tuple[str, ...]
    """With `sources` and `names` one for each image."""
    categories: NDArray[np.int64]
    """(N,) the true class, -1 where it is unknown."""
    products: tuple[str | None, ...]
    probabilities: NDArray[np.float32]
    """(N, C)."""
    vectors: NDArray[np.float32]
    """(N, D), L2-normalised."""
    boxes: NDArray[np.float32] | None
    """(N, 4) predicted x1, y1, x2, y2 as shares."""
    true_boxes: NDArray[np.float32] | None
    """(N, 4); NaN where unknown."""

    @property
    def predicted(self) -> NDArray[np.int64]:
        """(N,) the most probable class."""
        best: NDArray[np.int64] = self.probabilities.argmax(1)
        return best

    @property
    def confidence(self) -> NDArray[np.float32]:
        """(N,) its probability."""
        best: NDArray[np.float32] = self.probabilities.max(1)
        return best


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Measurement:
    """One data set and split: its figures, and its images where they were kept."""

    figures: SplitEvaluation
    labels: tuple[str, ...]
    shown: Shown | None
    """None: the predictions of single images are not in the run's folder."""
    gallery: Shown | None = None
    """What was searched; None: the images search each other."""

    @property
    def data(self) -> str:
        """Source and split."""
        return self.figures.data

    def metric(self, name: str) -> Metric | None:
        """The figure of that name, or None."""
        return next((m for m in self.figures.metrics if m.name == name), None)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Run:
    """Everything in a run's folder that a report shows."""

    folder: Path
    settings: tuple[tuple[str, str, str], ...]
    """Group, name and value of every setting."""
    config_digest: str
    data: DataFacts | None
    epochs: tuple[Epoch, ...]
    evaluation: Evaluation | None
    """None: the run was not evaluated."""
    measurements: tuple[Measurement, ...]
    """One for each split of the evaluation, in its order."""

    def setting(self, group: str, name: str) -> str | None:
        """The value of a setting as text, or None."""
        return next((value for g, n, value in self.settings if (g, n) == (group, name)), None)
