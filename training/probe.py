"""Soft labels: what a linear probe on the teacher's features thinks of every view."""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Sequence
from dataclasses import asdict

import numpy as np
from numpy.typing import NDArray

from training.config import TeacherConfig
from training.datasets.record import Record
from training.splits import group_folds
from training.teacher import Basis
from training.views import Views

_FITTED_VIEWS = 2
"""Views an image the probe is fitted on; more changes little and takes longer."""
_ITERATIONS = 60
"""Of L-BFGS."""


def cached_soft_labels(
    records: Sequence[Record], views: Views, basis: Basis, config: TeacherConfig, *, classes: int
) -> NDArray[np.float32]:
    """`soft_labels`, kept beside the views for as long as labels, groups and settings stay the same."""
    facts = [(r.name, r.category, r.trust, r.group) for r in records]
    key = hashlib.sha256(json.dumps([facts, asdict(config)]).encode()).hexdigest()[:16]
    path = views.folder / f"soft-{key}.npy"
    if not path.is_file():
        partial = path.with_suffix(".partial.npy")
        np.save(partial, soft_labels(records, views, basis, config, classes=classes))
        partial.replace(path)
    found: NDArray[np.float32] = np.load(path)
    return found


def soft_labels(
    records: Sequence[Record], views: Views, basis: Basis, config: TeacherConfig, *, classes: int
) -> NDArray[np.float32]:
    """(N, V, C) probabilities, each from a probe that never saw that image's group (sender, product).

    Only fully trusted labels are fitted; classes that a fold lacks get probability 0 there.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    folds = np.array(group_folds([r.group for r in records], config.soft_label_folds))
    trusted = np.array([r.trust == 1.0 for r in records])
    labels = np.array([-1 if r.category is None else r.category for r in records])
    count = min(_FITTED_VIEWS, views.pooled.shape[1])
    result = np.zeros((*views.pooled.shape[:2], classes), dtype=np.float32)
    fitted = basis.standardise(views.pooled[:, :count])
    for fold in range(config.soft_label_folds):
        inside, seen = folds == fold, (folds != fold) & trusted
        if not inside.any():
            continue
        probe = LogisticRegression(C=config.probe_c, max_iter=_ITERATIONS)
        with warnings.catch_warnings():
            # A probe that stops a little early is regularised a little more, which is what soft labels need.
            warnings.simplefilter("ignore", ConvergenceWarning)
            probe.fit(fitted[seen].reshape(-1, fitted.shape[-1]), np.repeat(labels[seen], count))
        asked = basis.standardise(views.pooled[inside])
        probabilities = probe.predict_proba(asked.reshape(-1, asked.shape[-1])).reshape(*asked.shape[:2], -1)
        block = np.zeros((*asked.shape[:2], classes), dtype=np.float32)
        block[..., probe.classes_] = probabilities
        result[inside] = block
    return result
