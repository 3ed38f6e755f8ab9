"""The worst mistakes: images whose category the network was sure of, and wrong."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from training.report.evidence import NO_PREDICTIONS, NOT_EVALUATED, Absent, Measurement, Shown
from training.report.pictures import Picture, Pictures

MOST: Final = 24


@dataclass(frozen=True, kw_only=True, slots=True)
class Mistake:
    """One image."""

    picture: Picture
    name: str
    true: str
    predicted: str
    confidence: float
    true_rank: int
    """Place of the true category among the predicted ones, from 2."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Mistakes:
    """The section."""

    data: str
    wrong: int
    images: int
    """Images with a known category."""
    worst: tuple[Mistake, ...]


def worst_mistakes(measurement: Measurement | None, pictures: Pictures) -> Mistakes | Absent:
    """The wrong answers of one measured data set, the surest first."""
    if measurement is None:
        return NOT_EVALUATED
    if measurement.shown is None:
        return NO_PREDICTIONS
    shown = measurement.shown
    known = int((shown.categories >= 0).sum())
    if not known:
        return Absent(reason=f"No image of {measurement.data} has a known category to compare with.")
    order = wrong_by_confidence(shown)
    if not order:
        return Absent(reason=f"None: all {known} images of {measurement.data} were classified correctly.")
    return Mistakes(
        data=measurement.data,
        wrong=len(order),
        images=known,
        worst=tuple(_mistake(shown, index, measurement.labels, pictures) for index in order[:MOST]),
    )


def wrong_by_confidence(shown: Shown) -> tuple[int, ...]:
    """Indices of the wrongly classified images, the most confident first."""
    wrong = np.flatnonzero((shown.categories >= 0) & (shown.predicted != shown.categories))
    order = np.argsort(-shown.confidence[wrong], kind="stable")
    return tuple(int(i) for i in wrong[order])


def _mistake(shown: Shown, index: int, labels: tuple[str, ...], pictures: Pictures) -> Mistake:
    true, predicted = labels[shown.categories[index]], labels[shown.predicted[index]]
    probability = float(shown.probabilities[index, shown.categories[index]])
    return Mistake(
        picture=pictures.picture(
            shown.sources[index], shown.names[index], alt=f"{shown.names[index]}, a {true} taken for {predicted}"
        ),
        name=shown.names[index],
        true=true,
        predicted=predicted,
        confidence=float(shown.confidence[index]),
        true_rank=1 + int((shown.probabilities[index] > probability).sum()),
    )
