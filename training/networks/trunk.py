"""Trunks: a torchvision ResNet or the seed's network, each as stem and stages."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from training.config import ModelConfig
from training.networks import seed
from workers.errors import ConfigurationError

RESNETS = ("resnet18", "resnet34", "resnet50", "resnet101")
ARCHITECTURES = (*RESNETS, "seed")


@dataclass(frozen=True, kw_only=True, slots=True)
class Trunk:
    """From images to the last feature map."""

    stem: nn.Sequential
    stages: nn.Sequential
    width: int
    """Channels of the last feature map."""


def build_trunk(config: ModelConfig) -> Trunk:
    """A trunk with random weights.

    Raises:
        ConfigurationError: the architecture is unknown, or the seed's depth is below 1.
    """
    if config.architecture not in ARCHITECTURES:
        raise ConfigurationError(f"architecture {config.architecture!r} is none of {', '.join(ARCHITECTURES)}")
    if config.architecture == "seed":
        if config.residual_depth < 1:
            raise ConfigurationError(f"model.residual_depth is {config.residual_depth}; it must be 1 or more")
        return Trunk(stem=seed.stem(), stages=seed.stages(config.residual_depth), width=seed.WIDTHS[-1])
    import torchvision

    network = getattr(torchvision.models, config.architecture)(weights=None, zero_init_residual=True)
    return Trunk(
        stem=nn.Sequential(network.conv1, network.bn1, network.relu, network.maxpool),
        stages=nn.Sequential(network.layer1, network.layer2, network.layer3, network.layer4),
        width=network.fc.in_features,
    )
