"""Calibrated likeness: the fit against scikit-learn, the curve against what really happens, and the default card."""

from __future__ import annotations

import numpy as np
import pytest

from schemas.model_card import Likeness, ModelCard
from tests.support.predictions import record
from training.metrics.likeness import fit_likeness, fit_logistic
from training.predictions import Predictions
from workers.adapters.bundle import default_bundle


def test_the_fit_is_the_one_of_scikit_learn_on_platts_targets() -> None:
    from sklearn.linear_model import LogisticRegression

    rng = np.random.default_rng(3)
    cosines = rng.uniform(0.3, 1.0, 800)
    right = rng.random(800) < 1 / (1 + np.exp(-(9 * cosines - 6)))
    n_right, n_wrong = right.sum(), (~right).sum()
    target = np.where(right, (n_right + 1) / (n_right + 2), 1 / (n_wrong + 2))
    reference = LogisticRegression(C=np.inf, tol=1e-10, max_iter=10_000).fit(
        np.tile(cosines, 2)[:, None], np.repeat([1, 0], 800), sample_weight=np.concatenate([target, 1 - target])
    )
    slope, intercept = fit_logistic(cosines, right)
    assert slope == pytest.approx(reference.coef_[0, 0], rel=1e-3)
    assert intercept == pytest.approx(reference.intercept_[0], rel=1e-3)


@pytest.mark.parametrize("shift", [0.0, 0.35])
def test_neighbours_that_tell_right_from_wrong_on_their_own_do_not_break_the_fit(shift: float) -> None:
    cosines = np.linspace(0.2, 0.6, 100) + shift
    slope, intercept = fit_logistic(cosines, cosines > 0.4 + shift)
    assert np.isfinite([slope, intercept]).all()
    assert slope > 10


def predictions_of(vectors: np.ndarray, keys: np.ndarray) -> Predictions:
    records = tuple(record(number, category=int(key)) for number, key in enumerate(keys))
    return Predictions(records=records, probabilities=np.zeros((len(keys), 6), np.float32), vectors=vectors)


def clusters(spread: float) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    keys = np.repeat(np.arange(6), 20)
    vectors = rng.normal(size=(6, 16))[keys] + spread * rng.normal(size=(120, 16))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32), keys


def test_the_curve_says_how_often_neighbours_are_right() -> None:
    vectors, keys = clusters(0.9)
    fitted = fit_likeness(predictions_of(vectors, keys), None, data="drawn/validation")
    assert fitted is not None
    assert (fitted.by, fitted.images, fitted.pairs) == ("category", 120, 120 * 20)
    cosine = vectors @ vectors.T
    np.fill_diagonal(cosine, -np.inf)
    nearest = np.argsort(-cosine, axis=1)[:, :20]
    right = keys[nearest] == keys[:, None]
    said = np.array([fitted.of(float(c)) for c in np.take_along_axis(cosine, nearest, axis=1).ravel()])
    assert said.mean() == pytest.approx(right.mean(), abs=0.01)
    for low, high in ((0.0, 0.5), (0.5, 1.0)):
        inside = (said >= low) & (said < high)
        assert said[inside].mean() == pytest.approx(right.ravel()[inside].mean(), abs=0.05)


def test_without_wrong_neighbours_there_is_no_curve() -> None:
    vectors, _ = clusters(0.9)
    assert fit_likeness(predictions_of(vectors, np.zeros(120, dtype=int)), None, data="x") is None


def test_the_curve_stays_between_0_and_1_and_grows() -> None:
    curve = Likeness(slope=1e6, intercept=-5e5, by="product", data="x", images=1, pairs=1)
    assert (curve.of(-1.0), curve.of(1.0)) == (0.0, 1.0)
    assert curve.of(0.5) == pytest.approx(0.5)


def test_the_default_card_says_what_its_similarities_are_worth() -> None:
    card = default_bundle().card
    assert card.likeness is not None
    assert card.likeness.data == "photographs/validation"
    assert card.no_match_below is not None
    assert 0.5 < card.likeness.of(0.6) < card.likeness.of(0.9) < 1.0
    older = card.model_dump(exclude={"likeness"})
    assert ModelCard.model_validate(older).likeness is None
