"""The teacher: EfficientNet-Lite networks run by OpenVINO, and the basis their features are expressed in."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from training.augment import shrink


@dataclass(frozen=True, kw_only=True, slots=True)
class Member:
    """One network of the teacher."""

    name: str
    """Key of `training.teacher_networks.NETWORKS`."""
    size: int
    """Side of its input in pixels; views are brought down to it."""
    tuned: Path | None = None
    """Weights that `training.teacher_tuning` wrote; None: as published, without a category head."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Features:
    """What the teacher sees in N views."""

    pooled: NDArray[np.float32]
    """(N, M * 1280): its M networks one after the other."""
    positions: NDArray[np.float32]
    """(N, G * G, 1280) of the first network."""
    probabilities: NDArray[np.float32]
    """(N, C): the mean of the networks' heads; says nothing where they were not tuned."""


class Teacher:
    """The networks compiled for their input sizes. Not thread-safe."""

    def __init__(self, members: Sequence[Member], *, classes: int, threads: int | None = None) -> None:
        import openvino as ov

        core = ov.Core()
        settings: dict[str, Any] = {"PERFORMANCE_HINT": "LATENCY"}
        if threads is not None:
            settings["INFERENCE_NUM_THREADS"] = threads
        self._compiled = [(m.size, core.compile_model(_graph(m, classes), "CPU", settings)) for m in members]

    def __call__(self, views: NDArray[np.uint8]) -> Features:
        """Features of (N, T, T, 3) uint8 RGB views, T at least the size of the largest network."""
        pooled, positions, probabilities = [], [], []
        for size, network in self._compiled:
            result = network(np.stack([shrink(view, size) for view in views]))
            pooled.append(result[0])
            positions.append(result[1])
            probabilities.append(result[2])
        return Features(
            pooled=np.concatenate(pooled, axis=1),
            positions=positions[0],
            probabilities=np.mean(probabilities, axis=0, dtype=np.float32),
        )


def _graph(member: Member, classes: int) -> Any:
    """The OpenVINO model from uint8 NHWC views to what `TeacherNetwork` gives."""
    import openvino as ov
    import torch
    from openvino.preprocess import PrePostProcessor

    from training.teacher_networks import MEAN, SCALE, load_teacher_network

    network = load_teacher_network(member.name, size=member.size, classes=classes, tuned=member.tuned)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        graph = ov.convert_model(network, example_input=torch.zeros(1, 3, member.size, member.size))
    graph.reshape([-1, 3, member.size, member.size])
    steps = PrePostProcessor(graph)
    steps.input().tensor().set_element_type(ov.Type.u8).set_layout(ov.Layout("NHWC"))
    steps.input().model().set_layout(ov.Layout("NCHW"))
    steps.input().preprocess().convert_element_type(ov.Type.f32).mean(MEAN).scale(SCALE)
    return steps.build()


@dataclass(frozen=True, kw_only=True, slots=True)
class Basis:
    """How features become targets: channels standardised, positions projected on their principal components.

    Without it the few channels that are always strong would make up the whole cosine.
    """

    pooled_mean: NDArray[np.float32]
    pooled_std: NDArray[np.float32]
    position_mean: NDArray[np.float32]
    components: NDArray[np.float32]
    """(1280, K): principal axes, each scaled by 1 / sqrt(its standard deviation), halfway to whitening."""

    def standardise(self, pooled: NDArray[Any]) -> NDArray[np.float32]:
        """(..., M * 1280) pooled features with mean 0 and deviation 1."""
        return np.asarray((pooled.astype(np.float32) - self.pooled_mean) / self.pooled_std, dtype=np.float32)

    def project(self, positions: NDArray[np.float32]) -> NDArray[np.float32]:
        """(N, P, 1280) positions as (N, P, K) targets."""
        return np.asarray((positions - self.position_mean) @ self.components, dtype=np.float32)

    def save(self, path: Path) -> None:
        """Write it as safetensors."""
        names = ("pooled_mean", "pooled_std", "position_mean", "components")
        save_file({name: np.ascontiguousarray(getattr(self, name)) for name in names}, path)


def load_basis(path: Path) -> Basis:
    """The basis that `Basis.save` wrote."""
    return Basis(**load_file(path))


def fit_basis(features: Features, dimensions: int) -> Basis:
    """The basis of these features.

    Raises:
        ValueError: fewer positions than dimensions.
    """
    positions = features.positions.reshape(-1, features.positions.shape[-1])
    if len(positions) < dimensions:
        raise ValueError(f"{len(positions)} positions cannot give {dimensions} principal components")
    mean = positions.mean(0)
    centred = positions - mean
    values, vectors = np.linalg.eigh(centred.T @ centred / len(centred))
    order = np.argsort(values)[::-1][:dimensions]
    deviation = np.sqrt(np.maximum(values[order], 1e-6))
    return Basis(
        pooled_mean=features.pooled.mean(0),
        pooled_std=features.pooled.std(0) + 1e-3,
        position_mean=mean,
        components=np.asarray(vectors[:, order] / np.sqrt(deviation), dtype=np.float32),
    )
