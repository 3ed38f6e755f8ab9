"""Figures that a reader can believe: each with a 95 % bootstrap interval over senders or products."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from schemas.model_card import Metric
from training.evaluation import Estimate, SplitEvaluation
from training.metrics import classification, reliability, retrieval
from training.metrics.attributes import attribute_recall
from training.metrics.boxes import box_iou
from training.metrics.no_match import Key, accept_rates
from training.metrics.resampling import Resampling
from training.predictions import UNKNOWN, Predictions, product_numbers

_TOP = (1, 3, 5)
_CATEGORY_NEIGHBOURS = (1, 10)
_PRODUCT_NEIGHBOURS = (1, 10, 20)
"""As DeepFashion's in-shop benchmark reports them."""
_ATTRIBUTES_SAID = (3, 5)
_GOOD_IOU = 0.5


@dataclass(frozen=True, kw_only=True, slots=True)
class _Figure:
    name: str
    estimate: Estimate
    images: int
    gallery: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Threshold:
    """A similarity under which there is no match, with the images that are searched when it is measured."""

    below: float
    by: Key
    catalog: Predictions | None = None
    """Searched beside the measured images themselves."""


def measure(
    predictions: Predictions,
    *,
    data: str,
    engine: str,
    gallery: Predictions | None = None,
    threshold: Threshold | None = None,
    attribute_groups: Sequence[str] = (),
) -> tuple[Metric, ...]:
    """Every figure that the records' labels allow.

    Args:
        predictions: What was said of the split.
        data: Its name, as `photographs/validation`.
        engine: What said it, as `openvino-int8`.
        gallery: What is searched; None lets the images search each other, each leaving itself out.
        threshold: Its accept rates are measured too.
        attribute_groups: For each attribute the kind it is published under; its figures are then given too.
    """
    resampling = Resampling(predictions.groups)
    figures = [
        *_category_figures(predictions),
        *_category_neighbours(predictions, gallery),
        *_product_neighbours(predictions, gallery),
        *_attribute_figures(predictions, attribute_groups, resampling),
        *_box_figures(predictions, resampling),
        *_accept_figures(predictions, gallery, threshold, resampling),
    ]
    return tuple(
        Metric(
            name=figure.name,
            value=figure.estimate.value,
            low=figure.estimate.low,
            high=figure.estimate.high,
            data=data,
            engine=engine,
            images=figure.images,
            groups=resampling.groups,
            gallery=figure.gallery,
        )
        for figure in figures
    )


def evaluate_split(
    predictions: Predictions,
    labels: Sequence[str],
    *,
    data: str,
    engine: str,
    gallery: Predictions | None = None,
    threshold: Threshold | None = None,
    attribute_groups: Sequence[str] = (),
) -> SplitEvaluation:
    """`measure` with the tables a report draws: confusion, classes, reliability."""
    known = predictions.take(predictions.categories != UNKNOWN)
    some = len(known) > 0 and known.probabilities.shape[1] > 0
    said, true = known.probabilities.argmax(1) if some else np.zeros(0, np.int64), known.categories
    confusion = classification.confusion_matrix(said, true, len(labels)).tolist() if some else []
    return SplitEvaluation(
        data=data,
        images=len(predictions),
        gallery=None if gallery is None else len(gallery),
        groups=len(np.unique(predictions.groups)),
        metrics=measure(
            predictions,
            data=data,
            engine=engine,
            gallery=gallery,
            threshold=threshold,
            attribute_groups=attribute_groups,
        ),
        confusion=tuple(tuple(row) for row in confusion),
        classes=classification.class_figures(said, true, labels, Resampling(known.groups)) if some else (),
        reliability=reliability.reliability_bins(known.probabilities, true) if some else (),
        ece_of_chance=reliability.calibration_error_of_chance(known.probabilities) if some else None,
    )


def _category_figures(predictions: Predictions) -> Iterator[_Figure]:
    known = predictions.take(predictions.categories != UNKNOWN)
    if not len(known) or not known.probabilities.shape[1]:
        return
    resampling = Resampling(known.groups)
    p, true = known.probabilities, known.categories
    said, classes = p.argmax(1), p.shape[1]
    for k in _TOP:
        if k == 1 or k < classes:
            yield _Figure(name=f"top{k}", estimate=resampling.mean(classification.top_k(p, true, k)), images=len(known))
    for name, macro in (
        ("macro_precision", classification.macro_precision),
        ("macro_recall", classification.macro_recall),
        ("macro_f1", classification.macro_f1),
    ):
        yield _Figure(name=name, estimate=macro(said, true, classes, resampling), images=len(known))
    yield _Figure(name="ece", estimate=reliability.calibration_error(p, true, resampling), images=len(known))


