"""Whether int8 may replace float: by the loss it costs on the same images, bounded from above.

Two parts of the training data are asked. The held-out senders (products) were never trained on, so the network is as
unsure of them as of a new catalog; they are few, and augmented views of them give more decisions. The images that were
trained on are many: they are cut into folds of whole senders, and each fold searches the others. Both must pass.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.metrics.boxes import box_iou
from training.metrics.classification import top_k
from training.metrics.resampling import Resampling
from training.metrics.retrieval import neighbour_precision
from training.predictions import UNKNOWN, Predictions, product_numbers
from training.splits import group_folds

GATE_POINTS = 1.0
"""int8 is kept if the 95 % bound of its loss in top-1 and in precision@10 is at most this many points; and so that of
attribute recall and box IoU, where there are such heads."""
_NEIGHBOURS = 10
_ATTRIBUTES_SAID = 5
_FOLDS = 5


@dataclass(frozen=True, kw_only=True, slots=True)
class PairedLoss:
    """Float minus int8 on the same images, in points (0.01 = one point of a hundred is 1.0 here)."""

    name: str
    mean: float
    bound: float
    """Upper bound: the 95th percentile over resampled groups."""
    images: int
    groups: int
    """Senders or products; drawn as a whole."""

    def __str__(self) -> str:
        return (
            f"{self.name} {self.mean:+.2f} (95 % bound {self.bound:+.2f}) points on {self.images} images "
            f"of {self.groups} groups"
        )


def keeps_int8(losses: Sequence[PairedLoss]) -> bool:
    """Whether every bound allows it; nothing measured allows nothing."""
    return bool(losses) and all(loss.bound <= GATE_POINTS for loss in losses)


def held_out_losses(
    reference: Predictions, candidate: Predictions, *, galleries: tuple[Predictions, Predictions]
) -> tuple[PairedLoss, ...]:
    """Loss on held-out images and views of them.

    Args:
        reference: Float predictions.
        candidate: int8 predictions of the same inputs.
        galleries: What reference and candidate say of the images that are searched, each by its own vectors.
    """
    keys = [_keys(queries, gallery) for queries, gallery in zip((reference, candidate), galleries, strict=True)]
    precision = [
        _precision(queries, mine, gallery, theirs)
        for queries, gallery, (mine, theirs) in zip((reference, candidate), galleries, keys, strict=True)
    ]
    return _losses("held-out images", reference, candidate, precision)


def fold_losses(reference: Predictions, candidate: Predictions) -> tuple[PairedLoss, ...]:
    """Loss on training images; each fold of whole groups searches the other folds."""
    folds = np.array(group_folds([f"{r.source}/{r.group}" for r in reference.records], _FOLDS))
    precision = []
    for predictions in (reference, candidate):
        keys, _ = _keys(predictions, predictions)
        each = np.full(len(predictions), np.nan)
        for fold in np.unique(folds):
            inside = folds == fold
            mine, others = predictions.take(inside), predictions.take(~inside)
            each[inside] = _precision(mine, keys[inside], others, keys[~inside])
        precision.append(each)
    return _losses("training folds", reference, candidate, precision)


def _keys(queries: Predictions, gallery: Predictions) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """What neighbours should share: the category, or the product where no category is known."""
    if (queries.categories != UNKNOWN).any():
        return queries.categories, gallery.categories
    mine, theirs = product_numbers(queries, gallery)
    return mine, theirs


def _precision(
    queries: Predictions, mine: NDArray[np.int64], gallery: Predictions, theirs: NDArray[np.int64]
) -> NDArray[np.float64]:
    """(N,) precision@10, or as many as there are; NaN for queries of unknown key."""
    each = np.full(len(queries), np.nan)
    known, searched = mine != UNKNOWN, theirs != UNKNOWN
    k = min(_NEIGHBOURS, int(searched.sum()))
    if k and known.any():
        found = (gallery.vectors[searched], theirs[searched])
        each[known] = neighbour_precision(queries.vectors[known], mine[known], k=k, gallery=found)
    return each


def _losses(
    name: str, reference: Predictions, candidate: Predictions, precision: Sequence[NDArray[np.float64]]
) -> tuple[PairedLoss, ...]:
    labels = reference.categories
    right = [np.where(labels == UNKNOWN, np.nan, top_k(p.probabilities, labels, 1)) for p in (reference, candidate)]
    images = _images(reference)
    both = (("top-1", right), ("neighbours' precision@10", precision))
    found = (_paired(f"{name}, {what}", a - b, reference.groups, images) for what, (a, b) in both)
    return tuple(loss for loss in found if loss is not None)


def head_losses(reference: Predictions, candidate: Predictions) -> Iterator[PairedLoss]:
    """Loss of the other heads on held-out images (no views: these have other boxes), where the truth is known."""
    images = _images(reference)
    box, attributes = reference.true_boxes(), reference.true_attributes()
    measures: list[tuple[str, Callable[[Predictions], NDArray[np.float64]]]] = []
    if box is not None and reference.boxes is not None:
        measures.append(("box IoU", lambda p: box_iou(_there(p.boxes), box)))
    if attributes is not None and reference.attributes is not None:
        measures.append(("attribute recall@5", lambda p: _attribute_recall(_there(p.attributes), attributes)))
    for name, measure in measures:
        loss = _paired(f"held-out images, {name}", measure(reference) - measure(candidate), reference.groups, images)
        if loss is not None:
            yield loss


def _attribute_recall(probabilities: NDArray[np.float32], truth: NDArray[np.int64]) -> NDArray[np.float64]:
    """(N,) share of an image's attributes among the five most probable; NaN where it has none."""
    said = np.argsort(np.where(truth == UNKNOWN, np.inf, -probabilities), axis=1, kind="stable")[:, :_ATTRIBUTES_SAID]
    has = truth == 1
    count = has.sum(1)
    found = np.take_along_axis(has, said, axis=1).sum(1)
    return np.where(count > 0, found / np.maximum(count, 1), np.nan)


def _there(rows: NDArray[np.float32] | None) -> NDArray[np.float32]:
    if rows is None:
        raise ValueError("float and int8 graph have other heads")
    return rows


def _images(predictions: Predictions) -> NDArray[np.int64]:
    """(N,) a number for each image; views of one have the same."""
    return np.unique([f"{r.source}/{r.name}" for r in predictions.records], return_inverse=True)[1]


def _paired(
    name: str, differences: NDArray[np.float64], groups: NDArray[np.int64], images: NDArray[np.int64]
) -> PairedLoss | None:
    known = np.isfinite(differences)
    if not known.any():
        return None
    resampling = Resampling(groups[known])
    draws = resampling.draws_of_mean(differences[known])
    return PairedLoss(
        name=name,
        mean=100 * float(differences[known].mean()),
        bound=100 * float(np.percentile(draws, 95)),
        images=len(np.unique(images[known])),
        groups=resampling.groups,
    )
