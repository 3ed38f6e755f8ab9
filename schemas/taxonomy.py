"""Garment categories: stable ids, the names people use for them, and how a declared category maps to an id.

The ten ids are the classes of the public *clothing-dataset-small*; ids never change meaning. A new id or a changed
synonym raises `TAXONOMY_VERSION`, which the model card carries together with the head's labels.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from enum import StrEnum

TAXONOMY_VERSION = "1"


class Category(StrEnum):
    """Stable category ids, used in filters, payloads and model cards."""

    DRESS = "dress"
    HAT = "hat"
    LONGSLEEVE = "longsleeve"
    OUTWEAR = "outwear"
    PANTS = "pants"
    SHIRT = "shirt"
    SHOES = "shoes"
    SHORTS = "shorts"
    SKIRT = "skirt"
    T_SHIRT = "t-shirt"


_SYNONYMS: dict[Category, frozenset[str]] = {
    Category.DRESS: frozenset({"dress", "gown", "sundress", "romper", "jumpsuit", "kaftan"}),
    Category.HAT: frozenset({"hat", "cap", "beanie", "headwear"}),
    Category.LONGSLEEVE: frozenset(
        {"longsleeve", "long sleeve", "sweater", "jumper", "pullover", "sweatshirt", "hoodie", "cardigan", "knitwear"}
    ),
    Category.OUTWEAR: frozenset(
        {"outwear", "outerwear", "jacket", "coat", "blazer", "parka", "anorak", "bomber", "trench coat"}
    ),
    Category.PANTS: frozenset({"pants", "trouser", "jean", "legging", "chino", "jogger", "sweatpant", "slack"}),
    Category.SHIRT: frozenset({"shirt", "blouse", "button down", "flannel"}),
    Category.SHOES: frozenset({"shoe", "shoes", "sneaker", "trainer", "boot", "sandal", "heel", "loafer", "footwear"}),
    Category.SHORTS: frozenset({"shorts", "short", "bermuda", "cutoff"}),
    Category.SKIRT: frozenset({"skirt", "miniskirt", "sarong"}),
    Category.T_SHIRT: frozenset({"t shirt", "tshirt", "tee", "polo", "top", "tank top", "undershirt", "singlet"}),
}

_BY_NAME = {name: category for category, names in _SYNONYMS.items() for name in names}
_SEPARATORS = re.compile(r"[\s_\-/&]+")


def map_category(declared: str | None) -> Category | None:
    """The id a retailer's own category name stands for, or None when the taxonomy has no word for it.

    Case, hyphens, underscores and a plural "s" do not matter: "T-Shirts", "tee" and "T SHIRT" are all `t-shirt`.
    """
    if declared is None:
        return None
    name = _SEPARATORS.sub(" ", declared.strip().casefold())
    for candidate in (name, name.removesuffix("s"), name.removesuffix("es")):
        if candidate in _BY_NAME:
            return _BY_NAME[candidate]
    return None


def category_ids(words: Iterable[str]) -> tuple[str, ...]:
    """The ids that a person's words for categories stand for.

    Raises:
        ValueError: a word that names no category; the text lists those there are.
    """
    ids = []
    for word in words:
        category = map_category(word)
        if category is None:
            raise ValueError(f"{word!r} is no category; there are: {', '.join(c.value for c in Category)}")
        ids.append(category.value)
    return tuple(ids)
