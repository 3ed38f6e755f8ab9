"""Every metric against an implementation that is not ours: scikit-learn, torchmetrics, pytorch-metric-learning."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torchmetrics.functional.classification as reference
from pytorch_metric_learning.distances import CosineSimilarity
from pytorch_metric_learning.utils.accuracy_calculator import AccuracyCalculator
from pytorch_metric_learning.utils.inference import CustomKNN
from sklearn.metrics import (
    accuracy_score,
    confusion_matrix,
    precision_recall_fscore_support,
    recall_score,
    top_k_accuracy_score,
)
from sklearn.neighbors import NearestNeighbors
from torchmetrics.functional.retrieval import retrieval_hit_rate
from torchvision.ops import box_iou as torchvision_iou

from tests.support.predictions import predictions, record, unit
from training.evaluate import Threshold, evaluate_split, measure
from training.metrics import classification
from training.metrics.attributes import attribute_recall
from training.metrics.boxes import box_iou
from training.metrics.reliability import calibration_error, calibration_error_of_chance, reliability_bins
from training.metrics.resampling import Resampling
from training.metrics.retrieval import map_at_r, nearest_match_and_other, neighbour_precision, recall_at
from training.predictions import Predictions, product_numbers


def alone(n: int) -> Resampling:
    return Resampling(np.arange(n))


def test_top_k_agrees_with_scikit_learn() -> None:
    p = predictions()
    top1, top3, top5 = (classification.top_k(p.probabilities, p.categories, k).mean() for k in (1, 3, 5))
    assert top1 == pytest.approx(accuracy_score(p.categories, p.probabilities.argmax(1)))
    assert top3 == pytest.approx(top_k_accuracy_score(p.categories, p.probabilities, k=3))
    assert top5 == pytest.approx(top_k_accuracy_score(p.categories, p.probabilities, k=5))


def test_confusion_and_class_figures_agree_with_scikit_learn() -> None:
    p = predictions()
    names = tuple("abcdefgh")
    said, true = p.probabilities.argmax(1), p.categories
    evaluated = evaluate_split(p, names, data="made/validation", engine="torch-float32")
    assert np.array(evaluated.confusion).tolist() == confusion_matrix(true, said).tolist()
    precision, recall, f1, support = precision_recall_fscore_support(true, said, zero_division=0)
    assert [c.label for c in evaluated.classes] == list(names)
    assert [c.images for c in evaluated.classes] == support.tolist()
    for name, expected in (("precision", precision), ("recall", recall), ("f1", f1)):
        estimates = [getattr(c, name) for c in evaluated.classes]
        np.testing.assert_allclose([e.value for e in estimates], expected)
        assert all(e.low <= e.value <= e.high for e in estimates)


def test_macro_averages_agree_with_scikit_learn() -> None:
    p = predictions()
    said, true = p.probabilities.argmax(1), p.categories
    macro = precision_recall_fscore_support(true, said, average="macro")[:3]
    found = {m.name: m.value for m in measure(p, data="d", engine="e")}
    np.testing.assert_allclose([found[f"macro_{n}"] for n in ("precision", "recall", "f1")], macro)


def test_a_class_that_is_absent_has_no_recall_and_does_not_count() -> None:
    said, true = np.array([0, 0, 1]), np.array([0, 0, 0])
    figures = classification.class_figures(said, true, ("a", "b", "c"), alone(3))
    assert figures[1].recall is None
    assert figures[1].precision is not None
    assert figures[2].precision is figures[2].recall is figures[2].f1 is None
    assert classification.macro_recall(said, true, 3, alone(3)).value == pytest.approx(2 / 3)


def test_calibration_error_agrees_with_torchmetrics() -> None:
    p = predictions(n=500)
    expected = reference.multiclass_calibration_error(
        torch.from_numpy(p.probabilities), torch.from_numpy(p.categories), num_classes=8, n_bins=15
    )
    assert calibration_error(p.probabilities, p.categories, alone(500)).value == pytest.approx(
        float(expected), abs=1e-6
    )
    bins = reliability_bins(p.probabilities, p.categories)
    by_bins = sum(b.images * abs((b.accuracy or 0) - (b.confidence or 0)) for b in bins) / 500
    assert by_bins == pytest.approx(float(expected), abs=1e-6)


def test_calibration_error_by_hand() -> None:
    # Four images at confidence 0.9, three of them right: |0.75 - 0.9|. One at 0.6 and right: |1 - 0.6|.
    probabilities = np.array([[0.9, 0.1]] * 4 + [[0.6, 0.4]], dtype=np.float32)
    labels = np.array([0, 0, 0, 1, 0])
    found = calibration_error(probabilities, labels, alone(5)).value
    assert found == pytest.approx((4 * 0.15 + 0.4) / 5, abs=1e-6)


def test_full_confidence_falls_into_the_last_bin() -> None:
    assert calibration_error(np.array([[1.0, 0.0]], dtype=np.float32), np.array([0]), alone(1)).value == 0


def test_the_calibration_error_of_chance_is_what_honest_confidences_show() -> None:
    rng = np.random.default_rng(3)
    worlds = []
    for _ in range(40):
        logits = 2 * rng.normal(size=(300, 5))
        honest = (np.exp(logits) / np.exp(logits).sum(1, keepdims=True)).astype(np.float32)
        labels = (honest.cumsum(1) < rng.random((300, 1))).sum(1).clip(max=4)
        worlds.append((_ece(honest, labels), honest))
    stated = np.mean([calibration_error_of_chance(honest) for _, honest in worlds[:5]])
    assert np.mean([error for error, _ in worlds]) == pytest.approx(stated, rel=0.15)


def _ece(probabilities: np.ndarray, labels: np.ndarray) -> float:
    return float(
        reference.multiclass_calibration_error(
            torch.from_numpy(probabilities), torch.from_numpy(labels), num_classes=probabilities.shape[1]
        )
    )


def test_attribute_recall_agrees_with_scikit_learn_in_both_averagings() -> None:
    rng = np.random.default_rng(5)
    probabilities = rng.random((200, 12)).astype(np.float32)
    truth = (rng.random((200, 12)) < np.linspace(0.02, 0.5, 12)).astype(np.int64)
    for k in (3, 5):
        found = attribute_recall(probabilities, truth, k, alone(200))
        assert found is not None
        said = np.zeros_like(truth)
        np.put_along_axis(said, np.argsort(-probabilities, axis=1)[:, :k], 1, axis=1)
        assert found[0].value == pytest.approx(recall_score(truth, said, average="micro"))
        assert found[1].value == pytest.approx(recall_score(truth, said, average="macro", zero_division=np.nan))
        assert found[0].low < found[0].value < found[0].high


def test_unknown_attributes_are_neither_ranked_nor_counted() -> None:
    probabilities = np.array([[0.9, 0.8, 0.7, 0.1]], dtype=np.float32)
    found = attribute_recall(probabilities, np.array([[-1, -1, 1, 0]]), 1, alone(1))
    assert found is not None
    assert found[0].value == found[1].value == 1.0
    assert attribute_recall(probabilities, np.array([[-1, 0, 0, 0]]), 1, alone(1)) is None


def test_box_iou_agrees_with_torchvision() -> None:
    p = predictions(boxes=True)
    truth = p.true_boxes()
    assert truth is not None
    assert p.boxes is not None
    expected = torchvision_iou(torch.from_numpy(p.boxes).double(), torch.from_numpy(truth)).diagonal().numpy()
    np.testing.assert_allclose(box_iou(p.boxes, truth), expected, atol=1e-6)
    found = {m.name: m.value for m in measure(p, data="d", engine="e")}
    assert found["box_iou"] == pytest.approx(expected.mean())
    assert found["box_iou_over_half"] == pytest.approx((expected > 0.5).mean())


def test_a_box_the_wrong_way_round_scores_nothing_and_an_unknown_one_does_not_count() -> None:
    boxes = np.array([[0.8, 0.8, 0.2, 0.2], [0.1, 0.1, 0.5, 0.5]])
    truth = np.array([[0.2, 0.2, 0.8, 0.8], [np.nan] * 4])
    found = box_iou(boxes, truth)
    assert found[0] == 0
    assert np.isnan(found[1])


def test_neighbour_precision_agrees_with_scikit_learn() -> None:
    p = predictions()
    nearest = NearestNeighbors(n_neighbors=11, metric="cosine").fit(p.vectors).kneighbors(return_distance=False)[:, :10]
    expected = (p.categories[nearest] == p.categories[:, None]).mean(1)
    np.testing.assert_allclose(neighbour_precision(p.vectors, p.categories, k=10), expected)


@pytest.mark.parametrize("leave_one_out", [True, False])
def test_product_figures_agree_with_pytorch_metric_learning(leave_one_out: bool) -> None:
    queries = predictions(n=150, products=40, split="query", seed=1)
    gallery = None if leave_one_out else predictions(n=200, products=30, split="gallery", seed=2)
    found = {m.name: m for m in measure(queries, data="made/query", engine="e", gallery=gallery)}
    calculator = AccuracyCalculator(
        include=("precision_at_1", "mean_average_precision_at_r"),
        k="max_bin_count",
        knn_func=CustomKNN(CosineSimilarity()),
        device=torch.device("cpu"),
    )
    mine, theirs = product_numbers(queries, queries if gallery is None else gallery)
    searched = queries if gallery is None else gallery
    expected = calculator.get_accuracy(
        torch.from_numpy(queries.vectors),
        torch.from_numpy(mine),
        torch.from_numpy(searched.vectors),
        torch.from_numpy(theirs),
        ref_includes_query=leave_one_out,
    )
    assert found["product_recall_at_1"].value == pytest.approx(expected["precision_at_1"], abs=1e-6)
    assert found["product_map_at_r"].value == pytest.approx(expected["mean_average_precision_at_r"], abs=1e-6)
    assert found["product_map_at_r"].gallery == (149 if leave_one_out else 200)
    assert found["product_map_at_r"].images < 150, "queries without a product in the gallery do not count"


def test_recall_at_k_agrees_with_torchmetrics() -> None:
    queries = predictions(n=60, products=30, split="query", seed=1)
    gallery = predictions(n=90, products=30, split="gallery", seed=2)
    mine, theirs = product_numbers(queries, gallery)
    for k in (1, 10, 20):
        found = recall_at(queries.vectors, mine, k=k, gallery=(gallery.vectors, theirs))
        for q in range(60):
            target = torch.from_numpy(theirs == mine[q])
            if not target.any():
                assert np.isnan(found[q])
                continue
            scores = torch.from_numpy(queries.vectors[q] @ gallery.vectors.T)
            assert found[q] == float(retrieval_hit_rate(scores, target, top_k=k))


def test_a_query_is_not_its_own_neighbour() -> None:
    vectors = unit(np.array([[1, 0], [1, 0.1], [0, 1], [0.1, 1]]))
    labels = np.array([0, 1, 2, 3])
    assert neighbour_precision(vectors, labels, k=1).tolist() == [0, 0, 0, 0]
    assert np.isnan(map_at_r(vectors, labels)).all()


def test_a_gallery_is_searched_instead_of_the_queries() -> None:
    queries = unit(np.array([[1.0, 0.0], [0.0, 1.0]]))
    gallery = (unit(np.array([[1.0, 0.1], [0.1, 1.0]])), np.array([7, 8]))
    assert neighbour_precision(queries, np.array([7, 7]), k=1, gallery=gallery).tolist() == [1, 0]
    match, other = nearest_match_and_other(queries, np.array([7, 9]), gallery=gallery)
    np.testing.assert_allclose(match, [0.995, np.nan], atol=1e-3)
    np.testing.assert_allclose(other, [0.0995, 0.995], atol=1e-3)


def test_more_neighbours_than_images_is_refused_and_not_measured() -> None:
    p = predictions(n=5)
    with pytest.raises(ValueError, match="5 neighbours wanted, 4 exist"):
        neighbour_precision(p.vectors, p.categories, k=5)
    names = {m.name for m in measure(p, data="d", engine="e")}
    assert "neighbour_precision_at_1" in names
    assert "neighbour_precision_at_10" not in names


def test_many_queries_are_compared_piece_by_piece() -> None:
    p = predictions(n=2100)
    whole = p.vectors @ p.vectors.T
    np.fill_diagonal(whole, -np.inf)
    expected = p.categories[whole.argmax(1)] == p.categories
    np.testing.assert_array_equal(neighbour_precision(p.vectors, p.categories, k=1), expected)


def test_only_what_is_known_is_measured() -> None:
    p = predictions(n=40, attributes=6, boxes=True, products=8)
    halves = tuple(r if i % 2 else record(i, category=None, product=r.product) for i, r in enumerate(p.records))
    found = {
        m.name: m
        for m in measure(
            Predictions(
                records=halves, probabilities=p.probabilities, vectors=p.vectors, attributes=p.attributes, boxes=p.boxes
            ),
            data="d",
            engine="e",
        )
    }
    assert found["top1"].images == found["box_iou"].images == 20
    assert found["neighbour_precision_at_1"].gallery == 19
    assert found["product_recall_at_1"].images >= 38, "all but products with one image"
    assert found["attribute_recall_at_3_pooled"].images <= 20


def test_measure_names_data_engine_interval_and_groups() -> None:
    p = predictions(n=200, attributes=6, boxes=True, products=30)
    threshold = Threshold(below=0.5, by="product")
    metrics = {
        m.name: m
        for m in measure(
            p, data="made/validation", engine="e", threshold=threshold, attribute_groups=["shape"] * 4 + ["part"] * 2
        )
    }
    assert set(metrics) == {
        *("top1", "top3", "top5", "macro_precision", "macro_recall", "macro_f1", "ece"),
        *("neighbour_precision_at_1", "neighbour_precision_at_10", "box_iou", "box_iou_over_half"),
        *("product_recall_at_1", "product_recall_at_10", "product_recall_at_20", "product_map_at_r"),
        *("no_match_false_accept", "no_match_true_accept"),
        *(f"attribute_recall_at_{k}_{a}" for k in (3, 5) for a in ("pooled", "per_attribute")),
        "attribute_recall_at_3_pooled_shape",  # of the other kinds all would be said
    }
    for metric in metrics.values():
        assert (metric.data, metric.engine, metric.groups) == ("made/validation", "e", 200)
        assert metric.low is not None
        assert metric.high is not None
        assert metric.low <= metric.high
    assert metrics["top1"].low < metrics["top1"].value < metrics["top1"].high
