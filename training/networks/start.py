"""What a network starts from: torchvision's ImageNet weights, a bundle, another run's checkpoint, or a state dict.

Every source is a map from names to tensors; names are brought to the student's own, and what fits is taken. The trunk
must fit as a whole, heads may differ: another data set has other labels.
"""

from __future__ import annotations

import hashlib
import urllib.error
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from schemas.model_card import WEIGHTS_FILE
from training.config import ModelConfig
from training.networks.trunk import RESNETS
from workers.errors import ConfigurationError

IMAGENET = "imagenet"
"""Instead of a path: torchvision's newest ImageNet weights of the architecture."""
_TRUNK = ("stem.", "stages.")
_TORCHVISION_PLACES = {
    "conv1.": "stem.0.",
    "bn1.": "stem.1.",
    **{f"layer{i + 1}.": f"stages.{i}." for i in range(4)},
    "fc.": "category.",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Weights:
    """Tensors to start from, by the student's names."""

    student: Mapping[str, Tensor]
    heads: Mapping[str, Tensor]
    """Of the training heads; only another run's checkpoint has them."""
    origin: str
    """What the run's config says of them: SHA-256 of the file, or torchvision's name of the weights."""
    said_of: str
    """How messages name the source."""


def read_weights(source: str, config: ModelConfig) -> Weights:
    """Read start weights.

    Args:
        source: `imagenet`, a bundle's folder, or a safetensors file: a checkpoint of a run (its averaged weights are
            taken), a bundle's weights, or a torchvision ResNet's state dict.
        config: The architecture that they are for.

    Raises:
        ConfigurationError: the source is missing, cannot be downloaded or read, or holds no weights of these kinds.
    """
    if source == IMAGENET:
        return _imagenet(config)
    path = Path(source) / WEIGHTS_FILE if Path(source).is_dir() else Path(source)
    if not path.is_file():
        raise ConfigurationError(f"{path} is nothing to start from: name `{IMAGENET}`, a bundle or a safetensors file")
    try:
        tensors = load_file(path)
    except (OSError, SafetensorError) as error:
        raise ConfigurationError(
            f"{path} is no safetensors file: {error}; other formats may run code when read and are not accepted"
        ) from error
    with path.open("rb") as file:
        origin = hashlib.file_digest(file, "sha256").hexdigest()
    return Weights(student=_student(tensors), heads=_below(tensors, "heads."), origin=origin, said_of=str(path))


def apply_weights(weights: Weights, student: nn.Module, heads: nn.Module | None = None) -> tuple[str, ...]:
    """Fill the student (and the training heads) with what fits; the names of parameters that keep their random start.

    Raises:
        ConfigurationError: the trunk is of another architecture.
    """
    own = student.state_dict()
    fitting = _fitting(weights.student, own)
    lacking = [name for name in own if name.startswith(_TRUNK) and name not in fitting]
    if lacking:
        found = weights.student.get(lacking[0])
        seen = "nothing of that name" if found is None else f"{tuple(found.shape)}"
        raise ConfigurationError(
            f"{weights.said_of} is of another architecture: {lacking[0]} is {tuple(own[lacking[0]].shape)} here and "
            f"{seen} there ({len(lacking)} such)"
        )
    student.load_state_dict(fitting, strict=False)
    if heads is not None:
        heads.load_state_dict(_fitting(weights.heads, heads.state_dict()), strict=False)
    return tuple(name for name, _ in student.named_parameters() if name not in fitting)


def _imagenet(config: ModelConfig) -> Weights:
    if config.architecture not in RESNETS:
        raise ConfigurationError(f"there are ImageNet weights for {', '.join(RESNETS)}, not for {config.architecture}")
    import torchvision

    weights = torchvision.models.get_model_weights(config.architecture).DEFAULT
    try:
        tensors = weights.get_state_dict(progress=False, check_hash=True, weights_only=True)
    except (urllib.error.URLError, OSError, RuntimeError) as error:
        reason = getattr(error, "reason", error)
        raise ConfigurationError(
            f"the ImageNet weights cannot be downloaded from {weights.url} ({reason}): put the file into torch's cache "
            "(TORCH_HOME) or start from a safetensors file"
        ) from error
    return Weights(
        student=_student(tensors), heads={}, origin=f"torchvision {weights}", said_of=f"torchvision's {weights}"
    )


def _student(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The student's part of a checkpoint, a bundle's weights or a torchvision state dict, by the student's names."""
    for prefix in ("ema.", "student."):
        part = _below(tensors, prefix)
        if part:
            return part
    return {_own_name(name): tensor for name, tensor in tensors.items()}


def _own_name(name: str) -> str:
    for theirs, ours in _TORCHVISION_PLACES.items():
        if name.startswith(theirs):
            return ours + name.removeprefix(theirs)
    return name


def _below(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def _fitting(given: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """What is wanted by name and shape, in the type it is wanted in."""
    return {
        name: given[name].to(tensor.dtype)
        for name, tensor in own.items()
        if name in given and given[name].shape == tensor.shape
    }
