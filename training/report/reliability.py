"""Whether the stated confidence can be believed: confidence against accuracy."""

from __future__ import annotations

from dataclasses import dataclass

from schemas.model_card import Metric
from training.report.charts import LINE, MUTED, SERIES, Chart, Table, canvas, legend
from training.report.evidence import NOT_EVALUATED, Absent, Measurement
from training.report.words import share


@dataclass(frozen=True, kw_only=True, slots=True)
class _Bin:
    """A bin that holds images."""

    low: float
    high: float
    images: int
    confidence: float
    accuracy: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Reliability:
    """The section."""

    data: str
    chart: Chart
    error: Metric | None
    """Expected calibration error."""
    error_of_chance: float | None
    """What as many images would show if every confidence were exactly right."""
    gap: float
    """Mean confidence less accuracy: above 0 the network is too sure of itself."""


def reliability(measurement: Measurement | None) -> Reliability | Absent:
    """The section of one measured data set."""
    if measurement is None:
        return NOT_EVALUATED
    bins = tuple(
        _Bin(low=b.low, high=b.high, images=b.images, confidence=b.confidence, accuracy=b.accuracy)
        for b in measurement.figures.reliability
        if b.images and b.confidence is not None and b.accuracy is not None
    )
    if not bins:
        return Absent(reason=f"No image of {measurement.data} has a known category to compare with.")
    images = sum(b.images for b in bins)
    return Reliability(
        data=measurement.data,
        chart=_chart(bins),
        error=measurement.metric("ece"),
        error_of_chance=measurement.figures.ece_of_chance,
        gap=sum(b.images * (b.confidence - b.accuracy) for b in bins) / images,
    )


def _chart(bins: tuple[_Bin, ...]) -> Chart:
    images = sum(b.images for b in bins)
    with canvas("reliability", height_in=3.9) as drawn:
        axes = drawn.axes
        axes.bar(
            [100 * b.low for b in bins],
            [100 * b.images / images for b in bins],
            width=[100 * (b.high - b.low) for b in bins],
            align="edge",
            color=LINE,
            edgecolor=MUTED,
            linewidth=0.5,
            label="images in the bin (%)",
        )
        axes.plot([0, 100], [0, 100], color=MUTED, linestyle=(0, (4, 3)), linewidth=1.2, label="ideal")
        axes.plot(
            [100 * b.confidence for b in bins],
            [100 * b.accuracy for b in bins],
            color=SERIES[0],
            marker="o",
            label="accuracy of the bin",
        )
        axes.set_xlim(0, 100)
        axes.set_ylim(0, 103)
        axes.set_xlabel("stated confidence (%)")
        axes.set_ylabel("right answers (%)")
        legend(axes)
    rows = tuple(
        (
            f"{100 * b.low:.0f} % to {100 * b.high:.0f} %",
            str(b.images),
            f"{share(b.confidence)}",
            f"{share(b.accuracy)}",
        )
        for b in bins
    )
    return Chart(
        title="Reliability",
        description=(
            "Accuracy of the images in each bin of confidence. On the dashed line confidence means what it says; "
            "below it the network is too sure of itself. Bins of few images scatter."
        ),
        svg=drawn.svg,
        table=Table(columns=("confidence", "images", "mean confidence", "accuracy"), rows=rows),
    )
