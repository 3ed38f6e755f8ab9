"""The optimiser, and the moving average of the weights."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from training.config import LoopConfig

_SCALE = "scale"


def make_optimiser(
    modules: Sequence[nn.Module], loop: LoopConfig, *, proxies: Sequence[nn.Parameter] = ()
) -> torch.optim.Optimizer:
    """AdamW or SGD over all parameters; weight decay on matrices and filters only.

    Args:
        modules: What is trained.
        loop: Its settings.
        proxies: Those of the parameters that stand for products. Each is pulled to its product's images only when they
            come by, once an epoch, so they take larger steps.
    """
    quick = {id(p) for p in proxies}
    parameters = [p for module in modules for p in module.parameters() if id(p) not in quick]
    groups: list[dict[str, Any]] = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": loop.weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
    if proxies:
        groups.append({"params": list(proxies), "weight_decay": 0.0, _SCALE: loop.proxy_rate})
    if loop.optimiser == "adamw":
        return torch.optim.AdamW(groups, lr=loop.learning_rate, betas=(0.9, 0.99), fused=True)
    return torch.optim.SGD(groups, lr=loop.learning_rate, momentum=0.9, nesterov=True, fused=True)


def set_learning_rate(optimiser: torch.optim.Optimizer, rate: float) -> None:
    """Let every parameter take steps of this size, proxies larger ones."""
    for group in optimiser.param_groups:
        group["lr"] = rate * group.get(_SCALE, 1.0)


class MovingAverage:
    """Keeps one module the exponential moving average of another, statistics included."""

    def __init__(self, average: nn.Module, current: nn.Module, decay: float) -> None:
        ours, theirs = average.state_dict(), current.state_dict()
        floating = [name for name, tensor in ours.items() if tensor.is_floating_point()]
        self._decay = decay
        self._averaged = ([ours[n] for n in floating], [theirs[n] for n in floating])
        self._copied = [(ours[n], theirs[n]) for n in ours.keys() - set(floating)]

    @torch.no_grad()
    def update(self, steps: int) -> None:
        """Move towards the current values; quickly at first, when the average is of noise."""
        weight = 1 - min(self._decay, (1 + steps) / (10 + steps))
        torch._foreach_lerp_(*self._averaged, weight)
        for ours, theirs in self._copied:
            ours.copy_(theirs)
