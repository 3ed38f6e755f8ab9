"""Run folders as training and evaluation leave them, of drawn images and made-up predictions: quick, and always the same."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from schemas.model_card import NoMatch
from training.config import Config, DataConfig
from training.datasets.record import LABELS, Record
from training.datasets.sources import load_data_set
from training.evaluate import Threshold, evaluate_split
from training.evaluation import Evaluation
from training.predictions import Predictions, save_predictions
from training.recipes import smoke_stream
from training.run_folder import CONFIG, DATA, LOG, describe

MEASURED = "drawn/validation"
ENGINE = "torch-float32"
EPOCHS = 12


@dataclass(frozen=True, kw_only=True, slots=True)
class WrittenRun:
    """A folder and what it was made of."""

    folder: Path
    config: Config
    records: tuple[Record, ...]
    """Of every split; all that was not trained on is measured."""
    predictions: Predictions

    @property
    def by_name(self) -> dict[tuple[str, str], Record]:
        """As a report takes them."""
        return {(r.source, r.name): r for r in self.records}


def made_up_predictions(records: tuple[Record, ...], *, wrong: float = 0.2, seed: int = 0) -> Predictions:
    """Mostly right answers; vectors lie near those of the product and of the category; boxes are shaken a little."""
    rng = np.random.default_rng(seed)
    true = np.array([r.category for r in records], dtype=np.int64)
    said = np.where(rng.random(len(true)) < wrong, (true + rng.integers(1, 4, len(true))) % len(LABELS), true)
    logits = rng.normal(0, 0.7, (len(true), len(LABELS)))
    logits[np.arange(len(true)), said] += rng.uniform(1.5, 5.0, len(true))
    probabilities = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    products = {p: rng.normal(size=32) for p in dict.fromkeys(r.product for r in records)}
    centres = rng.normal(size=(len(LABELS), 32))
    vectors = np.stack([products[r.product] for r in records]) + centres[said] + rng.normal(0, 0.6, (len(true), 32))
    boxes = np.array([r.box or (0, 0, 1, 1) for r in records]) + rng.normal(0, 0.04, (len(true), 4))
    return Predictions(
        records=records,
        probabilities=probabilities.astype(np.float32),
        vectors=_unit(vectors),
        boxes=np.clip(boxes, 0, 1).astype(np.float32),
    )


def write_run(folder: Path, *, images: int = 60, evaluated: bool = True) -> WrittenRun:
    """Config, data, log and, if wanted, evaluation and predictions."""
    folder.mkdir(parents=True)
    config = replace(smoke_stream(), data=DataConfig(source="drawn", drawn_images=images, drawn_seed=3))
    data = load_data_set(config.data)
    predictions = made_up_predictions(tuple(r for r in data.records if r.split != "train"))
    (folder / CONFIG).write_text(config.to_json(), encoding="utf-8")
    (folder / DATA).write_text(json.dumps(asdict(describe(data))), encoding="utf-8")
    (folder / LOG).write_text("".join(json.dumps(_line(e)) + "\n" for e in range(1, EPOCHS + 1)), encoding="utf-8")
    if evaluated:
        write_evaluation(folder, predictions)
    return WrittenRun(folder=folder, config=config, records=data.records, predictions=predictions)


def write_evaluation(folder: Path, predictions: Predictions, *, labels: tuple[str, ...] = LABELS) -> None:
    """What `evaluate` writes, by the same code."""
    no_match = NoMatch(below=0.62, by="product", false_accepts=0.05, data="drawn/holdout", images=80, gallery=700)
    threshold = Threshold(below=no_match.below, by=no_match.by)
    Evaluation(
        engine=ENGINE,
        source="last.safetensors",
        labels=labels,
        attributes=(),
        temperature=1.21,
        no_match=no_match,
        splits=(evaluate_split(predictions, labels, data=MEASURED, engine=ENGINE, threshold=threshold),),
    ).write(folder)
    save_predictions([(MEASURED, predictions)], folder)


def _line(epoch: int) -> dict[str, object]:
    rest = 0.8 * 0.75**epoch
    held_out = 0.12 + 0.8 * rest + (0.01 if epoch == EPOCHS else 0.0)
    return {
        "epoch": epoch,
        "size": 96 if epoch <= 7 else 128,
        "loss": {"label": 0.5 + rest, "box": 0.02 + 0.1 * rest, "box_overlap": 0.2 + rest, "metric": 0.3 + 0.5 * rest},
        "errors": {"train": 0.02 + rest, "holdout": held_out, "holdout/drawn": held_out},
        "figures": {"box_iou": 0.87 - rest, "recall_at_1": 0.9 - rest},
        "score": (1 - held_out + 0.87 - rest) / 2,
        "learning_rate": 1e-3 * (1 + np.cos(np.pi * epoch / EPOCHS)) / 2,
        "seconds": 21.0 if epoch <= 7 else 37.5,
        "images_per_s": 240.0 if epoch <= 7 else 135.0,
    }


def _unit(vectors: NDArray[np.float64]) -> NDArray[np.float32]:
    unit: NDArray[np.float32] = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    return unit
