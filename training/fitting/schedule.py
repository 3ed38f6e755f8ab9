"""What follows the share of the run that is done: learning rate, input size, and how many epochs still fit."""

from __future__ import annotations

import math

import numpy as np

from training.checkpoint import Progress
from training.config import LoopConfig


def plan_epochs(loop: LoopConfig, progress: Progress, planned: int, *, last_epoch_s: float, last_size: int) -> int:
    """How many epochs the run has in all: as configured, or as many as fit into the wall-clock budget.

    Time is taken to grow with the area of the input. The last epoch's speed counts half and the whole run's half:
    other work on the machine comes and goes.
    """
    if loop.max_seconds is None or progress.share >= 1.0:
        return planned
    cost_s = (last_epoch_s / last_size**2 + progress.seconds / progress.work) / 2
    shares = np.linspace(progress.share, 1.0, 50, endpoint=False)
    area = float(np.mean([size_at(loop, share) ** 2 for share in shares]))
    return progress.epoch + max(1, round((loop.max_seconds - progress.seconds) / (cost_s * area)))


def learning_rate_at(loop: LoopConfig, share: float) -> float:
    """Linear warm-up, then half a cosine to zero or down by a factor at each milestone."""
    if share < loop.warmup:
        return loop.learning_rate * max(share, 1e-3) / loop.warmup
    if loop.schedule == "steps":
        passed = sum(share >= milestone for milestone in loop.milestones)
        return loop.learning_rate * loop.milestone_factor**passed
    return loop.learning_rate * 0.5 * (1 + math.cos(math.pi * (share - loop.warmup) / (1 - loop.warmup)))


def size_at(loop: LoopConfig, share: float) -> int:
    """Input size of an epoch that begins at this share of the schedule."""
    return max(loop.sizes, key=lambda stage: (stage[0] <= share, stage[0] if stage[0] <= share else -stage[0]))[1]
