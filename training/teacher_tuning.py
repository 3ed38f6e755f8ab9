"""Fine-tuning of the teacher's networks on the labelled training images: first a linear probe, then the upper blocks.

A probe alone leaves the features as ImageNet formed them; blocks tuned under a random head are bent out of shape before
the head is any good. Probe first, then both at a small learning rate, keeps what generalises (Kumar et al. 2022). Weights
are averaged over the steps, and images of other classes or no class take no part.
"""

from __future__ import annotations

import copy
import hashlib
import json
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional

from training.augment import augment
from training.config import Config
from training.datasets.record import Record
from training.prefetch import prefetched
from training.teacher import Member
from training.teacher_networks import MEAN, SCALE, TeacherNetwork, described, load_teacher_network
from workers.errors import ConfigurationError
from workers.imaging.decode import decode
from workers.imaging.limits import DecodeLimits

_BATCH = 32
_TRUNK_RATE, _HEAD_RATE = 2e-4, 5e-4
"""Peaks of the learning rate: a fifth of what trains from noise, so that the probe's accuracy is never lost."""
_WEIGHT_DECAY = 0.02
_WARM_UP = 0.1
_DROPOUT = 0.2
_SMOOTHING = 0.1
_CLIP = 2.0
_AVERAGE = 0.99
_PROBE_ITERATIONS = 80
"""Of L-BFGS."""
_DECODE_MARGIN = 1.25
"""Views zoom in, so a JPEG is decoded to this many times the network's size at least."""
_LIMITS = DecodeLimits()
_SEED = 7
_FORMAT = 1
"""Raised when tuning comes out differently for the same settings, so that older weights are not used."""
_NO_PART_OF_LOOK = frozenset({"per_photograph", "per_drawing", "stored_size", "teacher_size"})


