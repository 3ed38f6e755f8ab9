"""Losses of attributes, boxes and embeddings, against what they are defined as."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional

from training.config import LossConfig, ModelConfig
from training.datasets.attributes import Attributes
from training.losses import Targets, total_loss
from training.losses.attributes import attribute_loss, positive_weights
from training.losses.boxes import box_loss, overlap_loss
from training.losses.metric import metric_loss
from training.model import Student
from training.networks.heads import TrainingHeads

NOWHERE = torch.full((4,), float("nan"))
PLAIN = LossConfig(soft_label=0, pooled=0, positions=0)


def test_unknown_attributes_have_no_influence() -> None:
    logits = torch.randn(3, 4)
    truth = torch.tensor([[1, 0, -1, 1], [0, 0, -1, -1], [-1, -1, -1, -1]]).float()
    changed = torch.where(truth == -1, torch.randn(3, 4) * 9, logits)
    weights = torch.tensor([2.0, 1.0, 5.0, 3.0])
    assert attribute_loss(logits, truth, weights) == attribute_loss(changed, truth, weights)
    each = [
        functional.binary_cross_entropy_with_logits(logits[i, a], truth[i, a], pos_weight=weights[a])
        for i, a in ((0, 0), (0, 1), (0, 3), (1, 0), (1, 1))
    ]
    torch.testing.assert_close(attribute_loss(logits, truth, weights), torch.stack(each).mean())


def test_a_batch_without_known_attributes_costs_nothing_and_gives_gradients() -> None:
    logits = torch.randn(2, 3, requires_grad=True)
    loss = attribute_loss(logits, torch.full((2, 3), -1.0), torch.ones(3))
    loss.backward()
    assert loss == 0
    assert logits.grad is not None
    assert not logits.grad.any()


def test_rare_attributes_weigh_more_up_to_a_cap() -> None:
    truths = [Attributes.pack([1, 1, 0, -1, 0])] + [(0, 1, 0, -1, 0)] * 3 + [(0, 0, 0, -1, 1)] * 96 + [None]
    assert positive_weights(truths, 5, cap=20.0).tolist() == [20.0, 20.0, 1.0, 1.0, 1.0]
    assert positive_weights(truths, 5, cap=30.0).tolist() == [30.0, 24.0, 1.0, 1.0, 1.0]


def test_boxes_agree_with_torch_and_masks() -> None:
    truth = torch.tensor([[0.1, 0.2, 0.5, 0.9], [0.0, 0.0, 1.0, 1.0]])
    given = torch.tensor([[0.2, 0.2, 0.6, 0.7], [0.1, 0.1, 0.9, 0.9]])
    expected = functional.smooth_l1_loss(given, truth, beta=0.05) * 4
    torch.testing.assert_close(box_loss(given, truth, 0.05), expected)
    masked = torch.cat([truth, NOWHERE[None]])
    more = torch.cat([given, torch.rand(1, 4)]).requires_grad_()
    torch.testing.assert_close(box_loss(more, masked, 0.05), expected)
    overlap_loss(more, masked).backward()
    assert more.grad is not None
    assert torch.isfinite(more.grad).all()
    assert not more.grad[2].any()


def test_overlap_by_hand() -> None:
    """Halves that touch: no intersection, and their hull is filled; apart by half, a third of the hull is empty."""
    left = torch.tensor([[0.0, 0.0, 0.25, 1.0]])
    assert overlap_loss(left, torch.tensor([[0.25, 0.0, 0.5, 1.0]])) == pytest.approx(1.0, abs=1e-4)
    assert overlap_loss(left, torch.tensor([[0.5, 0.0, 0.75, 1.0]])) == pytest.approx(1 + 1 / 3, abs=1e-4)
    assert overlap_loss(left, left) == pytest.approx(0.0, abs=1e-4)


def test_no_known_box_costs_nothing() -> None:
    given = torch.rand(2, 4)
    assert box_loss(given, NOWHERE.repeat(2, 1), 0.05) == 0
    assert overlap_loss(given, NOWHERE.repeat(2, 1)) == 0


@pytest.mark.parametrize("kind", ["multi_similarity", "supervised_contrastive", "normalised_softmax"])
def test_metric_learning_pulls_products_together(kind: str) -> None:
    torch.manual_seed(0)
    config = replace(PLAIN, metric=1.0, metric_kind=kind)  # type: ignore[arg-type]
    heads = TrainingHeads(config, embedding_size=8, width=8, groups=4)
    embedding = torch.randn(16, 8, requires_grad=True)
    groups = torch.arange(16) // 4
    optimiser = torch.optim.Adam([embedding, *heads.parameters()], lr=0.05)
    for _ in range(150):
        optimiser.zero_grad()
        metric_loss(heads.metric, embedding, groups).backward()
        optimiser.step()
    vectors = functional.normalize(embedding.detach())
    similarity = vectors @ vectors.T
    together = groups[:, None] == groups
    assert similarity[together].mean() > similarity[~together].mean() + 0.5


def test_images_of_unknown_products_take_no_part() -> None:
    heads = TrainingHeads(replace(PLAIN, metric=1.0), embedding_size=4, width=4)
    embedding = torch.randn(4, 4, requires_grad=True)
    metric_loss(heads.metric, embedding, torch.tensor([3, 3, -1, 5])).backward()
    assert embedding.grad is not None
    assert not embedding.grad[2].any()
    assert embedding.grad[0].any()
    alone = torch.randn(2, 4, requires_grad=True)
    loss = metric_loss(heads.metric, alone, torch.tensor([-1, 2]))
    loss.backward()
    assert loss == 0


def test_every_task_has_its_part_and_a_weight_of_zero_none() -> None:
    every = replace(PLAIN, attributes=1.0, box=2.0, box_overlap=0.5, metric=0.25)
    student = Student(
        ModelConfig(architecture="seed", embedding_size=64, residual_depth=1), classes=3, attributes=2, box=True
    )
    heads = TrainingHeads(every, embedding_size=64, width=64, attribute_weights=torch.ones(2))
    targets = Targets(
        category=torch.tensor([0, 1, 2, 0]),
        trust=torch.ones(4),
        attributes=torch.ones(4, 2),
        box=torch.tensor([[0.1, 0.1, 0.5, 0.5]] * 4),
        product=torch.tensor([0, 0, 1, 1]),
    )
    output = student(torch.randn(4, 3, 32, 32))
    total, parts = total_loss(output, heads, targets, every)
    assert set(parts) == {"label", "attributes", "box", "box_overlap", "metric"}
    expected = sum(getattr(every, name) * float(value) for name, value in parts.items())
    assert float(total.detach()) == pytest.approx(expected, rel=1e-5)
    _, only = total_loss(output, heads, targets, PLAIN)
    assert set(only) == {"label"}


def test_metric_learning_on_categories_leaves_mapped_labels_out() -> None:
    config = replace(PLAIN, label=0.0, metric=1.0, metric_on="category")
    student = Student(ModelConfig(architecture="seed", embedding_size=64, residual_depth=1), classes=3)
    heads = TrainingHeads(config, embedding_size=64, width=64)
    output = student(torch.randn(4, 3, 32, 32))
    trust = torch.tensor([1.0, 1.0, 1.0, 0.3])
    losses = [
        total_loss(output, heads, Targets(category=torch.tensor([0, 0, 1, last]), trust=trust), config)[0]
        for last in (1, 2)
    ]
    assert losses[0] == losses[1]
    assert np.isfinite(float(losses[0].detach()))
