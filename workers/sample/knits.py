"""Shapes of sweaters, hoodies and long-sleeved tops."""

from __future__ import annotations

import numpy as np

from workers.sample.collars import hood, hood_strings
from workers.sample.folds import body_folds
from workers.sample.outline import Cloth, Part, Shape, Stroke, line, symmetric
from workers.sample.products import Product
from workers.sample.sleeves import armhole_seams, both_sleeves
from workers.sample.torso import Torso, hem_seam, neckline, rib_hem


def longsleeve(product: Product, rng: np.random.Generator, *, back: bool) -> Shape:
    """Sweater, hoodie or long-sleeved top."""
    neck = product.slots["neck"]
    torso = _torso(product, rng)
    depth, under, strokes = neckline(torso, back, rng)
    rib = neck == "hood" or product.pattern == "knitted" or rng.random() < 0.4
    arms = both_sleeves(torso, rng, "long-sleeve", length=float(rng.uniform(1.1, 1.25)), cuff=0.115, rib=bool(rib))
    over: list[Part] = [rib_hem(torso, 0.11)] if rib else []
    if not rib:
        strokes.append(hem_seam(torso, 0.04))
    if neck == "hood":
        behind, front = hood(torso, rng, back)
        under, over = behind, [*over, *front]
        if not back and product.slots["length"] != "cropped":
            over.append(_pouch(torso))
        strokes += [] if back else hood_strings(torso, rng)
    if neck == "turtleneck":
        over.append(_roll())
        strokes.append(Stroke(line=line((-0.2, -0.04), (0, -0.02), (0.2, -0.04))))
    body = Part(outline=torso.outline(depth), volume=0.55, lift=0.2)
    return Shape(
        parts=(*under, *arms.parts, body, *over),
        strokes=(*strokes, *arms.strokes, *armhole_seams(torso)),
        hanger="shoulders",
        hanger_half_width=torso.shoulder * 0.85,
        print_at=None if back else (0.0, 0.55 * min(1.0, torso.length / 1.25), float(rng.uniform(0.18, 0.26))),
        folds=body_folds(torso, rng, int(rng.integers(6, 13))),
    )


def _torso(product: Product, rng: np.random.Generator) -> Torso:
    neck, fit = product.slots["neck"], float(rng.uniform(0.9, 1.12))
    length = float(rng.uniform(1.18, 1.42)) * (0.75 if product.slots["length"] == "cropped" else 1.0)
    return Torso(
        neck=0.2,
        depth=0.34 if neck == "v-neck" else float(rng.uniform(0.1, 0.15)),
        shoulder=0.46 * fit,
        slope=0.11,
        armpit=0.48,
        chest=0.48 * fit,
        waist=0.48 * fit,
        waist_y=length * 0.6,
        hem=float(rng.uniform(0.42, 0.5)) * fit,
        length=length,
        sag=float(rng.uniform(0, 0.03)),
        neckline="v" if neck == "v-neck" else "round",
    )


def _pouch(torso: Torso) -> Part:
    """The pocket across a hoodie's front."""
    pouch = [(-0.24, 0.95), (-0.3, 1.18), (0.3, 1.18), (0.24, 0.95)]
    y = torso.length - 0.62
    pocket = np.array([[x, py - 0.62 + y] for x, py in pouch])
    return Part(outline=pocket, lift=0.5, volume=0.4)


def _roll() -> Part:
    """A turtleneck's turned-down tube."""
    roll = symmetric([(0, -0.16, 0.5), (0.19, -0.15, 0.3), (0.21, 0.03, 0.3), (0, 0.07, 0.5)])
    return Part(outline=roll, lift=0.6, volume=0.8, cloth=Cloth.TRIM)
