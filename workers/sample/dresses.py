"""Shapes of dresses: a fitted upper part and a skirt in one piece."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from workers.sample.folds import body_folds, skirt_folds
from workers.sample.outline import Cloth, Corner, Floats, Part, Shape, Stroke, line, rounded, symmetric
from workers.sample.products import Product
from workers.sample.sleeves import Sleeves, armhole_seams, both_sleeves
from workers.sample.torso import Torso, hem_seam, neckline

_BARE = ("sleeveless", "straps")


def dress(product: Product, rng: np.random.Generator, *, back: bool) -> Shape:
    """Dress: a fitted upper part and a skirt in one piece."""
    slots = product.slots
    torso = _torso(slots, rng)
    depth, under, strokes = neckline(torso, back, rng)
    arms = Sleeves(parts=[], strokes=[])
    if slots["sleeve"] not in _BARE:
        long = slots["sleeve"] == "long-sleeve"
        length, cuff = (1.05, 0.11) if long else (0.36, 0.15)
        arms = both_sleeves(torso, rng, slots["sleeve"], length=length, cuff=cuff, rib=False)
        strokes += armhole_seams(torso)
    belt: list[Part] = []
    if rng.random() < 0.45:
        belt = [_belt(torso)]
    elif slots["cut"] != "fitted":
        seam = line((-torso.waist * 1.04, 0.8), (0, 0.815), (torso.waist * 1.04, 0.8))
        strokes.append(Stroke(line=seam, tone=-0.35, width=0.012))
    strokes.append(hem_seam(torso, 0.04))
    body = Part(outline=_gown(torso, depth), volume=0.55, lift=0.2)
    pleated = slots["cut"] == "pleated"
    return Shape(
        parts=(*under, *arms.parts, body, *belt),
        strokes=(*strokes, *arms.strokes),
        hanger="shoulders",
        hanger_half_width=torso.shoulder * 0.95,
        folds=(
            *body_folds(torso, rng, 4),
            *skirt_folds(rng, torso.waist, torso.hem, 0.86, torso.length, pleated),
        ),
    )


def _torso(slots: Mapping[str, str], rng: np.random.Generator) -> Torso:
    bare = slots["sleeve"] in _BARE
    length = {"mini": 1.55, "midi": 1.95, "maxi": 2.5}[slots["length"]] * float(rng.uniform(0.94, 1.06))
    flare = {"a-line": 0.66, "fitted": 0.42, "pleated": 0.62}[slots["cut"]] * float(rng.uniform(0.9, 1.15))
    return Torso(
        neck=0.24 if slots["sleeve"] == "straps" else float(rng.uniform(0.17, 0.22)),
        depth={"crew-neck": 0.15, "v-neck": 0.36, "square-neck": 0.24}[slots["neck"]],
        shoulder=0.28 if slots["sleeve"] == "straps" else 0.31 if bare else 0.4,
        slope=0.02 if bare else 0.08,
        armpit=0.42,
        chest=0.41,
        waist=float(rng.uniform(0.31, 0.36)),
        waist_y=0.8,
        hem=flare,
        length=length,
        sag=float(rng.uniform(0.03, 0.09)),
        neckline={"crew-neck": "round", "v-neck": "v", "square-neck": "square"}[slots["neck"]],
    )


def _belt(torso: Torso) -> Part:
    w = torso.waist * 1.06
    return Part(
        outline=rounded(
            [(-w, 0.77, 0.1), (0, 0.785, 0.5), (w, 0.77, 0.1), (w, 0.83, 0.1), (0, 0.845, 0.5), (-w, 0.83, 0.1)]
        ),
        cloth=Cloth.TRIM,
        lift=0.4,
    )


def _gown(torso: Torso, depth: float) -> Floats:
    side: list[Corner] = [
        (torso.shoulder, torso.slope, 0.08),
        *torso.armhole(),
        (torso.chest, torso.armpit, 0.2),
        (torso.waist, torso.waist_y, 0.4),
        (torso.waist + (torso.hem - torso.waist) * 0.5, torso.waist_y + (torso.length - torso.waist_y) * 0.35, 0.5),
        (torso.hem, torso.length, 0.05),
        (0.0, torso.length + torso.sag, 0.5),
    ]
    return symmetric([*torso.neck_corners(depth), *side])
