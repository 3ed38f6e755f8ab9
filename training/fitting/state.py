"""Everything that changes while training."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import torch
from torch import nn

from training.batches import Batch
from training.checkpoint import Progress, load_checkpoint, save_checkpoint
from training.config import Config
from training.datasets.mix import select
from training.datasets.record import DataSet
from training.fitting.optimiser import MovingAverage, make_optimiser, set_learning_rate
from training.fitting.processes import Processes
from training.fitting.schedule import learning_rate_at
from training.fitting.steps import Readings, Trainee, make_steps
from training.losses.attributes import positive_weights
from training.model import Student, build_student
from training.networks.heads import TrainingHeads
from training.networks.start import Weights, apply_weights
from training.teacher_networks import FEATURES

_STOP = "stop"


class State:
    """Student, average, training heads, optimiser and progress; one step moves them all."""

    def __init__(self, config: Config, data: DataSet, processes: Processes, *, config_digest: str) -> None:
        """Begin with random weights, drawn from the config's seed."""
        self.config = config
        self._digest = config_digest
        self._processes = processes
        torch.manual_seed(config.loop.seed)
        student = build_student(config, labels=data.labels, attributes=data.attributes)
        self.student = student.to(processes.device).to(memory_format=torch.channels_last)
        self.ema: Student = copy.deepcopy(self.student).requires_grad_(False).eval()
        self.heads = _training_heads(config, data, self.student.width).to(processes.device)
        self._optimiser = make_optimiser([self.student, self.heads], config.loop, proxies=self.heads.proxies)
        self._parameters = [p for group in self._optimiser.param_groups for p in group["params"]]
        self._average = MovingAverage(self.ema, self.student, config.loop.ema_decay)
        self._steps = make_steps(Trainee(self.student, self.heads, config), processes, config.loop.threads)
        self._readings = Readings(processes.device)
        self._stopping = False
        self.progress = Progress()

    def start_from(self, weights: Weights) -> tuple[str, ...]:
        """Take over the weights; names of the parameters that they do not have."""
        random = apply_weights(weights, self.student, self.heads if self.config.loop.keep_heads else None)
        self.ema.load_state_dict(self.student.state_dict())
        self._steps.spread()
        return random

    def load(self, path: Path) -> None:
        """Go on from a checkpoint of this run."""
        self.progress = load_checkpoint(
            path, modules=self._modules, optimiser=self._optimiser, config_digest=self._digest
        )
        self._steps.spread()

    def save(self, *paths: Path) -> None:
        """Write checkpoints; with several processes all have to call, the first writes."""
        self.flush()
        self._processes.average_statistics(self.student, self.ema)
        self._steps.spread()
        if self._processes.first:
            for path in paths:
                save_checkpoint(
                    path,
                    modules=self._modules,
                    optimiser=self._optimiser,
                    progress=self.progress,
                    config_digest=self._digest,
                )

    def step(self, batch: Batch, *, stop: bool) -> bool:
        """One step; advances everything but the share of the schedule.

        Whether to stop is a question to all processes, so that they stop at the same step; on a GPU the answer comes a
        step late, as all that is read from it.

        Args:
            batch: This process's part.
            stop: Whether this process was told to stop.

        Returns:
            Whether some process was.

        Raises:
            TrainingError: the loss is not finite.
        """
        rate = learning_rate_at(self.config.loop, self.progress.share)
        set_learning_rate(self._optimiser, rate)
        reported = self._steps.backward(batch)
        reported[_STOP] = torch.full_like(next(iter(reported.values())), float(stop))
        values = self._processes.average(torch.stack(list(reported.values())))
        self._count(self._readings.add(self.progress.steps, tuple(reported), values))
        if self.config.loop.gradient_clip:
            nn.utils.clip_grad_norm_(self._parameters, self.config.loop.gradient_clip)
        self._optimiser.step()
        self._average.update(self.progress.steps)
        self.progress = replace(
            self.progress, step=self.progress.step + 1, steps=self.progress.steps + 1, learning_rate=rate
        )
        return self._stopping

    def flush(self) -> None:
        """Wait for what is still computed, and check it."""
        self._count(self._readings.flush())

    def close(self) -> None:
        """End the threads."""
        self._steps.close()

    def _count(self, due: list[Mapping[str, float]]) -> None:
        sums = dict(self.progress.sums)
        for reading in due:
            self._stopping |= reading[_STOP] > 0
            for name, value in reading.items():
                if name != _STOP:
                    sums[name] = sums.get(name, 0.0) + value
        self.progress = replace(self.progress, sums=sums)

    @property
    def _modules(self) -> dict[str, nn.Module]:
        return {"student": self.student, "ema": self.ema, "heads": self.heads}


def _training_heads(config: Config, data: DataSet, width: int) -> TrainingHeads:
    train = select(data.records, "train")
    weights = None
    if config.loss.attributes:
        weights = positive_weights(
            (r.attributes for r in train), len(data.attributes), config.loss.attribute_weight_cap
        )
    on_products = config.loss.metric_on == "product"
    return TrainingHeads(
        config.loss,
        embedding_size=config.model.embedding_size,
        width=width,
        pooled=FEATURES * len(config.teacher.networks),
        positions=config.teacher.map_dimensions,
        groups=len({(r.source, r.product) for r in train}) if on_products else len(data.labels),
        attribute_weights=weights,
    )
