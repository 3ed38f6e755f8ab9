"""Heads: the box, which is served, and those that only training uses."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from training.config import LossConfig

_BOX_GRID = 4
"""Cells a side that the feature map is averaged into for the box head: 4 at 128 pixels as they are."""
_BOX_WIDTH = 128


class BoxHead(nn.Module):
    """One box an image, from the feature map: pooling it away would lose where things are."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.reduce = nn.Conv2d(width, _BOX_WIDTH, kernel_size=1)
        self.hidden = nn.Linear(_BOX_WIDTH * _BOX_GRID**2, _BOX_WIDTH)
        self.corners = nn.Linear(_BOX_WIDTH, 4)

    def forward(self, feature_map: Tensor) -> Tensor:
        """(N, W, h, w) to (N, 4) `x1, y1, x2, y2` in 0..1; ordered by construction.

        The lower right corner is a share of what is left beyond the upper left one.
        """
        cells = functional.adaptive_avg_pool2d(functional.relu(self.reduce(feature_map)), _BOX_GRID)
        shares = torch.sigmoid(self.corners(functional.relu(self.hidden(cells.flatten(1)))).float())
        first, rest = shares[:, :2], shares[:, 2:]
        return torch.cat([first, first + (1 - first) * rest], dim=1)


class TrainingHeads(nn.Module):
    """What the losses need beside the student: linear maps to the teacher's features, proxies, weights of attributes.

    Only what has a weight above 0 is there; nothing of it is exported.
    """

    attribute_weights: Tensor

    def __init__(
        self,
        config: LossConfig,
        *,
        embedding_size: int,
        width: int,
        pooled: int = 0,
        positions: int = 0,
        groups: int = 0,
        attribute_weights: Tensor | None = None,
    ) -> None:
        """Build the heads that `config` asks for.

        Args:
            config: The weights.
            embedding_size: Of the student.
            width: Of the student's feature map.
            pooled: The teacher's pooled features.
            positions: The teacher's components of a position.
            groups: Categories or products that metric learning tells apart.
            attribute_weights: (A,) weight of each attribute's positives.
        """
        super().__init__()
        if config.pooled:
            self.pooled = nn.Linear(embedding_size, pooled)
        if config.positions:
            self.positions = nn.Conv2d(width, positions, kernel_size=1)
        if config.metric:
            self.metric = _metric_loss(config, embedding_size, groups)
        weights = torch.ones(0) if attribute_weights is None else attribute_weights
        self.register_buffer("attribute_weights", weights, persistent=False)

    @property
    def proxies(self) -> tuple[nn.Parameter, ...]:
        """What stands for each group in metric learning, if its loss has such parameters."""
        return tuple(self.metric.parameters()) if hasattr(self, "metric") else ()


def _metric_loss(config: LossConfig, embedding_size: int, groups: int) -> nn.Module:
    from pytorch_metric_learning import losses

    if config.metric_kind == "normalised_softmax":
        proxies: nn.Module = losses.NormalizedSoftmaxLoss(num_classes=groups, embedding_size=embedding_size)
        return proxies
    if config.metric_kind == "supervised_contrastive":
        contrastive: nn.Module = losses.SupConLoss()
        return contrastive
    similarity: nn.Module = losses.MultiSimilarityLoss(alpha=2, beta=50, base=0.5)  # the paper's values
    return similarity
