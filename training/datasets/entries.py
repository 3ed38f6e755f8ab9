"""Images with labels in words, as folders and tables give them, to a data set whose labels are numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from training.datasets.attributes import ABSENT, PRESENT, Attributes
from training.datasets.boxes import Box
from training.datasets.record import DataSet, Flaw, Record, Split
from training.splits import hashed_split
from workers.errors import ConfigurationError

SPLIT_WORDS: Final[Mapping[str, Split]] = {
    "train": "train",
    "training": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "dev": "validation",
    "test": "test",
    "query": "query",
    "gallery": "gallery",
}
"""What people call the splits."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """One image as its source describes it."""

    name: str
    path: Path
    group: str
    split: Split | None = None
    """None: by the hash of the group."""
    category: str | None = None
    attributes: frozenset[str] | None = None
    """Every attribute it has, so that those not named are absent; None: nothing is known."""
    box: Box | None = None
    """Shares."""
    product: str | None = None


def to_data_set(entries: Sequence[Entry], *, source: str, flaws: Sequence[Flaw], licence: str = "unknown") -> DataSet:
    """The entries as records; labels and attributes are the words that occur, sorted."""
    labels = tuple(sorted({e.category for e in entries if e.category is not None}))
    attributes = tuple(sorted({name for e in entries for name in e.attributes or ()}))
    label_index = {label: i for i, label in enumerate(labels)}
    attribute_index = {name: i for i, name in enumerate(attributes)}
    packed: dict[frozenset[str], Attributes] = {}
    return DataSet(
        records=tuple(
            Record(
                name=e.name,
                source=source,
                split=e.split or hashed_split(e.group),
                group=e.group,
                category=None if e.category is None else label_index[e.category],
                trust=0.0 if e.category is None else 1.0,
                attributes=None if e.attributes is None else _packed(e.attributes, attribute_index, packed),
                box=e.box,
                product=e.product,
                path=e.path,
            )
            for e in entries
        ),
        labels=labels,
        attributes=attributes,
        licence=licence,
        flaws=tuple(flaws),
    )


def split_named(word: str, place: str) -> Split:
    """The split a person's word stands for.

    Raises:
        ConfigurationError: it stands for none; the text names `place`.
    """
    split = SPLIT_WORDS.get(word.casefold())
    if split is None:
        raise ConfigurationError(f"{place}: {word!r} is no split; there are: {', '.join(SPLIT_WORDS)}")
    return split


def _packed(names: frozenset[str], index: Mapping[str, int], seen: dict[frozenset[str], Attributes]) -> Attributes:
    """Equal sets share one value."""
    if names not in seen:
        values = np.full(len(index), ABSENT, dtype=np.int8)
        values[[index[name] for name in names]] = PRESENT
        seen[names] = Attributes.pack(values)
    return seen[names]
