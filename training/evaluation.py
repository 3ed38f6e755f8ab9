"""`evaluation.json`: everything that was measured, as values. The report and the card are made from it."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from schemas.model_card import Likeness, Metric, NoMatch
from workers.errors import ConfigurationError

EVALUATION_FILE = "evaluation.json"


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Estimate(_Frozen):
    """A figure with the bounds of its 95 % bootstrap interval; without bounds, where there are not two groups to draw."""

    value: float
    low: float | None
    high: float | None


class ClassFigures(_Frozen):
    """One category; a figure whose denominator is 0 is None."""

    label: str
    images: int
    """Images that are of this category."""
    predicted: int
    """Images that were said to be."""
    precision: Estimate | None
    recall: Estimate | None
    f1: Estimate | None


class ReliabilityBin(_Frozen):
    """The images whose highest probability lies in [low, high); the last bin includes 1."""

    low: float
    high: float
    images: int
    confidence: float | None
    """Mean highest probability; None for an empty bin."""
    accuracy: float | None
    """Share of them that are right."""


class SplitEvaluation(_Frozen):
    """What was measured on one split of one data set."""

    data: str
    """Source and split, as `photographs/validation`."""
    images: int
    gallery: int | None
    """Images that were searched; None: the images search each other, each leaving itself out."""
    groups: int
    """Senders or products; bootstrap intervals resample them as a whole."""
    metrics: tuple[Metric, ...]
    confusion: tuple[tuple[int, ...], ...]
    """`confusion[true][predicted]` images, by index of the labels; empty where no category is known."""
    classes: tuple[ClassFigures, ...]
    reliability: tuple[ReliabilityBin, ...]
    ece_of_chance: float | None
    """Calibration error that as many images would show if every confidence were exactly right."""


class Evaluation(_Frozen):
    """One engine on every measured split."""

    schema_version: Literal[1] = 1
    engine: str
    """As `torch-float32` or `openvino-int8`."""
    source: str
    """What was measured: the checkpoint's file name, or the bundle's name and digest."""
    labels: tuple[str, ...]
    attributes: tuple[str, ...]
    temperature: float
    no_match: NoMatch | None
    likeness: Likeness | None = None
    splits: tuple[SplitEvaluation, ...]

    @property
    def metrics(self) -> tuple[Metric, ...]:
        """Those of every split."""
        return tuple(metric for split in self.splits for metric in split.metrics)

    def write(self, folder: Path) -> None:
        """Replace `evaluation.json` in the folder."""
        partial = folder / (EVALUATION_FILE + ".partial")
        partial.write_text(self.model_dump_json(indent=2) + "\n", encoding="utf-8")
        partial.replace(folder / EVALUATION_FILE)


def load_evaluation(folder: Path) -> Evaluation:
    """The evaluation in a run's folder.

    Raises:
        ConfigurationError: there is none, or it is of another version.
    """
    path = folder / EVALUATION_FILE
    try:
        return Evaluation.model_validate_json(path.read_bytes())
    except OSError as error:
        raise ConfigurationError(f"{folder} was not evaluated: run `python -m training evaluate {folder}`") from error
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "the file"
        raise ConfigurationError(f"{path} is no evaluation of this version: {where}: {first['msg']}") from error
