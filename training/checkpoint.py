"""Checkpoints: tensors as safetensors, the rest as JSON in their metadata. One file, replaced atomically, no pickle."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from workers.errors import CatalogError, ConfigurationError

_FORMAT = "2"
_READ_FOR_WEIGHTS = ("1", _FORMAT)
"""Format 1 knew neither places within an epoch nor the generators' state: its weights can be read, not gone on with."""
_GENERATORS = "generators."


class CheckpointWriteError(CatalogError):
    """A checkpoint could not be written; the one that it was to replace is still whole."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Progress:
    """Where a run stands."""

    epoch: int = 0
    """Epochs done."""
    step: int = 0
    """Steps done of the epoch that has begun; 0 between epochs."""
    size: int = 0
    """Input size of the epoch that has begun."""
    share: float = 0.0
    """Share of the schedule done, 0..1: what learning rate and input size follow."""
    steps: int = 0
    """Steps done in all."""
    learning_rate: float = 0.0
    """Of the step done last."""
    seconds: float = 0.0
    """Time spent in epochs, over all sessions."""
    epoch_seconds: float = 0.0
    """Time spent in the epoch that has begun."""
    work: int = 0
    """Sum over epochs of the squared input size: what the seconds were spent on."""
    sums: Mapping[str, float] = field(default_factory=dict)
    """Sums over the epoch's steps of what its line of the log averages."""
    best_score: float = -1.0
    """Highest score on the monitored images so far."""
    planned_epochs: int = 0
    """Epochs in all by the plan made last; 0 before the first epoch."""


def save_checkpoint(
    path: Path,
    *,
    modules: dict[str, nn.Module],
    optimiser: torch.optim.Optimizer,
    progress: Progress,
    config_digest: str,
) -> None:
    """Write everything a run needs to go on; the old file stays until the new one is whole and on the disk.

    Raises:
        CheckpointWriteError: the disk is full, or the folder cannot be written.
    """
    tensors = {f"{part}.{n}": t for part, module in modules.items() for n, t in module.state_dict().items()}
    for index, state in optimiser.state_dict()["state"].items():
        tensors |= {f"optimiser.{index}.{n}": t for n, t in state.items() if isinstance(t, Tensor)}
    tensors |= {_GENERATORS + name: state for name, state in _generator_states().items()}
    metadata = {"format": _FORMAT, "config": config_digest, "progress": json.dumps(asdict(progress))}
    partial = path.with_suffix(".partial")
    try:
        save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, partial, metadata)
        _to_disk(partial)
        partial.replace(path)
        _to_disk(path.parent)
    except (OSError, SafetensorError) as error:
        partial.unlink(missing_ok=True)
        kept = f"the checkpoint of before is whole in {path}" if path.is_file() else "there was none before"
        raise CheckpointWriteError(
            f"the checkpoint {path} cannot be written ({error}); {kept}: make room and resume the run"
        ) from error


def load_checkpoint(
    path: Path,
    *,
    modules: dict[str, nn.Module],
    optimiser: torch.optim.Optimizer | None = None,
    config_digest: str | None = None,
) -> Progress:
    """Fill the modules (and, to go on with the run, the optimiser and the random generators) from a checkpoint.

    Raises:
        ConfigurationError: the file is missing or damaged, belongs to another config, or to another architecture.
    """
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
    except (OSError, SafetensorError) as error:
        raise ConfigurationError(f"{path} is no readable checkpoint: {error}") from error
    if metadata.get("format") not in (_READ_FOR_WEIGHTS if optimiser is None else (_FORMAT,)):
        raise ConfigurationError(f"{path} is no training checkpoint of this version")
    if config_digest is not None and metadata["config"] != config_digest:
        raise ConfigurationError(f"{path} belongs to a run with other settings; resume with its own config.json")
    for part, module in modules.items():
        try:
            module.load_state_dict(_part(tensors, f"{part}."))
        except RuntimeError as error:
            reason = str(error).splitlines()
            raise ConfigurationError(f"{path} does not fit this architecture: {' '.join(reason[:2])}") from error
    if optimiser is not None:
        _load_optimiser(optimiser, _part(tensors, "optimiser."))
        _set_generators(_part(tensors, _GENERATORS))
    known = {f.name for f in fields(Progress)}
    return Progress(**{name: value for name, value in json.loads(metadata["progress"]).items() if name in known})


def _part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def _load_optimiser(optimiser: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    """Fill the optimiser's state, each tensor laid out in memory like its parameter.

    Fused steps walk parameter and state side by side in memory; a state in another layout (channels-last weights are
    saved contiguous) would be applied to the wrong weights, silently.
    """
    parameters = [p for group in optimiser.param_groups for p in group["params"]]
    state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        index, _, kind = name.partition(".")
        parameter = parameters[int(index)]
        laid_out = torch.empty_like(parameter).copy_(tensor) if tensor.shape == parameter.shape else tensor
        state.setdefault(int(index), {})[kind] = laid_out
    whole = optimiser.state_dict()
    whole["state"] = state
    optimiser.load_state_dict(whole)


def _generator_states() -> dict[str, Tensor]:
    states = {"cpu": torch.get_rng_state()}
    if torch.cuda.is_available():
        states["cuda"] = torch.cuda.get_rng_state()
    return states


def _set_generators(states: Mapping[str, Tensor]) -> None:
    torch.set_rng_state(states["cpu"])
    if "cuda" in states and torch.cuda.is_available():
        torch.cuda.set_rng_state(states["cuda"])


def _to_disk(path: Path) -> None:
    """Wait until a file's content, or a folder's names, have reached the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
