"""How the training went: errors, loss parts, learning rate and speed over the epochs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from training.report.charts import DASHES, MARKERS, MUTED, SERIES, Canvas, Chart, Table, canvas, legend, plain
from training.report.evidence import Absent, Epoch
from training.report.words import share

_MARKED_EPOCHS: Final = 30
"""Up to here every epoch gets a mark; beyond, marks would run into a band."""
_DECADES_FOR_LOG: Final = 20.0
"""A part this many times smaller than another would lie flat on the axis of a linear scale."""

_HEADROOM: Final = 1.15
_OTHER_TASKS: Final = "figures of other tasks"
"""Missing where there are no other tasks, which is no news."""

Series = tuple[str, tuple[float | None, ...]]
"""Name and a value for each epoch."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Curves:
    """The section's charts, and the curves that the log does not hold."""

    charts: tuple[Chart, ...]
    missing: tuple[str, ...]
    """A sentence for each."""


def learning_curves(epochs: Sequence[Epoch]) -> Curves | Absent:
    """A chart for each kind of curve that the log has."""
    if not epochs:
        return Absent(reason="The run has no log.jsonl with a whole epoch in it: no epoch has ended yet.")
    makers: tuple[tuple[str, Callable[[Sequence[Epoch]], Chart | None]], ...] = (
        ("errors", _error_chart),
        (_OTHER_TASKS, _figure_chart),
        ("parts of the loss", _loss_chart),
        ("learning rate", _rate_chart),
        ("speed", _speed_chart),
    )
    found = [(name, maker(epochs)) for name, maker in makers]
    return Curves(
        charts=tuple(chart for _, chart in found if chart is not None),
        missing=tuple(f"The log holds no {name}." for name, chart in found if chart is None and name != _OTHER_TASKS),
    )


def best_epoch(epochs: Sequence[Epoch]) -> tuple[Epoch, str, float] | None:
    """The epoch whose checkpoint is `best`, the name of the held-out error, and that error; None if none was measured.

    Of equal scores the last counts, as in the loop. Without scores the lowest error decides.
    """
    judged = _judged_by(epochs)
    measured = [epoch for epoch in epochs if judged in dict(epoch.errors)]
    if judged is None or not measured:
        return None
    scored = [(-dict(e.errors)[judged] if e.score is None else e.score, i) for i, e in enumerate(measured)]
    best = measured[max(scored)[1]]
    return best, judged, dict(best.errors)[judged]


def _judged_by(epochs: Sequence[Epoch]) -> str | None:
    """The first error that is not of the training data, or None."""
    return next((name for name, _ in _series(epochs, lambda epoch: epoch.errors) if name != "train"), None)


def _series(epochs: Sequence[Epoch], values: Callable[[Epoch], tuple[tuple[str, float], ...]]) -> tuple[Series, ...]:
    names = dict.fromkeys(name for epoch in epochs for name, _ in values(epoch))
    return tuple((name, tuple(dict(values(epoch)).get(name) for epoch in epochs)) for name in names)


def _without_single_sources(series: tuple[Series, ...]) -> tuple[Series, ...]:
    """Less `holdout/SOURCE` where it is the only source: it says the same as `holdout`."""
    splits = [name.partition("/")[0] for name, _ in series if "/" in name]
    return tuple(
        (name, values) for name, values in series if "/" not in name or splits.count(name.partition("/")[0]) > 1
    )


def _error_chart(epochs: Sequence[Epoch]) -> Chart | None:
    series = _without_single_sources(_series(epochs, lambda epoch: epoch.errors))
    if not series:
        return None
    with canvas("errors") as drawn:
        _lines(drawn, epochs, tuple((name, _scaled(values, 100.0)) for name, values in series))
        drawn.axes.set_ylabel("wrong answers (% of images)")
        _from_zero(drawn)
        _mark_sizes(drawn, epochs)
        best = best_epoch(epochs)
        if best is not None:
            epoch, _, error = best
            drawn.axes.plot(
                [epoch.number], [100 * error], marker="o", markersize=11, color=MUTED, fillstyle="none", linestyle=""
            )
    words = "Share of wrong categories after each epoch."
    if best is not None:
        words += (
            f" The ring marks epoch {best[0].number}, whose checkpoint is `best`: {best[1]} error {share(best[2])}."
        )
    return Chart(
        title="Error",
        description=words,
        svg=drawn.svg,
        table=_table(epochs, series, share),
    )


def _figure_chart(epochs: Sequence[Epoch]) -> Chart | None:
    series = _series(epochs, lambda epoch: epoch.figures)
    if not series:
        return None
    with canvas("tasks") as drawn:
        _lines(drawn, epochs, tuple((name, _scaled(values, 100.0)) for name, values in series))
        drawn.axes.set_ylabel("figure (%)")
        drawn.axes.set_ylim(0.0, 112.0)
        drawn.axes.set_yticks(range(0, 101, 20))
        _mark_sizes(drawn, epochs)
    return Chart(
        title="Other tasks",
        description="What else was measured on held-out images after each epoch; higher is better.",
        svg=drawn.svg,
        table=_table(epochs, series, share),
    )


