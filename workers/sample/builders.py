"""Which function shapes a garment of which category."""

from __future__ import annotations

from collections.abc import Callable

from schemas.taxonomy import Category
from workers.sample.dresses import dress
from workers.sample.hats import hat
from workers.sample.knits import longsleeve
from workers.sample.lowers import pants, shorts, skirt
from workers.sample.outline import Shape
from workers.sample.outwear import outwear
from workers.sample.shirts import shirt, t_shirt
from workers.sample.shoes import shoes

Builder = Callable[..., Shape]

BUILDERS: dict[Category, Builder] = {
    Category.DRESS: dress,
    Category.HAT: hat,
    Category.LONGSLEEVE: longsleeve,
    Category.OUTWEAR: outwear,
    Category.PANTS: pants,
    Category.SHIRT: shirt,
    Category.SHOES: shoes,
    Category.SHORTS: shorts,
    Category.SKIRT: skirt,
    Category.T_SHIRT: t_shirt,
}
"""Each takes the product, its shape's random stream and whether the back is seen."""
