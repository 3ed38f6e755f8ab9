"""A run's folder as values: config.json, data.json, log.jsonl, evaluation.json and the predictions."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file

from training.evaluation import EVALUATION_FILE, Evaluation, load_evaluation
from training.predictions import NAMES_FILE, PREDICTIONS_FILE
from training.report.evidence import Balance, DataFacts, Epoch, Measurement, Run, Shown
from training.run_folder import CONFIG, DATA, LOG, RunData, config_digest, load_run_data
from workers.errors import ConfigurationError


def read_run(folder: Path) -> Run:
    """Everything in the folder; only config.json must be there.

    Raises:
        ConfigurationError: the folder is no run's, or one of its files is damaged; the message names the file.
    """
    if not (folder / CONFIG).is_file():
        raise ConfigurationError(f"{folder} is no run: it has no {CONFIG}. Name the folder given to `fit`")
    config = _read_json(folder / CONFIG)
    evaluation = load_evaluation(folder) if (folder / EVALUATION_FILE).exists() else None
    return Run(
        folder=folder,
        settings=tuple(_settings(config)),
        config_digest=config_digest(folder),
        data=_data_facts(folder),
        epochs=_epochs(folder / LOG),
        evaluation=evaluation,
        measurements=_measurements(folder, evaluation),
    )


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"{path} cannot be read: {error}") from error


def _settings(config: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    for group, value in config.items():
        if isinstance(value, dict):
            yield from ((group, name, _text(own)) for name, own in value.items())
        else:
            yield "", group, _text(value)


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "on" if value else "off"
    return json.dumps(value)


def _data_facts(folder: Path) -> DataFacts | None:
    if not (folder / DATA).exists():
        return None
    data = load_run_data(folder)
    try:
        return DataFacts(
            labels=data.labels,
            attributes=data.attributes,
            licence=data.licence,
            digest=data.digest,
            balance=_balance(data),
        )
    except (TypeError, ValueError, AttributeError) as error:
        raise ConfigurationError(f"{folder / DATA} does not describe a run's data: {error}") from error


def _balance(data: RunData) -> Balance | None:
    splits = tuple(split for split, own in data.counts.items() if any(own.values()))
    if not splits:
        return None
    counts = [[data.counts[split].get(label, 0) for split in splits] for label in data.labels]
    return Balance(
        splits=splits,
        labels=data.labels,
        counts=np.array(counts, dtype=np.int64),
        unlabelled=tuple(data.unlabelled.get(split, 0) for split in splits),
    )


def _epochs(path: Path) -> tuple[Epoch, ...]:
    if not path.exists():
        return ()
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path} cannot be read: {error}") from error
    found: dict[int, Epoch] = {}
    for number, line in enumerate(lines, 1):
        try:
            epoch = _epoch(json.loads(line))
        except (ValueError, KeyError, TypeError) as error:
            if number == len(lines):
                break  # the run is writing it, or was ended while it did
            raise ConfigurationError(f"{path}, line {number} is no epoch of a log: {error!r}") from error
        found[epoch.number] = epoch  # an epoch that was repeated after a resumption counts as it ended
    return tuple(found[number] for number in sorted(found))


def _epoch(line: Mapping[str, Any]) -> Epoch:
    return Epoch(
        number=int(line["epoch"]),
        size_px=line.get("size"),
        seconds=line.get("seconds"),
        images_per_s=line.get("images_per_s"),
        learning_rate=line.get("learning_rate"),
        losses=_numbers(line.get("loss", {})),
        errors=_numbers(line.get("errors", {})),
        figures=_numbers(line.get("figures", {})),
        score=line.get("score"),
    )


def _numbers(values: Mapping[str, Any]) -> tuple[tuple[str, float], ...]:
    return tuple((name, float(value)) for name, value in values.items())


def _measurements(folder: Path, evaluation: Evaluation | None) -> tuple[Measurement, ...]:
    if evaluation is None:
        return ()
    shown = _shown(folder) if (folder / PREDICTIONS_FILE).exists() else {}
    return tuple(
        Measurement(
            figures=split,
            labels=evaluation.labels,
            shown=shown.get(split.data),
            gallery=None if split.gallery is None else shown.get(f"{split.data.rpartition('/')[0]}/gallery"),
        )
        for split in evaluation.splits
    )


def _shown(folder: Path) -> dict[str, Shown]:
    """The images of every data set and split that was measured."""
    rows = _read_json(folder / NAMES_FILE)
    try:
        tensors = load_file(folder / PREDICTIONS_FILE)
        data = np.array([row["data"] for row in rows])
        if any(len(tensor) != len(rows) for tensor in tensors.values()):
            raise ValueError(f"{NAMES_FILE} names {len(rows)} images, {PREDICTIONS_FILE} holds another number")
        return {name: _part(rows, tensors, np.flatnonzero(data == name)) for name in dict.fromkeys(data.tolist())}
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        raise ConfigurationError(
            f"{folder / PREDICTIONS_FILE} cannot be read ({error}): evaluate the run again"
        ) from error


def _part(rows: list[dict[str, Any]], tensors: Mapping[str, NDArray[np.float32]], of: NDArray[np.int64]) -> Shown:
    own = [rows[i] for i in of]
    true_boxes = np.array([row["box"] or (np.nan,) * 4 for row in own], dtype=np.float32)
    return Shown(
        sources=tuple(row["source"] for row in own),
        names=tuple(row["name"] for row in own),
        splits=tuple(row["split"] for row in own),
        categories=np.array([-1 if row["category"] is None else row["category"] for row in own], dtype=np.int64),
        products=tuple(row["product"] for row in own),
        probabilities=tensors["probabilities"][of],
        vectors=tensors["vectors"][of],
        boxes=tensors["boxes"][of] if "boxes" in tensors else None,
        true_boxes=None if np.isnan(true_boxes).all() else true_boxes,
    )
