"""How many images of each class every split holds."""

from __future__ import annotations

from typing import Final

import numpy as np

from training.report.charts import MUTED, SERIES, Chart, Table, canvas, legend, plain
from training.report.evidence import Absent, Balance, DataFacts

_MOST_BARS: Final = 24
_HATCHES: Final = ("", "///", "...", "xxx", "\\\\\\", "+++")
"""Splits are told apart without colour as well."""


def class_balance(data: DataFacts | None) -> Chart | Absent:
    """Shares of the classes in every split, the most frequent class first."""
    if data is None or data.balance is None:
        return Absent(reason="The run's data.json does not say how many images of each class there are.")
    return _chart(data.balance)


def _chart(balance: Balance) -> Chart:
    order = np.argsort(-balance.counts.sum(1), kind="stable")
    shown = order[:_MOST_BARS]
    totals = np.maximum(balance.counts.sum(0), 1)
    width = 0.8 / len(balance.splits)
    with canvas("balance", height_in=0.9 + 0.3 * len(shown)) as drawn:
        places = np.arange(len(shown))
        for index, split in enumerate(balance.splits):
            drawn.axes.barh(
                places + (index + 0.5) * width - 0.4,
                100 * balance.counts[shown, index] / totals[index],
                height=width,
                color=SERIES[index % len(SERIES)],
                edgecolor=MUTED,
                linewidth=0.4,
                hatch=_HATCHES[index % len(_HATCHES)],
                label=f"{plain(split)} ({balance.counts[:, index].sum():,})",
            )
        drawn.axes.set_yticks(places, [plain(balance.labels[i]) for i in shown])
        drawn.axes.invert_yaxis()
        drawn.axes.grid(visible=False, axis="y")
        drawn.axes.set_xlabel("share of the split's labelled images (%)")
        legend(drawn.axes)
    rows = [(balance.labels[i], *(f"{n:,}" for n in balance.counts[i])) for i in order]
    if any(balance.unlabelled):
        rows.append(("class unknown", *(f"{n:,}" for n in balance.unlabelled)))
    left_out = len(order) - len(shown)
    more = f" The {left_out} smaller classes are in the table only." if left_out else ""
    return Chart(
        title="Class balance",
        description=f"Share of each class in every split; behind each split its labelled images.{more}",
        svg=drawn.svg,
        table=Table(columns=("class", *balance.splits), rows=tuple(rows)),
    )
