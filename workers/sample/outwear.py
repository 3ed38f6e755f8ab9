"""Shapes of jackets, coats, blazers and parkas."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from workers.sample.closures import front_closure
from workers.sample.collars import back_collar, front_collar, hood
from workers.sample.folds import body_folds
from workers.sample.outline import Part, Shape, Stroke, line
from workers.sample.products import Product
from workers.sample.sleeves import armhole_seams, both_sleeves
from workers.sample.torso import Torso, neckline, rib_hem


def outwear(product: Product, rng: np.random.Generator, *, back: bool) -> Shape:
    """Jacket, coat, blazer, parka."""
    slots = product.slots
    torso = _torso(slots, rng)
    depth, under, _ = neckline(torso, back, rng)
    ribbed = slots["neck"] == "stand-collar" and slots["length"] != "long"
    arms = both_sleeves(torso, rng, "long-sleeve", length=float(rng.uniform(1.12, 1.26)), cuff=0.14, rib=ribbed)
    puffy = slots["cut"] == "quilted"
    over: list[Part] = [rib_hem(torso, 0.1)] if ribbed else []
    strokes = [*armhole_seams(torso)]
    if slots["neck"] == "hood":
        behind, front = hood(torso, rng, back)
        under, over = [*behind, *under], [*over, *front]
    elif back:
        over.append(back_collar(torso, 0.1))
    else:
        under = [back_collar(torso, 0.1), *under]
        over += front_collar(torso, slots["neck"])
    if not back:
        parts, lines = front_closure(torso, slots["closure"], rng)
        over, strokes = [*parts, *over], [*strokes, *lines, *_slits(torso, slots["neck"])]
    quilting = _quilting(torso, float(rng.uniform(0.13, 0.2))) if puffy else []
    body = Part(outline=torso.outline(depth), volume=0.9 if puffy else 0.65, lift=0.35)
    return Shape(
        parts=(*under, *arms.parts, body, *over),
        strokes=(*strokes, *arms.strokes, *quilting),
        hanger="shoulders",
        hanger_half_width=torso.shoulder * 0.85,
        folds=(*body_folds(torso, rng, int(rng.integers(4, 9))), *_puffs(torso, quilting)),
    )


def _torso(slots: Mapping[str, str], rng: np.random.Generator) -> Torso:
    long, fit = slots["length"] == "long", float(rng.uniform(0.98, 1.18))
    return Torso(
        neck=0.19,
        depth=0.55 if slots["neck"] == "lapels" else 0.13,
        shoulder=0.48 * fit,
        slope=0.1,
        armpit=0.5,
        chest=0.51 * fit,
        waist=float(rng.uniform(0.46, 0.52)) * fit,
        waist_y=0.95,
        hem=float(rng.uniform(0.48, 0.56)) * fit * (1.08 if long else 1.0),
        length=float(rng.uniform(1.75, 2.05)) if long else float(rng.uniform(1.2, 1.45)),
        sag=float(rng.uniform(0, 0.02)),
        neckline="v",
    )


def _slits(torso: Torso, neck: str) -> list[Stroke]:
    """Openings of the side pockets, level on a blazer."""
    strokes = []
    y = torso.length * 0.66
    for side in (-1, 1):
        slit = line((side * 0.2, y), (side * 0.36, y + (0.16 if neck != "lapels" else 0.0)))
        strokes.append(Stroke(line=slit, width=0.02, tone=-0.4))
    return strokes


def _quilting(torso: Torso, step: float) -> list[Stroke]:
    rows = np.arange(0.24, torso.length - 0.04, step)
    return [
        Stroke(
            line=line((-torso.chest * 1.02, float(y)), (0, float(y) + 0.025), (torso.chest * 1.02, float(y))),
            width=0.012,
            tone=-0.4,
        )
        for y in rows
    ]


def _puffs(torso: Torso, quilting: list[Stroke]) -> list[Stroke]:
    """Light on the upper half of every quilted chamber, shade beneath."""
    return [
        Stroke(line=s.line + np.array([0.0, shift]), width=0.06, tone=tone)
        for s in quilting
        for shift, tone in ((0.05, 0.2), (-0.035, -0.2))
    ]
