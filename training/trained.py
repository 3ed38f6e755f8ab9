"""A trained network with the data it was trained by: what measuring and exporting start from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from schemas.model_card import Preprocessing
from training.config import Config
from training.datasets.record import DataSet, Record, Split
from training.datasets.sources import load_data_set
from training.embedding import fit_map
from training.metrics.retrieval import map_at_r, neighbour_precision
from training.model import Student
from training.predict import pooled_features, unit
from training.predictions import UNKNOWN, Predictions, product_numbers
from training.run_folder import DATA, LAST
from training.trained_student import load_student
from workers.errors import ConfigurationError

T = TypeVar("T")

FEWEST_HELD_OUT = 20
"""Held-out images under which temperature, precision and threshold cannot be chosen."""
_CATALOG_IMAGES = 4000
"""Training images that stand for a catalog when int8 and the no-match threshold are judged."""
_MAPPED_IMAGES = 20_000
"""Training images that the embedding map is fitted on; 512 x 512 covariances are well known long before."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Trained:
    """A run's averaged student with everything it was trained by."""

    config: Config
    student: Student
    data: DataSet
    preprocessing: Preprocessing
    checkpoint: str
    """File name in the run's folder."""


def load_run(run: Path, *, checkpoint: str = LAST, input_size: int | None = None) -> Trained:
    """The averaged student of a run, with its data set as it is now.

    Raises:
        ConfigurationError: the run lacks its config or checkpoint, or they do not fit together or to the data set.
    """
    found = load_student(run, checkpoint=checkpoint)
    config = found.config
    data = load_data_set(config.data)
    if (found.labels, found.attributes) != (data.labels, data.attributes) and (run / DATA).is_file():
        raise ConfigurationError(
            f"the data set has other labels or attributes than when the run in {run} began: restore it, or train anew"
        )
    return Trained(
        config=config,
        student=found.student.float(),
        data=data,
        preprocessing=Preprocessing(input_size=input_size or config.model.input_size),
        checkpoint=checkpoint,
    )


def of_split(records: Sequence[Record], split: Split, source: str | None = None) -> tuple[Record, ...]:
    """Records of a split (and source) of which something is known; a label that is not fully trusted is not known."""
    return tuple(
        r
        for r in records
        if r.split == split
        and source in (None, r.source)
        and (_trusted(r) or r.attributes is not None or r.box is not None or r.product is not None)
    )


def held_out_split(data: DataSet) -> Split:
    """Where choices are made: the holdout, or validation where nothing was held out and there is a test split."""
    splits = {r.split for r in data.records}
    return "validation" if "holdout" not in splits and {"validation", "test"} <= splits else "holdout"


def measured_splits(data: DataSet) -> tuple[Split, ...]:
    """What is measured unless something else is asked for: validation, or test if validation made the choices; queries."""
    return ("test" if held_out_split(data) == "validation" else "validation", "query")


def held_out(data: DataSet) -> tuple[Record, ...]:
    """The held-out images of the first source that has enough of them: real photographs come before drawings.

    Raises:
        ConfigurationError: no source has.
    """
    split = held_out_split(data)
    for source in dict.fromkeys(r.source for r in data.records):
        held = of_split(data.records, split, source)
        if len(held) >= FEWEST_HELD_OUT:
            return held
    count = len(of_split(data.records, split))
    raise ConfigurationError(
        f"{count} held-out images cannot choose a temperature and a precision, it takes {FEWEST_HELD_OUT} of one "
        "source: raise data.holdout_share"
    )


def catalog(data: DataSet, source: str) -> tuple[Record, ...]:
    """Training images of a source, 4,000 at most, evenly over its records: what held-out images search."""
    return _spread(of_split(data.records, "train", source), _CATALOG_IMAGES)


def choose_map(trained: Trained, *, box_margin: float | None = None) -> nn.Module | None:
    """The embedding map, fitted on training images; None where held-out images find their like better without it.

    It pulls categories apart, which is what browsing wants; a network that was trained to tell products apart may do
    better as it is. Where held-out products have several images these decide, by mAP@R; else categories, by precision@10.

    Args:
        trained: The network.
        box_margin: Cuts images to their boxes first; None shows them whole, as serving does.
    """
    size = trained.preprocessing.input_size
    train = [r for r in of_split(trained.data.records, "train") if _trusted(r)]
    labels = np.array([r.category for r in train], dtype=np.int64)
    if len(np.unique(labels)) < 2:
        return None
    rows = _spread(range(len(train)), _MAPPED_IMAGES)
    features = pooled_features(trained.student, [train[i] for i in rows], size, box_margin=box_margin)
    mapping = fit_map(features, labels[list(rows)])
    try:
        held = held_out(trained.data)
    except ConfigurationError:
        return mapping
    plain = pooled_features(trained.student, held, size, box_margin=box_margin)
    with torch.inference_mode():
        mapped = mapping(torch.from_numpy(plain)).numpy()
    return mapping if _likeness(mapped, held) >= _likeness(plain, held) else None


def _likeness(features: NDArray[np.float32], held: Sequence[Record]) -> float:
    """How well held-out images find their like among each other, 0..1."""
    found = Predictions(
        records=tuple(held), vectors=unit(features), probabilities=np.zeros((len(held), 0), dtype=np.float32)
    )
    products, categories = product_numbers(found)[0], found.categories
    by_product = map_at_r(found.vectors[products != UNKNOWN], products[products != UNKNOWN])
    if np.isfinite(by_product).any():
        return float(np.nanmean(by_product))
    known = categories != UNKNOWN
    return float(neighbour_precision(found.vectors[known], categories[known], k=min(10, int(known.sum()) - 1)).mean())


def _trusted(record: Record) -> bool:
    return record.category is not None and record.trust == 1.0


def _spread(items: Sequence[T], most: int) -> tuple[T, ...]:
    """At most `most` of them, evenly."""
    step = max(1, -(-len(items) // most))
    return tuple(items[::step])
