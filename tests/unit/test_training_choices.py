"""What is chosen by measuring: intervals, temperature, threshold, gate, embedding map."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.stats import bootstrap

from tests.support.predictions import predictions, record, unit
from training.calibration import calibrate, fit_temperature
from training.embedding import fit_map
from training.evaluate import evaluate_split
from training.evaluation import Evaluation, load_evaluation
from training.gate import fold_losses, head_losses, held_out_losses, keeps_int8
from training.metrics.no_match import accept_rates, choose_threshold
from training.metrics.resampling import Resampling
from training.metrics.retrieval import neighbour_precision
from training.predictions import Predictions, load_predictions, save_predictions
from workers.errors import ConfigurationError


def test_the_interval_is_what_scipy_gives() -> None:
    values = (np.arange(400) < 320).astype(float)
    found = Resampling(np.arange(400)).mean(values)
    expected = bootstrap((values,), np.mean, method="percentile", n_resamples=4000, rng=0).confidence_interval
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=0.006)
    assert found.value == 0.8


def test_images_of_one_sender_are_drawn_together() -> None:
    """Forty senders of ten equal images each know no more than forty images."""
    senders = (np.arange(40) < 30).astype(float)
    alone = Resampling(np.arange(40)).mean(senders)
    together = Resampling(np.repeat(np.arange(40), 10)).mean(np.repeat(senders, 10))
    assert (together.low, together.high) == pytest.approx((alone.low, alone.high), abs=0.03)
    apart = Resampling(np.arange(400)).mean(np.repeat(senders, 10))
    assert apart.low > together.low + 0.05


def test_one_group_has_no_interval() -> None:
    found = Resampling(np.zeros(5, dtype=np.int64)).mean(np.ones(5))
    assert (found.value, found.low, found.high) == (1.0, None, None)


def test_temperature_undoes_overconfidence() -> None:
    rng = np.random.default_rng(1)
    logits = rng.normal(size=(4000, 4))
    honest = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    labels = np.array([rng.choice(4, p=row) for row in honest])
    sharp = np.exp(2.5 * logits) / np.exp(2.5 * logits).sum(1, keepdims=True)
    assert fit_temperature(sharp.astype(np.float32), labels) == pytest.approx(2.5, rel=0.08)


def test_unlabelled_images_have_no_say_in_the_temperature() -> None:
    p = predictions(n=100)
    more = Predictions(
        records=(*p.records, *(record(i, category=None, split="holdout") for i in range(50))),
        probabilities=np.concatenate([p.probabilities, p.probabilities[:50, ::-1]]),
        vectors=np.concatenate([p.vectors, p.vectors[:50]]),
    )
    assert calibrate(more) == calibrate(p)
    assert calibrate(more.take(np.arange(100, 150))) == 1.0


@pytest.mark.parametrize("products", [0, 25])
def test_the_threshold_accepts_what_it_says(products: int) -> None:
    def made(n: int, seed: int, split: str) -> Predictions:
        return predictions(n=n, classes=1 if products else 8, products=products, noise=0.6, seed=seed, split=split)

    held, catalog = made(400, 1, "holdout"), made(600, 2, "train")
    chosen = choose_threshold(held, catalog, data="made/holdout")
    assert chosen is not None
    assert (chosen.by, chosen.images, chosen.gallery) == ("product" if products else "category", 400, 999)

    def rates(below: float, queries: Predictions) -> tuple[float, float]:
        found = accept_rates(
            queries, catalog, below=below, by=chosen.by, itself=True, resampling=Resampling(queries.groups)
        )
        return found["no_match_false_accept"].value, found["no_match_true_accept"].value

    wrong, right = rates(chosen.below, held)
    assert wrong <= 0.05 < rates(chosen.below - 0.02, held)[0], "the lowest threshold that keeps the promise"
    assert right > 2 * wrong
    assert rates(chosen.below, made(400, 3, "validation"))[0] < 0.1, "on other queries, roughly"


def test_the_false_accepts_are_counted_by_hand() -> None:
    vectors = unit(np.array([[1, 0], [1, 0.2], [0, 1], [0.6, 0.8]]))
    made = Predictions(
        records=tuple(record(i, category=c) for i, c in enumerate((0, 0, 1, 2))),
        probabilities=np.full((4, 3), 1 / 3, dtype=np.float32),
        vectors=vectors,
    )
    found = accept_rates(made, None, below=0.75, by="category", itself=True, resampling=Resampling(made.groups))
    # Nearest other: 0.60 for the first, 0.75 for the second (0.98 * 0.6 + 0.2 * 0.8), 0.8 for the last two.
    assert found["no_match_false_accept"].value == pytest.approx(2 / 4)
    assert found["no_match_true_accept"].value == 1.0


def test_one_category_has_no_threshold() -> None:
    p = predictions(n=30, classes=1)
    assert choose_threshold(p, None, data="made/holdout") is None


def test_gate_sees_no_loss_between_equals_and_a_loss_where_there_is_one() -> None:
    p, gallery = predictions(), predictions(seed=1, split="train")
    same = (*held_out_losses(p, p, galleries=(gallery, gallery)), *fold_losses(gallery, gallery))
    assert len(same) == 4
    assert all((loss.mean, loss.bound) == (0, 0) for loss in same)
    assert keeps_int8(same)
    worse = Predictions(records=p.records, probabilities=p.probabilities[:, ::-1], vectors=p.vectors[::-1])
    top1, neighbours = held_out_losses(p, worse, galleries=(gallery, gallery))
    assert top1.bound > top1.mean > 5
    assert neighbours.mean > 5
    assert not keeps_int8((*same, top1))
    assert not keeps_int8(())
    assert all(loss.mean > 5 for loss in fold_losses(p, worse))


def test_gate_sees_what_int8_costs_the_other_heads() -> None:
    p = predictions(attributes=12, boxes=True)
    assert p.boxes is not None
    assert p.attributes is not None
    assert [(loss.mean, loss.bound) for loss in head_losses(p, p)] == [(0, 0), (0, 0)]
    worse = replace(p, boxes=0.9 * p.boxes, attributes=p.attributes[::-1])
    box, attributes = head_losses(p, worse)
    assert (box.name, attributes.name) == ("held-out images, box IoU", "held-out images, attribute recall@5")
    assert box.mean > 1
    assert attributes.mean > 5
    assert list(head_losses(predictions(), predictions())) == []


def test_gate_resamples_senders_not_their_images_and_views() -> None:
    """Ten views of each image that all agree must not shrink the bound as if they were ten images."""
    p = predictions(n=60)
    flipped = p.probabilities.copy()
    flipped[:6] = flipped[:6, ::-1]
    changed = replace(p, probabilities=flipped)
    alone, _ = held_out_losses(p, changed, galleries=(p, p))
    many = np.tile(np.arange(60), 10)
    together, _ = held_out_losses(p.take(many), changed.take(many), galleries=(p, p))
    assert (together.mean, together.bound) == pytest.approx((alone.mean, alone.bound))
    assert (together.images, together.groups) == (60, 60)


def test_the_embedding_map_brings_categories_together_and_keeps_what_is_within() -> None:
    """Categories differ in one faint direction among four loud ones that say nothing of them."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 400)
    telling = labels + 0.1 * rng.normal(size=400)
    features = np.column_stack([telling, 3 * rng.normal(size=(400, 4))]).astype(np.float32)
    mapped = fit_map(features, labels)(torch.from_numpy(features)).numpy()
    before = neighbour_precision(unit(features - features.mean(0)), labels, k=10).mean()
    after = neighbour_precision(unit(mapped), labels, k=10).mean()
    assert before < 0.8
    assert after > 0.95
    residual = mapped - np.stack([mapped[labels == c].mean(0) for c in (0, 1)])[labels]
    assert np.linalg.matrix_rank(residual, tol=0.1) == 5, "no direction is thrown away"


