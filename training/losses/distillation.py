"""Distillation: the teacher's probe and features."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def soft_label_loss(logits: Tensor, soft: Tensor, temperature: float) -> Tensor:
    """KL divergence from the teacher's probabilities at a temperature, times its square (Hinton et al. 2015)."""
    target = torch.softmax(torch.log(soft.clamp(min=1e-6)) / temperature, dim=1)
    given = torch.log_softmax(logits / temperature, dim=1)
    return functional.kl_div(given, target, reduction="batchmean") * temperature**2


def cosine_distance(given: Tensor, target: Tensor, *, dim: int) -> Tensor:
    """Mean of 1 - cosine along `dim`."""
    return 1 - functional.cosine_similarity(given.float(), target.float(), dim=dim).mean()
