"""What the sample shop carries: its palette, patterns, brands, and the cuts and prices of every category."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from schemas.taxonomy import Category

Rgb = tuple[int, int, int]

COLOURS: Final[Mapping[str, Rgb]] = {
    "black": (32, 32, 36),
    "white": (236, 234, 228),
    "grey": (138, 140, 144),
    "navy": (34, 44, 78),
    "blue": (64, 98, 148),
    "teal": (38, 112, 114),
    "green": (66, 108, 74),
    "olive": (106, 104, 66),
    "yellow": (218, 180, 78),
    "orange": (204, 110, 58),
    "red": (172, 40, 46),
    "burgundy": (106, 26, 44),
    "pink": (214, 148, 164),
    "purple": (108, 76, 124),
    "brown": (104, 70, 48),
    "beige": (204, 184, 152),
}
"""The named palette, sRGB as cloth photographs (blacks are not 0, whites not 255)."""

PATTERNS: Final = (
    "plain",
    "striped",
    "checked",
    "dotted",
    "floral",
    "denim",
    "melange",
    "knitted",
    "camouflage",
    "printed",
    "leather",
)

BRANDS: Final = (
    ("Alderwick", 1.2),
    ("Brenn & Fell", 1.6),
    ("Corvane", 0.8),
    ("Dunmere", 1.0),
    ("Elowen", 1.3),
    ("Fjellgard", 1.5),
    ("Harrow Lane", 0.9),
    ("Ilvera", 1.1),
    ("Kestrel Row", 0.7),
    ("Lumeno", 0.6),
    ("Marisco", 1.0),
    ("Nordhus", 1.4),
    ("Ostrava Knit", 0.9),
    ("Palomar", 0.75),
    ("Quillon", 2.1),
    ("Tessaro", 1.8),
)
"""Invented names with their price level."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Range:
    """What one category comes in: weighted patterns, cuts by slot, base price and the word used in titles."""

    patterns: Mapping[str, float]
    slots: Mapping[str, Sequence[str]]
    price: float
    noun: str


_SLEEVES: Final = ("long-sleeve",)
RANGES: Final[Mapping[Category, Range]] = {
    Category.DRESS: Range(
        patterns={"plain": 4, "floral": 3, "dotted": 2, "striped": 1, "checked": 1, "denim": 0.4, "knitted": 0.4},
        slots={
            "sleeve": ("sleeveless", "straps", "short-sleeve", "long-sleeve"),
            "neck": ("crew-neck", "v-neck", "square-neck"),
            "length": ("mini", "midi", "maxi"),
            "cut": ("a-line", "fitted", "pleated"),
        },
        price=59,
        noun="dress",
    ),
    Category.HAT: Range(
        patterns={"plain": 5, "knitted": 2, "checked": 1, "camouflage": 0.6, "denim": 0.5, "striped": 0.8},
        slots={"cut": ("cap", "beanie", "wide-brim", "bucket", "cap", "beanie")},
        price=22,
        noun="hat",
    ),
    Category.LONGSLEEVE: Range(
        patterns={"plain": 4, "striped": 2, "melange": 2, "knitted": 3, "printed": 1.5},
        slots={
            "sleeve": _SLEEVES,
            "neck": ("crew-neck", "v-neck", "crew-neck", "turtleneck", "hood"),
            "length": ("regular", "regular", "regular", "cropped"),
        },
        price=42,
        noun="sweater",
    ),
    Category.OUTWEAR: Range(
        patterns={"plain": 5, "leather": 2, "checked": 1, "denim": 1, "camouflage": 0.5, "melange": 1},
        slots={
            "sleeve": _SLEEVES,
            "neck": ("hood", "collar", "lapels", "stand-collar"),
            "closure": ("zipped", "buttoned", "open"),
            "length": ("regular", "regular", "long"),
            "cut": ("straight", "quilted", "straight"),
        },
        price=119,
        noun="jacket",
    ),
    Category.PANTS: Range(
        patterns={"denim": 5, "plain": 5, "checked": 1, "striped": 0.6, "camouflage": 0.5, "floral": 0.3},
        slots={"cut": ("straight", "skinny", "wide", "jogger"), "length": ("full", "full", "cropped")},
        price=55,
        noun="trousers",
    ),
    Category.SHIRT: Range(
        patterns={"plain": 4, "checked": 4, "striped": 2, "denim": 0.7, "floral": 0.7, "dotted": 0.5},
        slots={
            "sleeve": ("long-sleeve", "long-sleeve", "short-sleeve"),
            "neck": ("collar", "collar", "collar", "band-collar"),
            "closure": ("buttoned",),
            "length": ("regular",),
        },
        price=45,
        noun="shirt",
    ),
    Category.SHOES: Range(
        patterns={"leather": 5, "plain": 4, "denim": 0.3},
        slots={"cut": ("sneakers", "boots", "heels", "sandals", "loafers", "sneakers", "boots")},
        price=79,
        noun="shoes",
    ),
    Category.SHORTS: Range(
        patterns={"denim": 4, "plain": 4, "checked": 1, "floral": 1, "camouflage": 0.8, "striped": 0.6},
        slots={"cut": ("straight", "sporty", "wide"), "length": ("short", "knee-length")},
        price=32,
        noun="shorts",
    ),
    Category.SKIRT: Range(
        patterns={"plain": 4, "checked": 1.5, "floral": 1.5, "dotted": 1, "denim": 1.2, "leather": 0.6, "striped": 0.6},
        slots={"cut": ("a-line", "pencil", "pleated", "flared"), "length": ("mini", "midi", "maxi")},
        price=38,
        noun="skirt",
    ),
    Category.T_SHIRT: Range(
        patterns={"plain": 3, "printed": 4, "striped": 1.5, "melange": 1.5, "camouflage": 0.4, "dotted": 0.3},
        slots={
            "sleeve": ("short-sleeve", "short-sleeve", "short-sleeve", "sleeveless"),
            "neck": ("crew-neck", "crew-neck", "v-neck", "polo"),
            "length": ("regular", "regular", "regular", "regular", "cropped"),
        },
        price=19,
        noun="T-shirt",
    ),
}

ATTRIBUTES: Final = tuple(sorted({v for r in RANGES.values() for values in r.slots.values() for v in values}))
"""Every attribute a sample product can carry."""