def test_the_embedding_map_needs_two_categories() -> None:
    with pytest.raises(ValueError, match="one category"):
        fit_map(np.ones((4, 3), dtype=np.float32), np.zeros(4, dtype=np.int64))


def test_predictions_and_evaluation_come_back_as_they_were_written(tmp_path: Path) -> None:
    first, second = predictions(attributes=4, boxes=True), predictions(split="query", seed=1, attributes=4, boxes=True)
    save_predictions([("made/validation", first), ("made/query", second)], tmp_path)
    found = load_predictions(tmp_path, [*first.records, *second.records])
    assert list(found) == ["made/validation", "made/query"]
    for before, after in zip((first, second), found.values(), strict=True):
        assert after.records == before.records
        np.testing.assert_array_equal(after.vectors, before.vectors)
        np.testing.assert_array_equal(after.boxes, before.boxes)
    evaluation = Evaluation(
        engine="torch-float32",
        source="last.safetensors",
        labels=tuple("abcdefgh"),
        attributes=("striped", "floral", "denim", "knit"),
        temperature=1.0,
        no_match=None,
        splits=(evaluate_split(first, "abcdefgh", data="made/validation", engine="torch-float32"),),
    )
    evaluation.write(tmp_path)
    assert load_evaluation(tmp_path) == evaluation


def test_a_missing_evaluation_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="python -m training evaluate"):
        load_evaluation(tmp_path)
    with pytest.raises(ConfigurationError, match="python -m training evaluate"):
        load_predictions(tmp_path, [])
    p = predictions(n=5)
    save_predictions([("made/validation", p)], tmp_path)
    with pytest.raises(ConfigurationError, match=r"validation-4.* is not in the data set; evaluate again"):
        load_predictions(tmp_path, p.records[:4])
