"""Reader of the CC0 clothing photographs (`images.csv` with label, top10, split and sender_id)."""

from __future__ import annotations

import csv
import os
from pathlib import Path

from schemas.taxonomy import Category, map_category
from training.datasets.record import LABELS, Record, Split
from workers.errors import ConfigurationError

SOURCE = "photographs"
LICENCE = "photographs: CC0-1.0 (clothing-dataset)"
ENVIRONMENT_VARIABLE = "CLOTHING_DATA"
_COLUMNS = {"image", "label", "top10", "split", "sender_id"}
_SPLITS: dict[str, Split] = {"train": "train", "extra": "train", "validation": "validation", "test": "test"}
_EXACT = {name.casefold(): name for name in (c.value for c in Category)}
_NO_GARMENT_CLASS = frozenset({"not sure", "skip", "other", "body"})
"""Labels that name no class: "Body" is a bodysuit, which the taxonomy has no word for."""


def default_folder() -> Path:
    """`CLOTHING_DATA`, or `../shared/data/clothing` beside the project."""
    configured = os.environ.get(ENVIRONMENT_VARIABLE)
    if configured:
        return Path(configured)
    return Path(__file__).resolve().parents[3] / "shared" / "data" / "clothing"


def read_photographs(folder: Path, *, mapped_trust: float) -> tuple[Record, ...]:
    """Every photograph in the table's order.

    The published ten-class label counts fully, and so does a label of `extra` that is one of the ten by name. Other
    labels are mapped by the taxonomy (Hoodie is a longsleeve, Blazer outwear, Polo a t-shirt) and count `mapped_trust`
    in the classification loss, because the published subset left those images out. What maps to nothing is masked.

    Args:
        folder: Holds `images.csv` and `images/`.
        mapped_trust: 0..1; 0 masks the mapped labels.

    Raises:
        ConfigurationError: the folder or its table is missing, or the table lacks columns or names an unknown split.
    """
    table = folder / "images.csv"
    if not table.is_file():
        raise ConfigurationError(
            f"no images.csv in {folder}: set {ENVIRONMENT_VARIABLE} to the folder of the clothing photographs"
        )
    with table.open(newline="", encoding="utf-8") as lines:
        rows = csv.DictReader(lines)
        missing = _COLUMNS - set(rows.fieldnames or ())
        if missing:
            raise ConfigurationError(f"{table}: columns missing: {', '.join(sorted(missing))}")
        return tuple(_record(row, folder, mapped_trust, f"{table}, line {rows.line_num}") for row in rows)


def _record(row: dict[str, str], folder: Path, mapped_trust: float, place: str) -> Record:
    if row["split"] not in _SPLITS:
        raise ConfigurationError(f"{place}: {row['split']!r} is none of the splits {', '.join(_SPLITS)}")
    category, trust = _category(row["label"], row["top10"], mapped_trust, place)
    return Record(
        name=row["image"],
        source=SOURCE,
        split=_SPLITS[row["split"]],
        group=f"sender-{row['sender_id']}",
        category=category,
        trust=trust,
        path=folder / row["image"],
    )


def _category(label: str, top10: str, mapped_trust: float, place: str) -> tuple[int | None, float]:
    if top10 and top10 not in LABELS:
        raise ConfigurationError(f"{place}: {top10!r} is none of the ten classes {', '.join(LABELS)}")
    exact = top10 or _EXACT.get(label.casefold())
    if exact:
        return LABELS.index(exact), 1.0
    mapped = None if label.casefold() in _NO_GARMENT_CLASS else map_category(label)
    if mapped is None or mapped_trust == 0:
        return None, 0.0
    return LABELS.index(mapped.value), mapped_trust
