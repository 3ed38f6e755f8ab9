"""Products drawn from a seed: category, cut, colour, pattern, brand, price, title, split and views."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

import numpy as np

from schemas.taxonomy import Category
from workers.sample.assortment import ATTRIBUTES, BRANDS, COLOURS, PATTERNS, RANGES

__all__ = ["ATTRIBUTES", "COLOURS", "PATTERNS", "Product", "pick", "product", "stream"]

T = TypeVar("T")

_NEUTRAL: Final = ("black", "white", "grey", "navy", "beige", "blue")
_DENIM: Final = ("blue", "blue", "navy", "grey", "black")
_LEATHER: Final = ("black", "brown", "burgundy", "beige", "black", "white")

_TITLE_NOUNS: Final = {
    "cap": "cap",
    "beanie": "beanie",
    "wide-brim": "wide-brim hat",
    "bucket": "bucket hat",
    "sneakers": "sneakers",
    "boots": "ankle boots",
    "heels": "heels",
    "sandals": "sandals",
    "loafers": "loafers",
    "jogger": "joggers",
    "hood": "hoodie",
    "polo": "polo shirt",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Product:
    """One product: what its manifest rows say, and what its drawing needs."""

    index: int
    product_id: str
    category: Category
    colour: str
    accent: str
    pattern: str
    slots: Mapping[str, str]
    brand: str
    price: float
    in_stock: bool
    title: str
    split: str
    views: tuple[str, ...]

    @property
    def attributes(self) -> tuple[str, ...]:
        """Cut, sleeve, neck, length and closure, in a fixed order, without the unremarkable ones."""
        return tuple(self.slots[name] for name in sorted(self.slots) if self.slots[name] not in ("regular", "full"))


def stream(seed: int, index: int, purpose: int) -> np.random.Generator:
    """The random stream of one product for one purpose; streams of different products are independent."""
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence((seed, index, purpose))))


def pick(rng: np.random.Generator, options: Sequence[T]) -> T:
    """One of the options, each as likely."""
    return options[int(rng.integers(len(options)))]


def product(seed: int, index: int) -> Product:
    """The product at `index` of the catalog of `seed`; every ten consecutive products cover the ten categories."""
    block, place = divmod(index, len(Category))
    category = tuple(Category)[int(stream(seed, block, 9).permutation(len(Category))[place])]
    rng = stream(seed, index, 0)
    offer = RANGES[category]
    slots = {name: pick(rng, values) for name, values in offer.slots.items()}
    pattern = _weighted(rng, offer.patterns)
    _reconcile(category, slots)
    if slots.get("cut") == "wide-brim" and pattern != "plain":
        pattern = "plain"
    colour = _colour(rng, pattern)
    brand, level = pick(rng, BRANDS)
    price = max(5.0, round(offer.price * level * float(rng.uniform(0.6, 1.5)))) - 0.05
    chance = rng.random()
    return Product(
        index=index,
        product_id=f"p{index:06d}",
        category=category,
        colour=colour,
        accent=_accent(rng, colour),
        pattern=pattern,
        slots=slots,
        brand=brand,
        price=round(price, 2),
        in_stock=bool(rng.random() < 0.85),
        title=_title(category, colour, pattern, slots),
        split="train" if chance < 0.8 else "validation" if chance < 0.9 else "test",
        views=_views(rng, category),
    )


def _weighted(rng: np.random.Generator, weights: Mapping[str, float]) -> str:
    left = rng.random() * sum(weights.values())
    for name, weight in weights.items():
        left -= weight
        if left < 0:
            return name
    return next(reversed(list(weights)))


def _reconcile(category: Category, slots: dict[str, str]) -> None:
    """Cuts that exclude each other in one garment."""
    if category is Category.OUTWEAR:
        if slots["neck"] == "lapels":
            slots["closure"], slots["cut"] = "buttoned", "straight"
        if slots["cut"] == "quilted":
            slots["closure"] = "zipped"
    if category is Category.T_SHIRT and slots["neck"] == "polo":
        slots["sleeve"] = "short-sleeve"
    if category is Category.DRESS and slots["sleeve"] == "straps":
        slots["neck"] = "square-neck"


def _colour(rng: np.random.Generator, pattern: str) -> str:
    if pattern == "denim":
        return pick(rng, _DENIM)
    if pattern == "leather":
        return pick(rng, _LEATHER)
    if pattern == "camouflage":
        return pick(rng, ("olive", "green", "grey", "beige"))
    return pick(rng, _NEUTRAL) if rng.random() < 0.4 else pick(rng, tuple(COLOURS))


def _accent(rng: np.random.Generator, colour: str) -> str:
    light = sum(COLOURS[colour]) > 330
    pool = [name for name, rgb in COLOURS.items() if (sum(rgb) > 330) != light]
    if rng.random() < 0.35:
        return "white" if not light else pick(rng, ("navy", "black", "red"))
    return pick(rng, pool)


def _views(rng: np.random.Generator, category: Category) -> tuple[str, ...]:
    others = ["back", "three-quarter", "detail", "laid", "hung"]
    if category in (Category.HAT, Category.SHOES):
        others = ["three-quarter", "detail", "laid"]
    count = int(rng.integers(2, 5))
    order = rng.permutation(len(others))[: count - 1]
    return ("front", *(others[int(i)] for i in order))


def _title(category: Category, colour: str, pattern: str, slots: Mapping[str, str]) -> str:
    noun = RANGES[category].noun
    if category is Category.PANTS and pattern == "denim":
        noun = "jeans"
    for value in (slots.get("neck", ""), slots.get("cut", "")):
        if category in (Category.HAT, Category.SHOES, Category.T_SHIRT, Category.PANTS) or (
            value == "hood" and category is Category.LONGSLEEVE
        ):
            noun = _TITLE_NOUNS.get(value, noun)
    words = [colour.capitalize()]
    if pattern != "plain" and not (pattern == "denim" and noun == "jeans"):
        words.append(pattern)
    length = slots.get("length", "")
    if length in ("mini", "midi", "maxi", "cropped", "long"):
        words.append(length)
    if category is Category.SHIRT and slots["sleeve"] == "short-sleeve":
        words.append("short-sleeve")
    return " ".join([*words, noun])
