"""What a product is sewn from: fabric, colours and print."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from schemas.taxonomy import Category
from workers.sample.assortment import COLOURS, Rgb
from workers.sample.brush import Mask, Pixels
from workers.sample.fabric import base_colour, shaded, tile
from workers.sample.motif import motif
from workers.sample.outline import Cloth
from workers.sample.products import Product, pick, stream

REPEATS: Final = 4
"""How often a fabric repeats its tile each way."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Wardrobe:
    """What a product is sewn from: the same in all its views."""

    fabric: Pixels
    """The tile, repeated REPEATS times each way: cheap to warp, as no lookup leaves it."""
    colours: dict[Cloth, Rgb]
    print_mask: Mask | None
    print_colour: Rgb


def wardrobe(product: Product, seed: int) -> Wardrobe:
    """Fabric, colours and print of a product."""
    rng = stream(seed, product.index, 2)
    main = base_colour(product, rng)
    accent = COLOURS[product.accent]
    light = sum(main) > 380
    rim = accent if product.pattern == "striped" or rng.random() < 0.18 else shaded(main, float(rng.uniform(0.78, 1.0)))
    label = (238, 236, 230) if not light or rng.random() < 0.5 else (60, 58, 60)
    shoe_sole: Rgb = pick(rng, ((236, 234, 228), (226, 222, 212), (176, 120, 74), (48, 46, 48)))
    colours: dict[Cloth, Rgb] = {
        Cloth.MAIN: main,
        Cloth.TRIM: rim if product.category not in (Category.HAT, Category.SHOES) or rng.random() < 0.4 else accent,
        Cloth.INSIDE: shaded(main, 0.62) if rng.random() < 0.6 or light else (92, 88, 86),
        Cloth.SOLE: shoe_sole,
        Cloth.LABEL: label,
        Cloth.METAL: pick(rng, ((186, 186, 184), (196, 164, 96), (96, 96, 98))),
        Cloth.DARK: pick(rng, ((36, 34, 34), (58, 46, 38), (70, 68, 66))),
    }
    printed = motif(rng) if product.pattern == "printed" else None
    return Wardrobe(
        fabric=np.tile(tile(product, main, rng), (REPEATS, REPEATS, 1)),
        colours=colours,
        print_mask=printed,
        print_colour=accent,
    )