def _loss_chart(epochs: Sequence[Epoch]) -> Chart | None:
    series = _series(epochs, lambda epoch: epoch.losses)
    if not series:
        return None
    last = [abs(value) for _, values in series for value in values[-1:] if value]
    with canvas("losses") as drawn:
        _lines(drawn, epochs, series)
        drawn.axes.set_ylabel("mean over the epoch (no unit)")
        if last and max(last) > _DECADES_FOR_LOG * min(last):
            drawn.axes.set_yscale("log")
        else:
            _from_zero(drawn)
        _mark_sizes(drawn, epochs)
    return Chart(
        title="Parts of the loss",
        description="Mean of each part of the loss over each epoch, before its weight.",
        svg=drawn.svg,
        table=_table(epochs, series, lambda value: f"{value:.4f}"),
    )


def _rate_chart(epochs: Sequence[Epoch]) -> Chart | None:
    series = (("learning rate", tuple(epoch.learning_rate for epoch in epochs)),)
    if all(value is None for value in series[0][1]):
        return None
    with canvas("rate") as drawn:
        _lines(drawn, epochs, series, named=False)
        drawn.axes.set_ylabel("learning rate (no unit)")
        _from_zero(drawn)
        drawn.axes.ticklabel_format(axis="y", style="sci", scilimits=(-2, 3), useMathText=False)
    return Chart(
        title="Learning rate",
        description="Step size of the optimiser at the last step of each epoch.",
        svg=drawn.svg,
        table=_table(epochs, series, lambda value: f"{value:.3g}"),
    )


def _speed_chart(epochs: Sequence[Epoch]) -> Chart | None:
    series = (("images/s", tuple(epoch.images_per_s for epoch in epochs)),)
    if all(value is None for value in series[0][1]):
        return None
    with canvas("speed") as drawn:
        _lines(drawn, epochs, series, named=False)
        drawn.axes.set_ylabel("training speed (images/s)")
        _from_zero(drawn)
        _mark_sizes(drawn, epochs)
    return Chart(
        title="Speed",
        description="Images a second of each epoch, measuring included.",
        svg=drawn.svg,
        table=_table(epochs, series, lambda value: f"{value:.0f}"),
    )


def _lines(drawn: Canvas, epochs: Sequence[Epoch], series: Sequence[Series], *, named: bool = True) -> None:
    from matplotlib.ticker import MaxNLocator

    numbers = [epoch.number for epoch in epochs]
    for index, (name, values) in enumerate(series):
        drawn.axes.plot(
            numbers,
            [float("nan") if value is None else value for value in values],
            color=SERIES[index % len(SERIES)],
            linestyle=DASHES[index % len(DASHES)],
            marker=MARKERS[index % len(MARKERS)] if len(epochs) <= _MARKED_EPOCHS else "",
            label=plain(name.replace("_", " ")),
        )
    drawn.axes.set_xlabel("epoch")
    drawn.axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    if numbers[0] == numbers[-1]:
        drawn.axes.set_xlim(numbers[0] - 1, numbers[0] + 1)
    if named:
        legend(drawn.axes)


def _from_zero(drawn: Canvas) -> None:
    """An axis from 0 (or from what lies below it), with room above the curves for the marks of input sizes."""
    low, high = min(drawn.axes.dataLim.y0, 0.0), drawn.axes.dataLim.y1
    drawn.axes.set_ylim(low, low + (high - low) * _HEADROOM if high > low else low + 1.0)


def _mark_sizes(drawn: Canvas, epochs: Sequence[Epoch]) -> None:
    """A line where the input size changes, with the size beside it."""
    sizes = [epoch.size_px for epoch in epochs]
    changes = [i for i in range(1, len(epochs)) if sizes[i] != sizes[i - 1]]
    if not changes or len(changes) > len(SERIES):
        return
    for index in changes:
        between = (epochs[index - 1].number + epochs[index].number) / 2
        drawn.axes.axvline(between, color=MUTED, linewidth=1.0, linestyle=(0, (2, 2)))
        drawn.axes.annotate(
            f" {sizes[index]} px",
            (between, 1.0),
            xycoords=("data", "axes fraction"),
            va="top",
            color=MUTED,
            fontsize=9,
        )


def _scaled(values: Sequence[float | None], factor: float) -> tuple[float | None, ...]:
    return tuple(None if value is None else factor * value for value in values)


def _table(epochs: Sequence[Epoch], series: Sequence[Series], words: Callable[[float], str]) -> Table:
    rows = tuple(
        (str(epoch.number), *("–" if values[i] is None else words(float(values[i] or 0.0)) for _, values in series))
        for i, epoch in enumerate(epochs)
    )
    return Table(columns=("epoch", *(name.replace("_", " ") for name, _ in series)), rows=rows)
