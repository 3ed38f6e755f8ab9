"""The student: a trunk whose pooled features are the embedding, with a head for each task that is trained."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from schemas.model_card import ATTRIBUTES_OUTPUT, BOX_OUTPUT, CATEGORY_OUTPUT, EMBEDDING_OUTPUT
from training.config import Config, ModelConfig
from training.networks.heads import BoxHead
from training.networks.trunk import build_trunk


@dataclass(frozen=True, kw_only=True, slots=True)
class StudentOutput:
    """What one forward pass gives, float32."""

    embedding: Tensor
    """(N, D), not normalised."""
    logits: Tensor
    """(N, C)."""
    feature_map: Tensor
    """(N, W, h, w), the trunk's last."""
    attributes: Tensor | None = None
    """(N, A) logits; None without the head."""
    box: Tensor | None = None
    """(N, 4) x1, y1, x2, y2 as shares of width and height, 0..1; None without the head."""


class Student(nn.Module):
    """Trunk, embedding and heads. `embedding_size` other than the trunk's width adds a projection."""

    def __init__(self, config: ModelConfig, *, classes: int, attributes: int = 0, box: bool = False) -> None:
        super().__init__()
        trunk = build_trunk(config)
        self.width = trunk.width
        self.stem, self.stages = trunk.stem, trunk.stages
        same = config.embedding_size == self.width
        self.projection = nn.Identity() if same else nn.Linear(self.width, config.embedding_size)
        self.category = nn.Linear(config.embedding_size, classes)
        self.attributes = nn.Linear(config.embedding_size, attributes) if attributes else None
        self.box = BoxHead(self.width) if box else None

    def forward(self, images: Tensor) -> StudentOutput:
        """Run (N, 3, S, S) normalised images."""
        feature_map = self.stages(self.stem(images)).float()
        embedding = self.projection(feature_map.mean((2, 3))).float()
        return StudentOutput(
            embedding=embedding,
            logits=self.category(embedding).float(),
            feature_map=feature_map,
            attributes=None if self.attributes is None else self.attributes(embedding).float(),
            box=None if self.box is None else self.box(feature_map).float(),
        )


def build_student(config: Config, *, labels: Sequence[str], attributes: Sequence[str]) -> Student:
    """The student of a run, with random weights: heads only for the tasks that the config trains.

    Args:
        config: Its loss weights say which heads there are.
        labels: Of the category head.
        attributes: Of the attribute head; empty: the data know none.
    """
    return Student(
        config.model,
        classes=len(labels),
        attributes=len(attributes) if config.loss.attributes else 0,
        box=config.loss.locates,
    )


class Serving(nn.Module):
    """The student as the bundle serves it: normalised embedding and calibrated probabilities.

    Without a `mapping` (see `training.embedding`) the pooled features themselves are the embedding.
    """

    def __init__(self, student: Student, *, temperature: float = 1.0, mapping: nn.Module | None = None) -> None:
        super().__init__()
        self.student = student
        self.temperature = temperature
        self.mapping = mapping or nn.Identity()

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """The bundle's outputs by name, of (N, 3, S, S) normalised images; only heads that exist are there."""
        output = self.student(images)
        found = {
            EMBEDDING_OUTPUT: functional.normalize(self.mapping(output.embedding)),
            CATEGORY_OUTPUT: torch.softmax(output.logits / self.temperature, dim=1),
        }
        if output.attributes is not None:
            found[ATTRIBUTES_OUTPUT] = torch.sigmoid(output.attributes)
        if output.box is not None:
            found[BOX_OUTPUT] = output.box
        return found


def normalise(images: Tensor, mean: tuple[float, ...], std: tuple[float, ...]) -> Tensor:
    """(N, S, S, 3) uint8 to (N, 3, S, S) float32, channels-last in memory."""
    planes = images.permute(0, 3, 1, 2).float().div_(255)
    middle, spread = (torch.tensor(values, device=images.device).view(1, 3, 1, 1) for values in (mean, std))
    return planes.sub_(middle).div_(spread)
