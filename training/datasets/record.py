"""The one record type every reader gives, and the data set that says what its numbers stand for."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from schemas.taxonomy import Category
from training.datasets.attributes import Attributes
from training.datasets.boxes import Box

LABELS: Final[tuple[str, ...]] = tuple(category.value for category in Category)
"""The taxonomy's ten, in the order of the category head's outputs; data sets with labels of their own differ."""

Split = Literal["train", "holdout", "validation", "test", "query", "gallery"]
"""`train` is fitted; `holdout` (cut from the training data, groups disjoint) chooses temperature and precision;
`validation` and `test` are only measured; each `query` is searched among the images of `gallery`."""

SPLITS: Final[tuple[Split, ...]] = ("train", "holdout", "validation", "test", "query", "gallery")

FlawKind = Literal["row", "label", "box"]
"""A row that gives no record; a label that cannot be right; a box that is no part of its image."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Record:
    """One image and what is known about it. What is not known is None and masked, never guessed."""

    name: str
    """Unique within its source."""
    source: str
    """The data set it belongs to, as `photographs`."""
    split: Split
    group: str
    """What must not be torn apart by a split: who sent the photograph, or the product."""
    category: int | None
    """Index into the data set's labels, or None: the label is masked and the image serves the other tasks only."""
    trust: float = 1.0
    """Weight of the label in the classification loss, 0..1; 0 where `category` is None."""
    attributes: Sequence[int] | None = None
    """One number for each of the data set's attributes: 1 has it, 0 has it not, -1 unknown (masked); None: all unknown.
    Readers give `Attributes`, which is packed; `numpy.asarray(record.attributes)` is the quick way to the numbers."""
    box: Box | None = None
    """The garment: x1, y1, x2, y2 as shares of the image's width and height, orientation applied; None: unknown.
    Always 0 <= x1 < x2 <= 1 and 0 <= y1 < y2 <= 1."""
    product: str | None = None
    """What several images of the source may show; neighbours with the same product are right answers of a search."""
    path: Path | None = None
    data: bytes | None = None
    """The encoded image, for sources that draw instead of reading."""

    def read(self) -> bytes:
        """The encoded image.

        Raises:
            OSError: the file is gone or unreadable.
        """
        if self.data is not None:
            return self.data
        if self.path is None:
            raise OSError(f"{self.source}: record {self.name} has neither a path nor data")
        return self.path.read_bytes()

    @property
    def labelled(self) -> bool:
        """Whether there is anything to learn from it or to measure on it."""
        known = (self.category, self.attributes, self.box, self.product)
        return any(label is not None for label in known)


@dataclass(frozen=True, kw_only=True, slots=True)
class Flaw:
    """Something in a data set's tables that was left out, and why."""

    kind: FlawKind
    name: str
    """The image's name, or the file's where a row has none."""
    reason: str
    """One line for a person; names file and line where there are any."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ClassCount:
    """How many images of a class a split holds."""

    split: Split
    label: str | None
    """None: the category is masked."""
    images: int


@dataclass(frozen=True, kw_only=True, slots=True)
class DataSet:
    """Records with the names that their numbers stand for."""

    records: tuple[Record, ...]
    labels: tuple[str, ...] = LABELS
    """What `Record.category` indexes."""
    attributes: tuple[str, ...] = ()
    """What `Record.attributes` has a place for; empty where the source knows none."""
    attribute_groups: tuple[str, ...] = ()
    """For each attribute the kind it is published under (texture, fabric, shape, ...); empty where there are no kinds."""
    licence: str = "unknown"
    """Of the images, as the model card states it."""
    flaws: tuple[Flaw, ...] = ()
    """What the reader left out or masked."""

    def counts(self) -> tuple[ClassCount, ...]:
        """Images a split and class, in the order of splits and labels; what does not occur is left out."""
        found = Counter((r.split, r.category) for r in self.records)
        classes: list[int | None] = [*range(len(self.labels)), None]
        return tuple(
            ClassCount(split=split, label=None if c is None else self.labels[c], images=found[split, c])
            for split in SPLITS
            for c in classes
            if found[split, c]
        )

    def digest(self) -> str:
        """SHA-256 over names, labels and splits of every record, and over the bytes of those held in memory.

        Files are known by their names: reading 300,000 of them would take minutes.
        """
        sha = hashlib.sha256(json.dumps([self.labels, self.attributes]).encode())
        for r in self.records:
            packed = None if r.attributes is None else Attributes.pack(r.attributes)
            attributes = None if packed is None else [packed.present.hex(), packed.known.hex()]
            content = None if r.data is None else hashlib.sha256(r.data).hexdigest()
            facts = [r.source, r.name, r.split, r.group, r.category, r.trust, attributes, r.box, r.product, content]
            sha.update(json.dumps(facts).encode())
        return sha.hexdigest()
