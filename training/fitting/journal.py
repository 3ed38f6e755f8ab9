"""What a run writes down: a line an epoch in log.jsonl, and the same for TensorBoard."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from training.run_folder import EVENTS, LOG


@dataclass(frozen=True, kw_only=True, slots=True)
class EpochLine:
    """One line of the log."""

    epoch: int
    """From 1."""
    planned_epochs: int
    steps: int
    """Done in all."""
    share: float
    """Of the schedule, 0..1."""
    size: int
    """Side of the input in pixels."""
    learning_rate: float
    """Of the epoch's last step."""
    loss: Mapping[str, float]
    """Mean over the epoch of each part, before its weight."""
    errors: Mapping[str, float]
    """Share of wrong categories: `train` (of augmented views, while training), `holdout` or `validation` (the mean of its
    sources), and `holdout/SOURCE` for each of them."""
    figures: Mapping[str, float]
    """What else was measured on the same images: box_iou, attribute_f1, recall_at_1."""
    score: float | None
    """What `best` is chosen by: the mean of accuracy and figures; None without monitored images."""
    best_score: float
    seconds: float
    """Of this epoch, measuring included."""
    total_seconds: float
    """Of all epochs, over all sessions."""
    images_per_s: float


class Journal:
    """Appends to the log of a run; a run that goes on first forgets what came after its checkpoint."""

    def __init__(self, run: Path, *, epoch: int, steps: int) -> None:
        """Open the journal after so many epochs and steps."""
        self._log = run / LOG
        if self._log.is_file():
            kept = [line for line in self._log.read_text(encoding="utf-8").splitlines() if _epoch(line) <= epoch]
            self._log.write_text("".join(f"{line}\n" for line in kept), encoding="utf-8")
        self._events = _writer(run / EVENTS, steps)

    def write(self, line: EpochLine) -> None:
        """Append a line, and show it to TensorBoard."""
        with self._log.open("a", encoding="utf-8") as log:
            log.write(json.dumps(asdict(line)) + "\n")
        scalars = {
            "learning_rate": line.learning_rate,
            "size": line.size,
            "images_per_s": line.images_per_s,
            **{f"loss/{name}": value for name, value in line.loss.items()},
            **{f"error/{name}": value for name, value in line.errors.items()},
            **{f"figure/{name}": value for name, value in line.figures.items()},
        }
        for name, value in scalars.items():
            self._events.add_scalar(name, value, line.steps)
        self._events.flush()

    def close(self) -> None:
        """Finish TensorBoard's file."""
        self._events.close()


def _epoch(line: str) -> float:
    """The line's epoch; infinite for a line that was cut off when the run was killed."""
    try:
        return float(json.loads(line)["epoch"])
    except (ValueError, KeyError, TypeError):
        return float("inf")


def _writer(folder: Path, steps: int) -> Any:
    from torch.utils.tensorboard import SummaryWriter

    return SummaryWriter(str(folder), purge_step=steps + 1 if steps else None)
