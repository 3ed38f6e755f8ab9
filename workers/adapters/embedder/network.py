"""The network of a bundle in torch, built from the card and filled from `weights.safetensors`.

It repeats what `training` exports, by the names that the weights have; the workers never import training. What keeps
the two the same is not discipline but a measurement: `parity` compares this network's answers with the bundle's graph.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal

import torch
import torchvision
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_eval

from schemas.model_card import (
    ATTRIBUTES_OUTPUT,
    BOX_OUTPUT,
    CATEGORY_OUTPUT,
    EMBEDDING_OUTPUT,
    WEIGHTS_FILE,
    ModelCard,
    Preprocessing,
)
from workers.adapters.bundle import Bundle
from workers.errors import ContractError

ARCHITECTURES: Final = ("resnet18", "resnet34", "resnet50", "resnet101", "resnet152")
"""torchvision's constructors that this engine builds."""
_BOX_GRID: Final = 4
"""Cells a side of what the box head sees of the feature map, as it is trained."""


class BundleNetwork(nn.Module):
    """uint8 images to the outputs that the card promises, by their names, float32.

    The trunk may run in bf16; everything behind it stays float32, as in an int8 graph: it costs next to nothing, and
    rounding an embedding before it is normalised shows in its length.
    """

    _mean: Tensor
    _scale: Tensor

    def __init__(self, card: ModelCard, weights: Mapping[str, Tensor]) -> None:
        """Build it and fill it.

        Args:
            card: Its architecture is one of `ARCHITECTURES`.
            weights: By the names of the bundle's file, in any floating type.
        """
        super().__init__()
        self._card = card
        self.student = _Student(card, weights)
        self.mapping = _linear(weights, "mapping") or nn.Identity()
        self.register_buffer("_mean", _planes(card.preprocessing, "mean"), persistent=False)
        self.register_buffer("_scale", 1 / _planes(card.preprocessing, "std"), persistent=False)
        self.load_state_dict({name: _full(tensor) for name, tensor in weights.items()})
        self.requires_grad_(False).eval()
        _fold_normalisation(self.student)

    def prepared(self, *, device: torch.device, precision: Literal["bf16", "f32"]) -> BundleNetwork:
        """This network, moved to where and how it runs; channels last, which convolutions like best everywhere."""
        self.to(device)
        trunk = torch.bfloat16 if precision == "bf16" else torch.float32
        for part in (self.student.stem, self.student.stages):
            part.to(dtype=trunk).to(memory_format=torch.channels_last)
        return self

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Run (N, S, S, 3) uint8 images, on the device they are on."""
        planes = images.permute(0, 3, 1, 2).float().sub_(self._mean).mul_(self._scale)
        feature_map = self.student.trunk(planes)
        pooled = self.student.projection(feature_map.mean((2, 3)))
        found = {EMBEDDING_OUTPUT: functional.normalize(self.mapping(pooled))}
        promised, student = self._card.heads, self.student
        if promised.category is not None and student.category is not None:
            found[CATEGORY_OUTPUT] = torch.softmax(student.category(pooled) / promised.category.temperature, dim=1)
        if promised.attributes is not None and student.attributes is not None:
            found[ATTRIBUTES_OUTPUT] = torch.sigmoid(student.attributes(pooled))
        if promised.box is not None and student.box is not None:
            found[BOX_OUTPUT] = student.box(feature_map)
        return found


class _Student(nn.Module):
    """Trunk and heads by the names of the weights; a head is there when its weights are."""

    def __init__(self, card: ModelCard, weights: Mapping[str, Tensor]) -> None:
        super().__init__()
        trunk = getattr(torchvision.models, card.architecture)(weights=None)
        self.stem = nn.Sequential(trunk.conv1, trunk.bn1, trunk.relu, trunk.maxpool)
        self.stages = nn.Sequential(trunk.layer1, trunk.layer2, trunk.layer3, trunk.layer4)
        self.projection = _linear(weights, "student.projection") or nn.Identity()
        self.category = _linear(weights, "student.category")
        self.attributes = _linear(weights, "student.attributes")
        self.box = _BoxHead(weights) if "student.box.reduce.weight" in weights else None

    def trunk(self, planes: Tensor) -> Tensor:
        """(N, 3, S, S) float32 to the last feature map, float32, whatever runs in between."""
        inner = next(self.stem.parameters()).dtype
        feature_map: Tensor = self.stages(self.stem(planes.to(inner)))
        return feature_map.float()


class _BoxHead(nn.Module):
    """`x1, y1, x2, y2` in 0..1; the lower right corner is a share of what is left beyond the upper left one."""

    def __init__(self, weights: Mapping[str, Tensor]) -> None:
        super().__init__()
        width, channels = weights["student.box.reduce.weight"].shape[:2]
        self.reduce = nn.Conv2d(channels, width, kernel_size=1)
        self.hidden = _linear_like(weights["student.box.hidden.weight"])
        self.corners = _linear_like(weights["student.box.corners.weight"])

    def forward(self, feature_map: Tensor) -> Tensor:
        cells = functional.adaptive_avg_pool2d(functional.relu(self.reduce(feature_map)), _BOX_GRID)
        shares = torch.sigmoid(self.corners(functional.relu(self.hidden(cells.flatten(1)))))
        first, rest = shares[:, :2], shares[:, 2:]
        return torch.cat([first, first + (1 - first) * rest], dim=1)


def load_network(bundle: Bundle) -> BundleNetwork:
    """The network of a bundle, float32, on the CPU.

    Raises:
        ContractError: this engine does not know the architecture, or the weights are not those of the card's network.
    """
    card = bundle.card
    if card.architecture not in ARCHITECTURES:
        raise ContractError(
            f"the torch engine builds {', '.join(ARCHITECTURES)}, not {card.architecture}: set CATALOG_ENGINE=openvino"
        )
    path = bundle.folder / WEIGHTS_FILE
    try:
        network = BundleNetwork(card, load_file(path))
    except (SafetensorError, OSError) as error:
        raise ContractError(f"{path} cannot be read: {error}") from error
    except (RuntimeError, KeyError) as error:
        first = " ".join(str(error).split())[:300]
        raise ContractError(f"{path} does not fit a {card.architecture}, so torch cannot run it: {first}") from error
    _check_heads(network, bundle)
    return network


def _check_heads(network: BundleNetwork, bundle: Bundle) -> None:
    heads, student = bundle.card.heads, network.student
    lacking = [
        name
        for name, promised, module in (
            (CATEGORY_OUTPUT, heads.category, student.category),
            (ATTRIBUTES_OUTPUT, heads.attributes, student.attributes),
            (BOX_OUTPUT, heads.box, student.box),
        )
        if promised is not None and module is None
    ]
    if lacking:
        raise ContractError(
            f"{bundle.folder / WEIGHTS_FILE} lacks the heads {', '.join(lacking)} that its card promises"
        )
    with torch.no_grad():
        size = bundle.card.preprocessing.input_size
        width = network(torch.zeros(1, size, size, 3, dtype=torch.uint8))[EMBEDDING_OUTPUT].shape[1]
    if width != bundle.card.embedding_size:
        raise ContractError(
            f"{bundle.folder / WEIGHTS_FILE} embeds in {width} dimensions, its card says {bundle.card.embedding_size}"
        )


def _linear(weights: Mapping[str, Tensor], name: str) -> nn.Linear | None:
    """A linear layer of the shape that the weights of that name have; None without them."""
    weight = weights.get(f"{name}.weight")
    return None if weight is None else _linear_like(weight)


def _linear_like(weight: Tensor) -> nn.Linear:
    return nn.Linear(weight.shape[1], weight.shape[0])


def _planes(preprocessing: Preprocessing, name: Literal["mean", "std"]) -> Tensor:
    return torch.tensor(getattr(preprocessing, name), dtype=torch.float32).mul(255).view(1, 3, 1, 1)


def _full(tensor: Tensor) -> Tensor:
    return tensor.float() if tensor.is_floating_point() else tensor


def _fold_normalisation(module: nn.Module) -> None:
    """Put each batch normalisation into the convolution registered just before it, which is the one it follows."""
    before: tuple[str, nn.Module] | None = None
    for name, child in list(module.named_children()):
        if isinstance(child, nn.BatchNorm2d) and before is not None and isinstance(before[1], nn.Conv2d):
            setattr(module, before[0], fuse_conv_bn_eval(before[1], child))
            setattr(module, name, nn.Identity())
        else:
            _fold_normalisation(child)
        before = (name, child)
