"""The network that a run trained."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from training.checkpoint import load_checkpoint
from training.config import Config, load_config
from training.datasets.record import LABELS
from training.model import Student, build_student
from training.run_folder import CONFIG, DATA, LAST, config_digest, load_run_data


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainedStudent:
    """A run's averaged student."""

    config: Config
    student: Student
    """In evaluation mode."""
    labels: tuple[str, ...]
    attributes: tuple[str, ...]


def load_student(run: Path, *, checkpoint: str = LAST) -> TrainedStudent:
    """The averaged student of a run; the data set itself is not needed.

    Runs from before `data.json` was written have the taxonomy's labels and no attributes.

    Raises:
        ConfigurationError: the run lacks its config or checkpoint, or they do not fit together.
    """
    config = load_config(run / CONFIG)
    labels: tuple[str, ...] = LABELS
    attributes: tuple[str, ...] = ()
    if (run / DATA).is_file():
        data = load_run_data(run)
        labels, attributes = data.labels, data.attributes
    student = build_student(config, labels=labels, attributes=attributes)
    load_checkpoint(run / checkpoint, modules={"ema": student}, config_digest=config_digest(run))
    return TrainedStudent(config=config, student=student.eval(), labels=labels, attributes=attributes)
