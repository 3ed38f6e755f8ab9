"""A run's folder: what its files are called, and its `config.json` and `data.json`."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from training.config import Config
from training.datasets.record import DataSet
from workers.errors import ConfigurationError

CONFIG = "config.json"
DATA = "data.json"
LOG = "log.jsonl"
LAST = "last.safetensors"
BEST = "best.safetensors"
EVENTS = "tensorboard"


@dataclass(frozen=True, kw_only=True, slots=True)
class RunData:
    """What a run was trained on, in few words."""

    labels: tuple[str, ...]
    attributes: tuple[str, ...]
    licence: str
    digest: str
    """`DataSet.digest`: another one is another data set."""
    counts: Mapping[str, Mapping[str, int]]
    """Images of each split and label."""
    unlabelled: Mapping[str, int]
    """Images of each split without a label; they serve the other tasks."""


def describe(data: DataSet) -> RunData:
    """The facts of a data set."""
    counts: dict[str, dict[str, int]] = {}
    unlabelled: dict[str, int] = {}
    for found in data.counts():
        if found.label is None:
            unlabelled[found.split] = found.images
        else:
            counts.setdefault(found.split, {})[found.label] = found.images
    return RunData(
        labels=data.labels,
        attributes=data.attributes,
        licence=data.licence,
        digest=data.digest(),
        counts=counts,
        unlabelled=unlabelled,
    )


def begin(run: Path, config: Config, data: DataSet) -> None:
    """Make the folder of a new run with its config and data.

    Raises:
        ConfigurationError: the folder holds something, or cannot be written.
    """
    refuse_used(run)
    try:
        run.mkdir(parents=True, exist_ok=True)
        (run / CONFIG).write_text(config.to_json(), encoding="utf-8")
        (run / DATA).write_text(json.dumps(asdict(describe(data)), indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise ConfigurationError(f"the run's folder {run} cannot be written: {error.strerror or error}") from error


def refuse_used(run: Path) -> None:
    """Raise a `ConfigurationError` if the folder is a file or holds something."""
    if run.exists() and (not run.is_dir() or any(run.iterdir())):
        raise ConfigurationError(f"{run} is not empty: name another folder, or resume the run in it")


def refuse_missing(run: Path) -> None:
    """Raise a `ConfigurationError` if there is no checkpoint to resume from."""
    if not (run / LAST).is_file():
        raise ConfigurationError(f"{run} has no {LAST} to resume from")


def refuse_other_data(run: Path, data: DataSet) -> None:
    """Raise a `ConfigurationError` if the data set is not the one that the run began with."""
    if (run / DATA).is_file() and load_run_data(run).digest != data.digest():
        raise ConfigurationError(
            f"the data set has changed since the run in {run} began: restore it, or start another run from its {LAST}"
        )


def load_run_data(run: Path) -> RunData:
    """What the run says of its data.

    Raises:
        ConfigurationError: `data.json` is missing or damaged.
    """
    path = run / DATA
    try:
        held = json.loads(path.read_text(encoding="utf-8"))
        return RunData(**{**held, "labels": tuple(held["labels"]), "attributes": tuple(held["attributes"])})
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise ConfigurationError(f"{path} does not describe a run's data: {error}") from error


def config_digest(run: Path) -> str:
    """SHA-256 of the saved config as it stands in the file: the one that the run's checkpoints name.

    Raises:
        ConfigurationError: there is no config.
    """
    try:
        return hashlib.sha256((run / CONFIG).read_bytes()).hexdigest()
    except OSError as error:
        raise ConfigurationError(f"{run} holds no run: {error}") from error


def periodic(epoch: int) -> str:
    """Name of the checkpoint that is kept of an epoch."""
    return f"epoch-{epoch:03}.safetensors"