def _category_neighbours(predictions: Predictions, gallery: Predictions | None) -> Iterator[_Figure]:
    mine, theirs = predictions.categories, None if gallery is None else gallery.categories
    known = mine != UNKNOWN
    searched = _known_part(gallery, theirs)
    count = known.sum() - 1 if searched is None else len(searched[1])
    for k in _CATEGORY_NEIGHBOURS:
        if known.any() and count >= k:
            each = retrieval.neighbour_precision(predictions.vectors[known], mine[known], k=k, gallery=searched)
            yield _Figure(
                name=f"neighbour_precision_at_{k}",
                estimate=Resampling(predictions.groups[known]).mean(each),
                images=int(known.sum()),
                gallery=int(count),
            )


def _product_neighbours(predictions: Predictions, gallery: Predictions | None) -> Iterator[_Figure]:
    """Only queries with another image of their product in what they search count."""
    numbers = product_numbers(predictions) if gallery is None else product_numbers(predictions, gallery)
    mine, theirs = numbers[0], None if gallery is None else numbers[1]
    known = mine != UNKNOWN
    vectors, keys, searched = predictions.vectors[known], mine[known], _known_part(gallery, theirs)
    each = retrieval.map_at_r(vectors, keys, gallery=searched) if known.any() else np.zeros(0)
    counted = int(np.isfinite(each).sum())
    if not counted:
        return
    resampling = Resampling(predictions.groups[known])
    count = len(keys) - 1 if searched is None else len(searched[1])
    for k in _PRODUCT_NEIGHBOURS:
        if count >= k:
            recall = retrieval.recall_at(vectors, keys, k=k, gallery=searched)
            yield _Figure(
                name=f"product_recall_at_{k}", estimate=resampling.mean(recall), images=counted, gallery=count
            )
    yield _Figure(name="product_map_at_r", estimate=resampling.mean(each), images=counted, gallery=count)


def _attribute_figures(predictions: Predictions, groups: Sequence[str], resampling: Resampling) -> Iterator[_Figure]:
    """Over all attributes; and `pooled` ranked within each kind, as `attribute_recall_at_3_pooled_fabric`.

    A kind of no more attributes than are said is left out: all of it would be said.
    """
    truth = predictions.true_attributes()
    if predictions.attributes is None or truth is None:
        return
    kinds = {"": np.ones(truth.shape[1], dtype=bool)}
    kinds |= {f"_{kind}": np.array([g == kind for g in groups]) for kind in dict.fromkeys(groups)}
    for k in _ATTRIBUTES_SAID:
        for suffix, columns in kinds.items():
            if columns.sum() <= k:
                continue
            found = attribute_recall(predictions.attributes[:, columns], truth[:, columns], k, resampling)
            if found is None:
                continue
            name, images = f"attribute_recall_at_{k}", int((truth[:, columns] == 1).any(1).sum())
            yield _Figure(name=f"{name}_pooled{suffix}", estimate=found[0], images=images)
            if not suffix:
                yield _Figure(name=f"{name}_per_attribute", estimate=found[1], images=images)


def _box_figures(predictions: Predictions, resampling: Resampling) -> Iterator[_Figure]:
    truth = predictions.true_boxes()
    if predictions.boxes is None or truth is None:
        return
    iou = box_iou(predictions.boxes, truth)
    good = np.where(np.isnan(iou), np.nan, iou > _GOOD_IOU)
    images = int(np.isfinite(iou).sum())
    yield _Figure(name="box_iou", estimate=resampling.mean(iou), images=images)
    yield _Figure(name="box_iou_over_half", estimate=resampling.mean(good), images=images)


def _known_part(
    gallery: Predictions | None, keys: NDArray[np.int64] | None
) -> tuple[NDArray[np.float32], NDArray[np.int64]] | None:
    """What of the gallery has a key at all: an image of unknown category is neither right nor wrong."""
    if gallery is None or keys is None:
        return None
    return gallery.vectors[keys != UNKNOWN], keys[keys != UNKNOWN]


def _accept_figures(
    predictions: Predictions, gallery: Predictions | None, threshold: Threshold | None, resampling: Resampling
) -> Iterator[_Figure]:
    if threshold is None:
        return
    catalog = threshold.catalog if gallery is None else gallery
    rates = accept_rates(
        predictions,
        catalog,
        below=threshold.below,
        by=threshold.by,
        itself=gallery is None,
        resampling=resampling,
    )
    searched = (0 if catalog is None else len(catalog)) + (len(predictions) - 1 if gallery is None else 0)
    for name, estimate in rates.items():
        yield _Figure(name=name, estimate=estimate, images=len(predictions), gallery=searched)
