"""What an engine says of records: the one value that measuring, gate and reports read."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from training.datasets.record import Record
from workers.errors import ConfigurationError

PREDICTIONS_FILE = "predictions.safetensors"
NAMES_FILE = "names.json"
UNKNOWN = -1
"""Stands for an unknown category, product or attribute."""
_HEADS = ("probabilities", "vectors", "attributes", "boxes")


@dataclass(frozen=True, kw_only=True, slots=True)
class Predictions:
    """What an engine says of N records (of images of them); a head that there is not is None."""

    records: tuple[Record, ...]
    """What is true of each row; several rows may be views of one record."""
    probabilities: NDArray[np.float32]
    """(N, C)."""
    vectors: NDArray[np.float32]
    """(N, D), L2-normalised."""
    attributes: NDArray[np.float32] | None = None
    """(N, A) probabilities, each attribute on its own."""
    boxes: NDArray[np.float32] | None = None
    """(N, 4): x1, y1, x2, y2 as shares of the image's width and height."""

    def __post_init__(self) -> None:
        for name in _HEADS:
            rows = getattr(self, name)
            if rows is not None and len(rows) != len(self.records):
                raise ValueError(f"{len(rows)} rows of {name} for {len(self.records)} records")

    def __len__(self) -> int:
        return len(self.records)

    @property
    def categories(self) -> NDArray[np.int64]:
        """(N,) index of each fully trusted label; -1 where there is none."""
        return np.array([r.category if r.category is not None and r.trust == 1.0 else UNKNOWN for r in self.records])

    @property
    def groups(self) -> NDArray[np.int64]:
        """(N,) a number for each sender or product: what is resampled as a whole."""
        return np.unique([f"{r.source}/{r.group}" for r in self.records], return_inverse=True)[1]

    def true_attributes(self) -> NDArray[np.int64] | None:
        """(N, A) 1 has it, 0 has it not, -1 unknown; None where no record knows any."""
        known = {i: np.asarray(r.attributes) for i, r in enumerate(self.records) if r.attributes is not None}
        if not known:
            return None
        truth = np.full((len(self), len(next(iter(known.values())))), UNKNOWN, dtype=np.int64)
        truth[list(known)] = np.stack(list(known.values()))
        return truth

    def true_boxes(self) -> NDArray[np.float64] | None:
        """(N, 4) as `boxes`, NaN where unknown; None where no record knows any."""
        if all(r.box is None for r in self.records):
            return None
        return np.array([r.box if r.box is not None else (np.nan,) * 4 for r in self.records], dtype=np.float64)

    def take(self, rows: NDArray[Any]) -> Predictions:
        """These rows only, by index or mask."""
        chosen = np.arange(len(self))[rows]
        return Predictions(
            records=tuple(self.records[i] for i in chosen),
            probabilities=self.probabilities[chosen],
            vectors=self.vectors[chosen],
            attributes=None if self.attributes is None else self.attributes[chosen],
            boxes=None if self.boxes is None else self.boxes[chosen],
        )


def join(parts: Sequence[Predictions]) -> Predictions:
    """All rows, one set below the other.

    Raises:
        ValueError: there are no parts.
    """
    columns = {h: [getattr(p, h) for p in parts] for h in _HEADS}
    whole = {h: np.concatenate(own) for h, own in columns.items() if all(part is not None for part in own)}
    return Predictions(records=tuple(r for p in parts for r in p.records), **whole)


def product_numbers(*sets: Predictions) -> tuple[NDArray[np.int64], ...]:
    """For each set (N,) a number a product, the same in all of them; -1 where it is unknown."""
    names = [[f"{r.source}/{r.product}" if r.product is not None else "" for r in s.records] for s in sets]
    number_of = {name: i for i, name in enumerate(sorted({n for own in names for n in own if n}))}
    return tuple(np.array([number_of.get(n, UNKNOWN) for n in own], dtype=np.int64) for own in names)


def save_predictions(found: Sequence[tuple[str, Predictions]], folder: Path) -> None:
    """Write the rows of every (data, predictions) one below the other, with who they are in `names.json`.

    `predictions.safetensors` has `probabilities`, `vectors` and, where there are such heads, `attributes` and `boxes`;
    `names.json` is a list with an object a row: `data`, `source`, `name`, `split`, and the truth that is known:
    `category` (index; null where the label is not fully trusted either), `product`, `box`.
    """
    whole = join([predictions for _, predictions in found])
    tensors = {h: np.ascontiguousarray(getattr(whole, h)) for h in _HEADS if getattr(whole, h) is not None}
    partial = folder / (PREDICTIONS_FILE + ".partial")
    save_file(tensors, partial)
    rows = [_row(data, record) for data, predictions in found for record in predictions.records]
    (folder / NAMES_FILE).write_text(json.dumps(rows, indent=0) + "\n", encoding="utf-8")
    partial.replace(folder / PREDICTIONS_FILE)


def load_predictions(folder: Path, records: Sequence[Record]) -> dict[str, Predictions]:
    """What `save_predictions` wrote, by data, for the same records as are in the data set now.

    Raises:
        ConfigurationError: a file is missing or damaged, or a record is no longer in the data set.
    """
    try:
        rows = json.loads((folder / NAMES_FILE).read_text(encoding="utf-8"))
        tensors = load_file(folder / PREDICTIONS_FILE)
        known = {(r.source, r.name): r for r in records}
        found = [known[row["source"], row["name"]] for row in rows]
    except KeyError as error:
        raise ConfigurationError(
            f"{folder}: {error} was measured but is not in the data set; evaluate again"
        ) from error
    except (OSError, ValueError, SafetensorError) as error:
        raise ConfigurationError(
            f"{folder} holds no predictions ({error}): run `python -m training evaluate`"
        ) from error
    whole = Predictions(records=tuple(found), **tensors)
    data = np.array([row["data"] for row in rows])
    return {name: whole.take(data == name) for name in dict.fromkeys(data.tolist())}


def _row(data: str, record: Record) -> dict[str, object]:
    return {
        "data": data,
        "source": record.source,
        "name": record.name,
        "split": record.split,
        "category": record.category if record.trust == 1.0 else None,
        "product": record.product,
        "box": record.box,
    }
