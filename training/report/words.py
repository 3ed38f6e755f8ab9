"""What the figures are called and what they mean, for readers who did not write the metric code."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from schemas.model_card import Metric

_NAME_CHARS: Final = 34
"""Two lines under a picture."""
_MEANINGS: Final = {
    "top1": ("Category right", "the most probable category is the true one (top-1)"),
    "top3": ("Category among three", "the true category is among the three most probable (top-3)"),
    "top5": ("Category among five", "the true category is among the five most probable (top-5)"),
    "macro_precision": ("Precision, mean of categories", "of what is called a category, the share that is one"),
    "macro_recall": ("Recall, mean of categories", "of the images of a category, the share that is found"),
    "macro_f1": ("F1, mean of categories", "harmonic mean of precision and recall"),
    "ece": ("Error of the confidence", "mean gap between stated confidence and accuracy (ECE); 0 is best"),
    "neighbour_precision_at_1": (
        "Nearest neighbour's category right",
        "the most similar image shows the same category",
    ),
    "neighbour_precision_at_10": (
        "Ten neighbours' category right",
        "share of the ten most similar with the same category",
    ),
    "product_recall_at_1": ("Product found first", "the most similar image shows the same product (Recall@1)"),
    "product_recall_at_10": (
        "Product found among ten",
        "one of the ten most similar shows the same product (Recall@10)",
    ),
    "product_recall_at_20": ("Product found among twenty", "one of the twenty most similar shows it (Recall@20)"),
    "product_map_at_r": ("Whole product found (mAP@R)", "mean average precision over as many places as right answers"),
    "attribute_recall_at_3_pooled": (
        "Attributes among three, pooled",
        "share of the true attributes among the three most probable",
    ),
    "attribute_recall_at_5_pooled": (
        "Attributes among five, pooled",
        "share of the true attributes among the five most probable",
    ),
    "attribute_recall_at_3_per_attribute": (
        "Attributes among three, mean",
        "the same share for each attribute, then their mean",
    ),
    "attribute_recall_at_5_per_attribute": (
        "Attributes among five, mean",
        "the same share for each attribute, then their mean",
    ),
    "box_iou": ("Overlap of boxes", "mean intersection over union of predicted and true box"),
    "box_iou_over_half": ("Boxes at least half right", "share of boxes with an intersection over union above one half"),
    "no_match_false_accept": ("Strangers let pass", "images without a match that find something above the threshold"),
    "no_match_true_accept": ("Matches let pass", "images with a match that find it above the threshold"),
}
_BY_KIND: Final = tuple(f"attribute_recall_at_{k}_{way}_" for k in (3, 5) for way in ("pooled", "per_attribute"))
HEADLINE: Final = ("top1", "product_recall_at_1", "neighbour_precision_at_1", "box_iou", "ece")
"""What the top of the page shows, in this order, where it was measured."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Figure:
    """A metric in words."""

    name: str
    """As in the card."""
    title: str
    meaning: str
    value: str
    interval: str
    """Empty where none was computed."""
    data: str
    images: int
    shares: tuple[float, float, float] | None
    """Low, value and high between 0 and 1 for a bar; None for what is no share."""


def figure(metric: Metric) -> Figure:
    """The metric in words; one that is not known here keeps its name."""
    title, meaning = _MEANINGS.get(metric.name) or _of_a_kind(metric.name)
    bounds = (
        metric.value if metric.low is None else metric.low,
        metric.value,
        metric.value if metric.high is None else metric.high,
    )
    is_share = all(0.0 <= bound <= 1.0 for bound in bounds)
    interval = (
        ""
        if metric.low is None or metric.high is None
        else f"{_number(metric.low, is_share)} to {_number(metric.high, is_share)}"
    )
    return Figure(
        name=metric.name,
        title=title,
        meaning=meaning,
        value=_number(metric.value, is_share),
        interval=interval,
        data=metric.data,
        images=metric.images,
        shares=bounds if is_share else None,
    )


def _of_a_kind(name: str) -> tuple[str, str]:
    """Title and meaning of a figure that is restricted to a kind of attributes; any other keeps its name."""
    for known in _BY_KIND:
        if name.startswith(known):
            title, meaning = _MEANINGS[known.removesuffix("_")]
            return f"{title}: {name.removeprefix(known)}", meaning
    return name.replace("_", " "), ""


def _number(value: float, is_share: bool) -> str:
    return share(value) if is_share else f"{value:.3g}"


def share(value: float) -> str:
    """A share in per cent, with one decimal."""
    return f"{100 * value:.1f} %"


def shortened(name: str) -> str:
    """The end of a long name of an image: what tells it from its neighbours; the page has the whole as a tooltip."""
    return name if len(name) <= _NAME_CHARS else f"…\u2060{name[1 - _NAME_CHARS :]}"
