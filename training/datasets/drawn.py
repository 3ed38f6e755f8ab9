"""Reader of the sample catalog: garments drawn from a seed, with their split by product, box and attributes."""

from __future__ import annotations

from typing import Final

import numpy as np

from training.datasets.attributes import ABSENT, PRESENT, Attributes
from training.datasets.boxes import share_box
from training.datasets.record import LABELS, SPLITS, DataSet, Record
from workers.errors import ConfigurationError

SOURCE: Final = "drawn"
_UNREMARKABLE: Final = frozenset({"regular", "full"})
"""Values of a slot that a product does not mention."""
LICENCE: Final = "drawn sample catalog: Apache-2.0 (this project)"


def read_drawn(*, images: int, seed: int) -> DataSet:
    """The sample catalog with the names of its attributes: cuts, sleeves, necks and the like, patterns, colours."""
    names, groups = _vocabulary()
    return DataSet(
        records=draw_records(images=images, seed=seed),
        attributes=names,
        attribute_groups=groups,
        licence=LICENCE,
    )


def draw_records(*, images: int, seed: int) -> tuple[Record, ...]:
    """The first `images` images of the sample catalog of that seed, held in memory (about 30 kB each).

    Raises:
        ConfigurationError: the catalog knows a split that training does not.
    """
    from workers.sample.catalog import draw

    names, _ = _vocabulary()
    index = {name: i for i, name in enumerate(names)}
    records = []
    for image in draw(images=images, seed=seed):
        if image.split not in SPLITS:
            raise ConfigurationError(f"the sample catalog names an unknown split {image.split!r} for {image.key}")
        records.append(
            Record(
                name=image.key,
                source=SOURCE,
                split=image.split,
                group=f"product-{image.product_id}",
                category=LABELS.index(image.category),
                attributes=_packed((*image.attributes, image.pattern, image.colour), index),
                box=share_box(image.box, (image.width, image.height)),
                product=image.product_id,
                data=image.jpeg,
            )
        )
    return tuple(records)


def _vocabulary() -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Every attribute a drawing can carry with its kind. A name that two slots share (length and cut) is one attribute."""
    from workers.sample.assortment import COLOURS, PATTERNS, RANGES

    kinds: dict[str, str] = {}
    for offer in RANGES.values():
        for slot, values in offer.slots.items():
            for value in values:
                if value not in _UNREMARKABLE:
                    kinds.setdefault(value, slot)
    names = [*sorted(kinds), *PATTERNS, *COLOURS]
    groups = [kinds[name] for name in sorted(kinds)] + ["pattern"] * len(PATTERNS) + ["colour"] * len(COLOURS)
    return tuple(names), tuple(groups)


def _packed(present: tuple[str, ...], index: dict[str, int]) -> Attributes:
    """Everything about a drawing is known: what it does not carry is absent."""
    values = np.full(len(index), ABSENT, dtype=np.int8)
    values[[index[name] for name in present]] = PRESENT
    return Attributes.pack(values)
