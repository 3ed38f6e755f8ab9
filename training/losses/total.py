"""The loss as a whole: every part that has a weight."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

from training.config import LossConfig
from training.losses.attributes import attribute_loss
from training.losses.boxes import box_loss, overlap_loss
from training.losses.distillation import cosine_distance, soft_label_loss
from training.losses.labels import label_loss
from training.losses.metric import metric_loss
from training.losses.targets import Targets
from training.model import StudentOutput
from training.networks.heads import TrainingHeads


def total_loss(
    output: StudentOutput, heads: TrainingHeads, targets: Targets, config: LossConfig
) -> tuple[Tensor, dict[str, Tensor]]:
    """The weighted sum and its unweighted, detached parts, each named as its weight in the config."""
    parts = {**_labelled(output, heads, targets, config), **_distilled(output, heads, targets, config)}
    total = sum((getattr(config, name) * value for name, value in parts.items()), start=output.logits.new_zeros(()))
    return total, {name: value.detach() for name, value in parts.items()}


def _labelled(output: StudentOutput, heads: TrainingHeads, targets: Targets, config: LossConfig) -> dict[str, Tensor]:
    parts: dict[str, Tensor] = {}
    if config.label:
        parts["label"] = label_loss(output.logits, targets.category, targets.trust, config.label_smoothing)
    if config.attributes and output.attributes is not None and targets.attributes is not None:
        parts["attributes"] = attribute_loss(output.attributes, targets.attributes, heads.attribute_weights)
    if output.box is not None and targets.box is not None:
        if config.box:
            parts["box"] = box_loss(output.box, targets.box, config.box_beta)
        if config.box_overlap:
            parts["box_overlap"] = overlap_loss(output.box, targets.box)
    if config.metric:
        parts["metric"] = metric_loss(heads.metric, output.embedding, _groups(targets, config))
    return parts


def _distilled(output: StudentOutput, heads: TrainingHeads, targets: Targets, config: LossConfig) -> dict[str, Tensor]:
    parts: dict[str, Tensor] = {}
    if config.soft_label and targets.soft is not None:
        parts["soft_label"] = soft_label_loss(output.logits, targets.soft, config.soft_label_temperature)
    if config.pooled and targets.pooled is not None:
        parts["pooled"] = cosine_distance(heads.pooled(output.embedding), targets.pooled, dim=1)
    if config.positions and targets.positions is not None:
        grid = targets.positions.shape[-2:]
        seen = functional.interpolate(heads.positions(output.feature_map), grid, mode="bilinear", align_corners=False)
        parts["positions"] = cosine_distance(seen, targets.positions, dim=1)
    return parts


def _groups(targets: Targets, config: LossConfig) -> Tensor:
    """(N,) what metric learning goes by; -1 unknown. A category counts where its label is fully trusted."""
    if config.metric_on == "product" and targets.product is not None:
        return targets.product
    return targets.category.where(targets.trust == 1.0, targets.category.new_tensor(-1))
