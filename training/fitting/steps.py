"""One optimiser step: forward and backward pass over a batch, on threads, on a GPU or on several processes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from schemas.model_card import Preprocessing
from training.batches import Batch
from training.config import Config
from training.fitting.processes import Processes
from training.fitting.replicas import Replicas
from training.losses import total_loss
from training.model import Student, normalise
from training.networks.heads import TrainingHeads
from workers.errors import CatalogError

RIGHT, JUDGED = "right", "judged"
"""Beside the parts of the loss, a step reports how many of its fully trusted labels came out first."""


class TrainingError(CatalogError):
    """The optimisation broke down; the checkpoint written last is kept."""


class Trainee(nn.Module):
    """Student and training heads with their loss: what a step runs."""

    def __init__(self, student: Student, heads: TrainingHeads, config: Config) -> None:
        super().__init__()
        self.student = student
        self.heads = heads
        self._config = config

    @property
    def classifies(self) -> bool:
        """Whether the category head, which every student has, is trained."""
        return bool(self._config.loss.label or self._config.loss.soft_label)

    def forward(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss of a batch, and what is reported of it."""
        preprocessing = Preprocessing(input_size=self._config.model.input_size)
        images = normalise(batch.pixels, preprocessing.mean, preprocessing.std)
        halved = self._config.loop.precision == "bf16"
        with torch.autocast(images.device.type, dtype=torch.bfloat16, enabled=halved):
            output = self.student(images)
        loss, parts = total_loss(output, self.heads, batch.targets, self._config.loss)
        judged = batch.targets.trust == 1.0
        right = (output.logits.detach().argmax(1) == batch.targets.category) & judged
        return loss, {**parts, RIGHT: right.sum().float(), JUDGED: judged.sum().float()}


class Steps(Protocol):
    """Leaves the mean gradient of a batch in the trainee's parameters."""

    def backward(self, batch: Batch) -> dict[str, Tensor]:
        """Run a batch (this process's part of it); what it reports, as means over threads."""
        ...

    def spread(self) -> None:
        """The trainee's weights and statistics were replaced from outside."""
        ...

    def close(self) -> None:
        """End the threads."""
        ...


def make_steps(trainee: Trainee, processes: Processes, threads: int) -> Steps:
    """Threads with replicas on a lone CPU; else the whole trainee, its gradients averaged over the processes."""
    if processes.device.type == "cpu" and processes.count == 1:
        return _Threaded(trainee, threads)
    return _Whole(trainee, processes)


class _Threaded:
    def __init__(self, trainee: Trainee, threads: int) -> None:
        self._replicas: Replicas[Batch, dict[str, Tensor]] = Replicas(trainee, threads)

    def backward(self, batch: Batch) -> dict[str, Tensor]:
        each = self._replicas.step(batch.split(len(self._replicas)), lambda replica, share: replica(share))
        return {name: torch.stack([part[name] for part in each]).mean() for name in each[0]}

    def spread(self) -> None:
        self._replicas.spread()

    def close(self) -> None:
        self._replicas.close()


class _Whole:
    def __init__(self, trainee: Trainee, processes: Processes) -> None:
        self._trainee = trainee
        self._device = processes.device
        self._run: nn.Module = trainee
        if processes.count > 1:
            places = [processes.device] if processes.device.type == "cuda" else None
            # Statistics are each process's own until a checkpoint averages them; see Processes.average_statistics.
            self._run = DistributedDataParallel(
                trainee, device_ids=places, broadcast_buffers=False, find_unused_parameters=not trainee.classifies
            )

    def backward(self, batch: Batch) -> dict[str, Tensor]:
        self._trainee.train()
        for parameter in self._trainee.parameters():
            parameter.grad = None
        loss, parts = self._run(batch.to(self._device))
        loss.backward()
        found: dict[str, Tensor] = parts
        return found

    def spread(self) -> None:
        """Nothing is held twice."""

    def close(self) -> None:
        """There are no threads."""


class Readings:
    """What steps report, checked and as numbers: at once on a CPU, a step late on a GPU, which then never waits."""

    def __init__(self, device: torch.device) -> None:
        self._late = device.type == "cuda"
        self._waiting: list[tuple[int, tuple[str, ...], Tensor, torch.cuda.Event | None]] = []

    def add(self, step: int, names: tuple[str, ...], values: Tensor) -> list[Mapping[str, float]]:
        """Hand in a step's values; what is due.

        Raises:
            TrainingError: a value that is due is not finite.
        """
        if not self._late:
            return [_checked(step, names, values)]
        copied = torch.empty(values.shape, dtype=values.dtype, pin_memory=True).copy_(values, non_blocking=True)
        done = torch.cuda.Event()  # type: ignore[no-untyped-call]
        done.record()
        self._waiting.append((step, names, copied, done))
        return self._take(keep=1)

    def flush(self) -> list[Mapping[str, float]]:
        """Everything that is still outstanding.

        Raises:
            TrainingError: a value is not finite.
        """
        return self._take(keep=0)

    def _take(self, keep: int) -> list[Mapping[str, float]]:
        due = self._waiting[: len(self._waiting) - keep]
        self._waiting = self._waiting[len(due) :]
        found = []
        for step, names, values, done in due:
            if done is not None:
                done.synchronize()
            found.append(_checked(step, names, values))
        return found


def _checked(step: int, names: tuple[str, ...], values: Tensor) -> Mapping[str, float]:
    read = dict(zip(names, values.tolist(), strict=True))
    if not all(math.isfinite(value) for value in read.values()):
        shown = ", ".join(f"{name} {value:.4g}" for name, value in read.items() if name not in (RIGHT, JUDGED))
        raise TrainingError(
            f"the loss is not finite at step {step} ({shown}): lower the learning rate and resume from the last "
            "checkpoint, which is kept"
        )
    return read
