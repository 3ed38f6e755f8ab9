"""Boxes: smooth L1 on the shares, and generalised IoU; both masked where no box is known."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

_WHOLE = (0.0, 0.0, 1.0, 1.0)


def box_loss(given: Tensor, truth: Tensor, beta: float) -> Tensor:
    """Smooth L1 (Girshick 2015) summed over the four shares, mean over known boxes; 0 where there is none.

    Args:
        given: (N, 4) shares.
        truth: (N, 4) shares; NaN where unknown.
        beta: Where it passes from square to straight.
    """
    known, target = _known(truth)
    each = functional.smooth_l1_loss(given, target, beta=beta, reduction="none").sum(1)
    return _mean(each, known)


def overlap_loss(given: Tensor, truth: Tensor) -> Tensor:
    """1 - generalised IoU (Rezatofighi et al. 2019), mean over known boxes; 0 where there is none."""
    from torchvision.ops import generalized_box_iou_loss

    known, target = _known(truth)
    each: Tensor = generalized_box_iou_loss(given, target, reduction="none")
    return _mean(each, known)


def _known(truth: Tensor) -> tuple[Tensor, Tensor]:
    """A mask, and boxes that are numbers everywhere: a NaN times 0 would still be NaN."""
    known = torch.isfinite(truth).all(1)
    return known.float(), torch.where(known[:, None], truth, truth.new_tensor(_WHOLE))


def _mean(each: Tensor, known: Tensor) -> Tensor:
    return (each * known).sum() / known.sum().clamp(min=1.0)
