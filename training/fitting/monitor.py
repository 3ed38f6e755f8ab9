"""Measuring held-out images after every epoch: what the best checkpoint is chosen by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from schemas.model_card import Preprocessing
from training.batches import attribute_rows
from training.config import Config
from training.datasets.mix import select
from training.datasets.record import DataSet, Record, Split
from training.model import Student, StudentOutput, normalise
from training.views import clean_inputs

_BATCH = 64


@dataclass(frozen=True, kw_only=True, slots=True)
class Scores:
    """What was measured."""

    errors: Mapping[str, float]
    """Share of wrong categories by split and, as `split/source`, by source."""
    figures: Mapping[str, float]

    @property
    def score(self) -> float | None:
        """The mean of accuracy and figures, higher is better; None where nothing could be measured."""
        accuracy = [1 - error for name, error in self.errors.items() if "/" not in name]
        every = [*accuracy, *self.figures.values()]
        return float(np.mean(every)) if every else None


class Monitor:
    """Some held-out images in memory, as serving prepares them."""

    def __init__(self, data: DataSet, config: Config) -> None:
        self._config = config
        self.split: Split = "holdout" if any(r.split == "holdout" for r in data.records) else "validation"
        every = select(data.records, self.split)
        step = max(1, -(-len(every) // config.loop.monitored_images))
        self._records = every[::step]
        self._inputs = clean_inputs(self._records, config.model.input_size, box_margin=config.stream.box_margin)
        self._attributes = attribute_rows(self._records, len(data.attributes))

    def measure(self, student: Student, device: torch.device) -> Scores:
        """Figures of the float32 network for the tasks that are trained."""
        if not self._records:
            return Scores(errors={}, figures={})
        output = self._run(student, device)
        figures: dict[str, float] = {}
        if output.box is not None:
            _put(figures, "box_iou", _box_iou(output.box, self._records))
        if output.attributes is not None:
            _put(figures, "attribute_f1", _f1(output.attributes.numpy() > 0, self._attributes))
        if self._config.loss.metric and self._config.loss.metric_on == "product":
            _put(figures, "recall_at_1", _recall_at_1(output.embedding, self._records))
        return Scores(errors=self._errors(output.logits), figures=figures)

    def _run(self, student: Student, device: torch.device) -> StudentOutput:
        preprocessing = Preprocessing(input_size=self._config.model.input_size)

        def run(start: int) -> StudentOutput:
            images = torch.from_numpy(self._inputs[start : start + _BATCH]).to(device)
            with torch.inference_mode():
                return student(normalise(images, preprocessing.mean, preprocessing.std))  # type: ignore[no-any-return]

        starts = range(0, len(self._records), _BATCH)
        if device.type == "cpu":
            with ThreadPoolExecutor(self._config.loop.threads) as pool:
                parts = list(pool.map(run, starts))
        else:
            parts = [run(start) for start in starts]
        return StudentOutput(
            embedding=torch.cat([p.embedding for p in parts]).cpu(),
            logits=torch.cat([p.logits for p in parts]).cpu(),
            feature_map=torch.empty(0),
            attributes=_joined([p.attributes for p in parts]),
            box=_joined([p.box for p in parts]),
        )

    def _errors(self, logits: Tensor) -> dict[str, float]:
        if not self._config.loss.label and not self._config.loss.soft_label:
            return {}
        known = np.array([r.category is not None for r in self._records])
        wrong = logits.argmax(1).numpy() != np.array([r.category or 0 for r in self._records])
        sources = np.array([r.source for r in self._records])
        by_source = {
            f"{self.split}/{s}": float(wrong[known & (sources == s)].mean()) for s in dict.fromkeys(sources[known])
        }
        if not by_source:
            return {}
        return {str(self.split): float(np.mean(list(by_source.values()))), **by_source}


def _joined(parts: Sequence[Tensor | None]) -> Tensor | None:
    found = [part for part in parts if part is not None]
    return torch.cat(found).cpu() if found else None


def _put(figures: dict[str, float], name: str, value: float | None) -> None:
    if value is not None:
        figures[name] = value


def _box_iou(given: Tensor, records: Sequence[Record]) -> float | None:
    """Mean intersection over union of the boxes that are known."""
    from torchvision.ops import box_iou

    known = [(given[i], torch.tensor(r.box)) for i, r in enumerate(records) if r.box is not None]
    if not known:
        return None
    ours, truth = (torch.stack(boxes) for boxes in zip(*known, strict=True))
    return float(box_iou(ours, truth).diagonal().mean())


def _f1(given: NDArray[np.bool_], truth: NDArray[np.float32]) -> float | None:
    """F1 over all known attributes of all images together, at a threshold of one half."""
    right = (given & (truth == 1)).sum()
    wrong = (given & (truth == 0)).sum() + (~given & (truth == 1)).sum()
    return float(2 * right / (2 * right + wrong)) if right + wrong else None


def _recall_at_1(embedding: Tensor, records: Sequence[Record]) -> float | None:
    """Share of images whose nearest other image shows the same product, of those that have such a one."""
    named = np.array(["" if r.product is None else f"{r.source}/{r.product}" for r in records])
    vectors = torch.nn.functional.normalize(embedding)
    similarity = (vectors @ vectors.T).fill_diagonal_(-2.0)
    nearest = named[similarity.argmax(1).numpy()]
    names, counts = np.unique(named, return_counts=True)
    asked = np.isin(named, names[(counts > 1) & (names != "")])
    return float((nearest == named)[asked].mean()) if asked.any() else None
