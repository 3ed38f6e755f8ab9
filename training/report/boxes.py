"""Predicted boxes against true ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from training.report.charts import MUTED, SERIES, Chart, Table, canvas
from training.report.evidence import NO_PREDICTIONS, NOT_EVALUATED, Absent, Measurement, Shown
from training.report.pictures import Picture, Pictures
from training.report.words import share

_DRAWN: Final = 6
_WORST: Final = 12
_BINS: Final = 10


@dataclass(frozen=True, kw_only=True, slots=True)
class Placed:
    """A box in per cent of its picture, as a style sheet places it."""

    left: float
    top: float
    width: float
    height: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Boxed:
    """An image with what was predicted and what is true."""

    picture: Picture
    name: str
    predicted: Placed
    true: Placed
    overlap: float
    """Intersection over union."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Boxes:
    """The section."""

    data: str
    images: int
    mean_overlap: float
    chart: Chart
    drawn: tuple[Boxed, ...]
    worst: tuple[Boxed, ...]


def boxes(measurement: Measurement | None, pictures: Pictures) -> Boxes | Absent:
    """The section of one measured data set."""
    if measurement is None:
        return NOT_EVALUATED
    if measurement.shown is None:
        return NO_PREDICTIONS
    shown = measurement.shown
    if shown.boxes is None:
        return Absent(reason="The network has no box head.")
    if shown.true_boxes is None or np.isnan(shown.true_boxes).all():
        return Absent(reason=f"{measurement.data} does not say where the garments are.")
    known = np.flatnonzero(~np.isnan(shown.true_boxes).any(axis=1))
    said, true = shown.boxes[known], shown.true_boxes[known]
    overlap = overlaps(said, true)
    lot = np.random.default_rng(0).permutation(len(known))[:_DRAWN]
    worst = np.argsort(overlap, kind="stable")[:_WORST]
    return Boxes(
        data=measurement.data,
        images=len(known),
        mean_overlap=float(overlap.mean()),
        chart=_chart(overlap),
        drawn=tuple(_boxed(shown, known[i], said[i], true[i], pictures) for i in lot),
        worst=tuple(_boxed(shown, known[i], said[i], true[i], pictures) for i in worst),
    )


def overlaps(first: NDArray[np.floating], second: NDArray[np.floating]) -> NDArray[np.float64]:
    """(N,) intersection over union of (N, 4) boxes x1, y1, x2, y2; 0 where a union has no area."""
    low, high = np.maximum(first[:, :2], second[:, :2]), np.minimum(first[:, 2:], second[:, 2:])
    common = np.clip(high - low, 0, None).prod(1)
    whole = sum(np.clip(b[:, 2:] - b[:, :2], 0, None).prod(1) for b in (first, second)) - common
    return np.asarray(np.divide(common, whole, out=np.zeros(len(first)), where=whole > 0), dtype=np.float64)


def _boxed(
    shown: Shown, index: int, predicted: NDArray[np.float32], true: NDArray[np.float32], pictures: Pictures
) -> Boxed:
    name, overlap = shown.names[index], float(overlaps(predicted[None], true[None])[0])
    return Boxed(
        picture=pictures.picture(shown.sources[index], name, alt=f"{name}, boxes overlap by {100 * overlap:.0f} %"),
        name=name,
        predicted=_placed(predicted),
        true=_placed(true),
        overlap=overlap,
    )


def _placed(box: NDArray[np.floating]) -> Placed:
    x1, y1, x2, y2 = (100 * float(v) for v in np.clip(box, 0.0, 1.0))
    return Placed(
        left=round(x1, 2), top=round(y1, 2), width=round(max(x2 - x1, 0.0), 2), height=round(max(y2 - y1, 0.0), 2)
    )


def _chart(overlap: NDArray[np.float64]) -> Chart:
    counts, edges = np.histogram(overlap, bins=_BINS, range=(0.0, 1.0))
    shares = 100 * counts / len(overlap)
    with canvas("overlap") as drawn:
        drawn.axes.bar(
            100 * edges[:-1], shares, width=100 / _BINS, align="edge", color=SERIES[0], edgecolor=MUTED, linewidth=0.5
        )
        drawn.axes.set_xlim(0, 100)
        drawn.axes.set_xlabel("intersection over union (%)")
        drawn.axes.set_ylabel("images (%)")
    half = float(np.mean(overlap > 0.5))
    rows = tuple(
        (f"{100 * edges[i]:.0f} % to {100 * edges[i + 1]:.0f} %", str(int(counts[i])), f"{shares[i]:.1f} %")
        for i in range(_BINS)
    )
    return Chart(
        title="Overlap of predicted and true boxes",
        description=f"Mean {share(float(overlap.mean()))}; {share(half)} of the boxes overlap by more than half.",
        svg=drawn.svg,
        table=Table(columns=("intersection over union", "images", "share"), rows=rows),
    )