class Watcher(Protocol):
    """Whoever is told of stages and steps."""

    def stage(self, name: str, steps: int) -> None:
        """A stage begins, with its number of steps."""

    def step(self, _done: int = 1) -> None:
        """One step of the stage is done."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Labelled:
    """A batch of views with their labels."""

    views: NDArray[np.uint8]
    """(N, S, S, 3)."""
    category: NDArray[np.int64]
    trust: NDArray[np.float32]


def tune_network(
    name: str,
    records: Sequence[Record],
    *,
    size: int,
    epochs: int,
    config: Config,
    path: Path,
    classes: int,
    on_step: Callable[[int], None] | None = None,
) -> None:
    """Tune one network on the labelled ones of the records and write its averaged weights as safetensors.

    Args:
        name: Key of `training.teacher_networks.NETWORKS`.
        records: Training images; none of them may be one the teacher is to be judged by.
        size: Side of the network's input in pixels.
        epochs: Passes over the images; 0 leaves the trunk as published and fits the head alone.
        config: For views and the probe's regularisation.
        path: The file to write; it appears when it is whole.
        classes: Labels of the data set.
        on_step: Told of every step with 1.
    """
    labelled = [r for r in records if r.category is not None and r.trust > 0]
    network = load_teacher_network(name, size=size, classes=classes).to(memory_format=torch.channels_last)
    _fit_head(network, [r for r in labelled if r.trust == 1.0], size, config)
    average = copy.deepcopy(network).requires_grad_(False)
    torch.manual_seed(config.loop.seed)
    steps = len(labelled) // _BATCH
    optimiser = _optimiser(network)
    for step, batch in enumerate(_batches(labelled, epochs, size, config)):
        share = step / (steps * epochs)
        _step(network, optimiser, batch, share)
        weight = 1 - min(_AVERAGE, (2 + step) / (11 + step))
        with torch.no_grad():
            torch._foreach_lerp_(list(average.parameters()), list(network.parameters()), weight)
        if on_step is not None:
            on_step(1)
    partial = path.with_suffix(".partial")
    save_file({key: tensor.contiguous() for key, tensor in average.state_dict().items()}, partial)
    partial.replace(path)


def normalised(views: NDArray[np.uint8]) -> Tensor:
    """(N, S, S, 3) uint8 views as the networks take them, channels-last in memory."""
    planes = (torch.from_numpy(views).permute(0, 3, 1, 2).float() - MEAN) / SCALE
    return planes.contiguous(memory_format=torch.channels_last)


def teacher_members(
    config: Config, records: Sequence[Record], cache: Path, observer: Watcher, *, classes: int
) -> tuple[Member, ...]:
    """The teacher's networks as the config wants them; those to be tuned are taken from the cache or tuned first.

    Args:
        config: The run's settings.
        records: The training images of the source that the networks are tuned on.
        cache: Where tuned weights are kept, by network, settings and records.
        observer: Told of stages and steps.
        classes: Labels of the data set.

    Raises:
        ConfigurationError: an unknown network, its package missing, not one number of epochs a network, or nothing to
            tune on.
    """
    wanted = config.teacher
    if wanted.tuning_epochs and len(wanted.tuning_epochs) != len(wanted.networks):
        raise ConfigurationError(
            f"teacher.tuning_epochs names {len(wanted.tuning_epochs)} numbers for {len(wanted.networks)} networks"
        )
    if wanted.tuning_epochs and len({r.category for r in records if r.trust == 1.0}) < 2:
        raise ConfigurationError(
            "teacher.tuning_epochs: tuning needs labelled images of two classes at least; without them leave it empty"
        )
    facts = [(r.name, r.category, r.trust) for r in records]
    members: list[Member] = []
    for i, name in enumerate(wanted.networks):
        size = min(described(name).size, config.views.teacher_size)
        if not wanted.tuning_epochs:
            members.append(Member(name=name, size=size))
            continue
        epochs = wanted.tuning_epochs[i]
        look = {k: v for k, v in asdict(config.views).items() if k not in _NO_PART_OF_LOOK}
        settings = [_FORMAT, classes, name, size, epochs, wanted.probe_c, look, facts]
        key = hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:16]
        path = cache / f"{name}-{key}.safetensors"
        if not path.is_file():
            cache.mkdir(parents=True, exist_ok=True)
            observer.stage(f"tuning {name}", steps_of(records, epochs))
            tune_network(
                name,
                records,
                size=size,
                epochs=epochs,
                config=config,
                path=path,
                classes=classes,
                on_step=observer.step,
            )
        members.append(Member(name=name, size=size, tuned=path))
    return tuple(members)


def steps_of(records: Sequence[Record], epochs: int) -> int:
    """Steps that tuning on these records takes."""
    return sum(r.category is not None and r.trust > 0 for r in records) // _BATCH * epochs


def _fit_head(network: TeacherNetwork, records: Sequence[Record], size: int, config: Config) -> None:
    """Set the head to the logistic regression on the features of the images themselves."""
    from sklearn.linear_model import LogisticRegression

    from training.views import clean_inputs

    inputs = clean_inputs(records, size)
    with torch.inference_mode():
        parts = [network(normalised(inputs[i : i + _BATCH]))[0] for i in range(0, len(inputs), _BATCH)]
    features = torch.cat(parts).numpy()
    mean, deviation = features.mean(0), features.std(0) + 1e-3
    probe = LogisticRegression(C=config.teacher.probe_c, max_iter=_PROBE_ITERATIONS)
    probe.fit((features - mean) / deviation, np.array([r.category for r in records]))
    weight = probe.coef_ / deviation
    with torch.no_grad():
        network.head.weight[probe.classes_] = torch.from_numpy(weight).float()
        network.head.bias[probe.classes_] = torch.from_numpy(probe.intercept_ - weight @ mean).float()


def _optimiser(network: TeacherNetwork) -> torch.optim.Optimizer:
    """AdamW over the tuned part; each group remembers its peak."""
    network.requires_grad_(False)
    trunk, head = network.tuned_parameters(), list(network.head.parameters())
    for parameter in (*trunk, *head):
        parameter.requires_grad_(True)
    groups = [
        {"params": [p for p in trunk if p.ndim > 1], "weight_decay": _WEIGHT_DECAY, "peak": _TRUNK_RATE},
        {"params": [p for p in trunk if p.ndim <= 1], "weight_decay": 0.0, "peak": _TRUNK_RATE},
        {"params": head, "weight_decay": _WEIGHT_DECAY, "peak": _HEAD_RATE},
    ]
    return torch.optim.AdamW(groups, lr=_TRUNK_RATE)


def _step(network: TeacherNetwork, optimiser: torch.optim.Optimizer, batch: Labelled, share: float) -> None:
    fall = 0.5 * (1 + math.cos(math.pi * max(0.0, share - _WARM_UP) / (1 - _WARM_UP)))
    for group in optimiser.param_groups:
        group["lr"] = group["peak"] * min(1.0, share / _WARM_UP + 0.02) * fall
    pooled = network.feature_map(network.frozen(normalised(batch.views))).mean((2, 3))
    logits = network.head(functional.dropout(pooled, _DROPOUT))
    category, trust = torch.from_numpy(batch.category), torch.from_numpy(batch.trust)
    each = functional.cross_entropy(logits, category, reduction="none", label_smoothing=_SMOOTHING)
    optimiser.zero_grad()
    ((each * trust).sum() / trust.sum()).backward()  # type: ignore[no-untyped-call]
    nn.utils.clip_grad_norm_([p for group in optimiser.param_groups for p in group["params"]], _CLIP)
    optimiser.step()


def _batches(records: Sequence[Record], epochs: int, size: int, config: Config) -> Iterator[Labelled]:
    """Every epoch's whole batches of fresh views; the rest of records waits for other epochs."""
    per_epoch = len(records) // _BATCH
    orders = [np.random.default_rng([_SEED, epoch]).permutation(len(records)) for epoch in range(epochs)]

    def make(b: int) -> Labelled:
        epoch, place = divmod(b, per_epoch)
        chosen = orders[epoch][place * _BATCH : (place + 1) * _BATCH]
        return _labelled([records[i] for i in chosen], size, config, np.random.default_rng([_SEED, epoch, place]))

    return prefetched(make, range(epochs * per_epoch))


def _labelled(records: Sequence[Record], size: int, config: Config, rng: np.random.Generator) -> Labelled:
    look = replace(config.views, teacher_size=size)
    side = int(size * _DECODE_MARGIN)
    views = [augment(decode(r.read(), min_side_px=side, limits=_LIMITS).pixels, look, rng) for r in records]
    return Labelled(
        views=np.stack(views),
        category=np.array([r.category for r in records]),
        trust=np.array([r.trust for r in records], dtype=np.float32),
    )
