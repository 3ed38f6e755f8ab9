"""Shapes of T-shirts, polos, tank tops and buttoned shirts."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from workers.sample.closures import buttons
from workers.sample.collars import back_collar, collar
from workers.sample.folds import body_folds
from workers.sample.outline import Part, Shape, Stroke, line, rounded
from workers.sample.products import Product
from workers.sample.sleeves import Sleeves, armhole_seams, both_sleeves
from workers.sample.torso import Torso, hem_seam, neckline


def t_shirt(product: Product, rng: np.random.Generator, *, back: bool) -> Shape:
    """T-shirt, polo or tank top."""
    slots = product.slots
    tank = slots["sleeve"] == "sleeveless"
    torso = _t_shirt_torso(slots, rng)
    depth, parts, strokes = neckline(torso, back, rng)
    strokes.append(hem_seam(torso, 0.045))
    arms = Sleeves(parts=[], strokes=[])
    if not tank:
        arms = both_sleeves(torso, rng, "short-sleeve", length=float(rng.uniform(0.34, 0.5)), cuff=0.17, rib=False)
        strokes += armhole_seams(torso)
    body = Part(outline=torso.outline(depth), volume=0.45, lift=0.15)
    top: list[Part] = []
    if slots["neck"] == "polo" and not back:
        top = collar(torso, drop=0.1, reach=0.04)
        strokes += [Stroke(line=line((x, torso.depth), (x, 0.46))) for x in (-0.04, 0.04)]
        strokes += buttons(torso.depth + 0.07, 0.41, 3)
    return Shape(
        parts=(*parts, *arms.parts, body, *top),
        strokes=(*strokes, *arms.strokes),
        hanger="shoulders",
        hanger_half_width=torso.shoulder * 0.85,
        print_at=None
        if back
        else (0.0, float(rng.uniform(0.5, 0.62)) * min(1.0, torso.length / 1.3), float(rng.uniform(0.2, 0.3))),
        folds=body_folds(torso, rng, int(rng.integers(5, 11))),
    )


def _t_shirt_torso(slots: Mapping[str, str], rng: np.random.Generator) -> Torso:
    tank, fit = slots["sleeve"] == "sleeveless", float(rng.uniform(0.88, 1.08))
    length = float(rng.uniform(1.2, 1.45)) * (0.8 if slots["length"] == "cropped" else 1.0)
    return Torso(
        neck=float(rng.uniform(0.19, 0.24)),
        depth=float(rng.uniform(0.11, 0.18)) + (0.16 if slots["neck"] == "v-neck" or tank else 0.0),
        shoulder=0.33 if tank else 0.45 * fit,
        slope=0.03 if tank else 0.1,
        armpit=0.46,
        chest=0.47 * fit,
        waist=float(rng.uniform(0.42, 0.5)) * fit,
        waist_y=length * 0.62,
        hem=float(rng.uniform(0.47, 0.54)) * fit,
        length=length,
        sag=float(rng.uniform(0, 0.035)),
        neckline="v" if slots["neck"] == "v-neck" else "round",
    )


def shirt(product: Product, rng: np.random.Generator, *, back: bool) -> Shape:
    """Buttoned shirt with a collar."""
    fit = float(rng.uniform(0.9, 1.05))
    torso = _shirt_torso(rng, fit)
    depth, under, _ = neckline(torso, back, rng)
    long = product.slots["sleeve"] == "long-sleeve"
    length, cuff = (float(rng.uniform(1.12, 1.24)), 0.115) if long else (float(rng.uniform(0.42, 0.52)), 0.18)
    arms = both_sleeves(torso, rng, product.slots["sleeve"], length=length, cuff=cuff, rib=False)
    strokes = [*armhole_seams(torso), hem_seam(torso, 0.035)]
    if back:
        strokes.append(Stroke(line=line((-0.44 * fit, 0.24), (0.44 * fit, 0.24))))
        over = [back_collar(torso, 0.07)]
    else:
        under = [back_collar(torso, 0.07), *under]
        over, placket = _shirt_front(torso, product.slots["neck"], rng)
        strokes += placket
    body = Part(outline=torso.outline(depth), volume=0.45, lift=0.2)
    return Shape(
        parts=(*under, *arms.parts, body, *over),
        strokes=(*strokes, *arms.strokes),
        hanger="shoulders",
        hanger_half_width=torso.shoulder * 0.88,
        folds=body_folds(torso, rng, int(rng.integers(6, 12))),
    )


def _shirt_torso(rng: np.random.Generator, fit: float) -> Torso:
    return Torso(
        neck=0.17,
        depth=0.15,
        shoulder=0.46 * fit,
        slope=0.1,
        armpit=0.48,
        chest=0.49 * fit,
        waist=float(rng.uniform(0.43, 0.48)) * fit,
        waist_y=0.88,
        hem=0.49 * fit,
        length=float(rng.uniform(1.3, 1.42)),
        sag=float(rng.uniform(0.05, 0.13)),
        neckline="v",
    )


def _shirt_front(torso: Torso, neck: str, rng: np.random.Generator) -> tuple[list[Part], list[Stroke]]:
    """Collar and chest pockets; the placket with its buttons."""
    strokes = [Stroke(line=line((x, torso.depth), (x, torso.length + torso.sag * 0.9))) for x in (-0.045, 0.045)]
    strokes += buttons(torso.depth + 0.1, torso.length - 0.08, 7)
    parts = collar(torso, drop=float(rng.uniform(0.1, 0.16)), reach=0.03) if neck == "collar" else []
    if rng.random() < 0.65:
        parts += [_pocket(x, 0.5) for x in ((0.24,) if rng.random() < 0.5 else (-0.24, 0.24))]
    return parts, strokes


def _pocket(x: float, y: float, *, half: float = 0.11, height: float = 0.25) -> Part:
    outline = rounded(
        [
            (x - half, y, 0.03),
            (x + half, y, 0.03),
            (x + half, y + height * 0.8, 0.1),
            (x, y + height, 0.05),
            (x - half, y + height * 0.8, 0.1),
        ]
    )
    return Part(outline=outline, lift=0.45, volume=0.25, tone=0.01)
