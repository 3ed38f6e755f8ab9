"""Shapes worn below the waist: trousers, shorts, skirts."""

from __future__ import annotations

import numpy as np

from workers.sample.folds import skirt_folds
from workers.sample.outline import Cloth, Floats, Part, Shape, Stroke, ellipse, line, mirrored, rounded, symmetric
from workers.sample.products import Product

_BAND = 0.09
"""Height of a waistband: 4 to 5 cm."""


def _legs(
    *, waist: float, hip: float, rise: float, knee: float, cuff: float, length: float, gap: float, lean: float
) -> Floats:
    """The right leg with half the seat; the left is its mirror image. `gap` parts the legs at the cuff."""
    axis = gap + cuff + lean
    crotch = 0.015
    return rounded(
        [
            (-0.01, 0.0, 0.0),
            (waist, 0.0, 0.05),
            (hip, rise * 0.75, 0.4),
            ((hip + axis + knee) / 2 + 0.02, (rise + length) / 2, 0.5),
            (axis + cuff, length, 0.03),
            (axis - cuff, length + 0.012, 0.03),
            ((crotch + axis - cuff) / 2 + (hip - knee) * 0.05, (rise + length) / 2, 0.5),
            (crotch, rise, 0.12),
            (-0.01, rise * 0.97, 0.0),
        ]
    )


def _waistband(waist: float, *, dip: float, cloth: Cloth = Cloth.MAIN) -> Part:
    w = waist * 1.01
    outline = rounded(
        [
            (-w, 0.0, 0.05),
            (0, dip, 0.5),
            (w, 0.0, 0.05),
            (w * 1.015, _BAND, 0.05),
            (0, _BAND + dip, 0.5),
            (-w * 1.015, _BAND, 0.05),
        ]
    )
    return Part(outline=outline, cloth=cloth, lift=0.25, volume=0.2, angle=np.pi / 2)


def _inside(waist: float, dip: float) -> Part:
    """The back of the waistband, seen above the front's dip."""
    outline = rounded([(-waist, 0.0, 0.05), (0, -0.035, 0.5), (waist, 0.0, 0.05), (0, dip + 0.02, 0.5)])
    return Part(outline=outline, cloth=Cloth.INSIDE, volume=0.2)


def _fly(rise: float, side: float) -> list[Stroke]:
    hook = line((side * 0.07, _BAND + 0.02), (side * 0.07, rise * 0.62), (side * 0.06, rise * 0.75), (0.0, rise * 0.82))
    return [
        Stroke(line=line((0.0, _BAND), (0.0, rise)), tone=-0.35, width=0.01),
        Stroke(line=hook, tone=-0.3),
        Stroke(line=ellipse(0.0, _BAND * 0.6, 0.02, 0.02, points=12), cloth=Cloth.METAL, filled=True),
    ]


def _pockets(waist: float, hip: float, rise: float, back: bool) -> tuple[list[Part], list[Stroke]]:
    if back:
        patch = rounded(
            [(0.08, 0.2, 0.03), (0.3, 0.18, 0.03), (0.3, 0.4, 0.05), (0.195, 0.46, 0.05), (0.09, 0.41, 0.05)]
        )
        yoke = line((-waist, 0.13), (0, 0.2), (waist, 0.13))
        return [Part(outline=o, lift=0.4, volume=0.2, tone=0.02) for o in (patch, mirrored(patch))], [Stroke(line=yoke)]
    bag = line((waist * 0.55, _BAND), (waist * 0.62, 0.26), (hip * 0.99, rise * 0.52))
    return [], [
        Stroke(line=o, tone=t, width=w) for o in (bag, mirrored(bag)) for t, w in ((-0.4, 0.014), (-0.2, 0.006))
    ]


def _loops(waist: float) -> list[Stroke]:
    return [
        Stroke(line=line((x * waist, -0.005), (x * waist, _BAND + 0.02)), width=0.026, tone=-0.2)
        for x in (-0.85, -0.4, 0.4, 0.85)
    ]


def _leg_folds(rng: np.random.Generator, hip: float, rise: float, length: float, count: int) -> tuple[Stroke, ...]:
    folds = []
    for side in (-1.0, 1.0):
        for _ in range(3):
            end = (side * hip * float(rng.uniform(0.5, 1.0)), rise * float(rng.uniform(0.55, 1.05)))
            folds.append(
                Stroke(line=line((side * 0.02, rise * 0.96), end), width=0.022, tone=float(rng.choice((-0.25, 0.18))))
            )
        for _ in range(count):
            y = float(rng.uniform(rise, length * 0.97))
            x = side * (hip * 0.5 + 0.05 + float(rng.normal(0, 0.05)))
            reach = float(rng.uniform(0.06, 0.2))
            tone = float(rng.uniform(0.07, 0.17)) * (1 if rng.random() < 0.45 else -1)
            folds.append(
                Stroke(
                    line=line((x - reach, y), (x, y + 0.05), (x + reach, y + float(rng.normal(0, 0.1)))),
                    width=0.025,
                    tone=tone,
                )
            )
        middle = side * hip * 0.55
        folds.append(Stroke(line=line((middle, rise), (middle + side * 0.03, length)), width=0.13, tone=0.12))
    return tuple(folds)


def _trousers(
    product: Product,
    rng: np.random.Generator,
    back: bool,
    legs: Floats,
    *,
    waist: float,
    hip: float,
    rise: float,
    length: float,
    elastic: bool,
) -> Shape:
    dip = 0.0 if back else float(rng.uniform(0.015, 0.045))
    denim = product.pattern == "denim"
    parts = [_inside(waist, dip)] if not back else []
    other = legs * np.array([float(rng.uniform(0.96, 1.04)), 1.0])
    parts += [
        Part(outline=mirrored(other), angle=0.05, volume=0.6),
        Part(outline=legs, angle=-0.05, volume=0.6, lift=0.3),
    ]
    parts.append(_waistband(waist, dip=dip, cloth=Cloth.TRIM if elastic and rng.random() < 0.4 else Cloth.MAIN))
    patches, strokes = _pockets(waist, hip, rise, back)
    per = len(legs) // 9
    for o in (legs, mirrored(other)):
        cuff = np.stack([o[4 * per + 2], o[5 * per + 2]]) - np.array([0.0, 0.055])
        strokes.append(Stroke(line=cuff, tone=-0.25))
    if elastic:
        strokes += [
            Stroke(line=line((x, 0.005), (x, _BAND)), tone=-0.2, width=0.012)
            for x in np.linspace(-waist * 0.95, waist * 0.95, 19)
        ]
        if not back:
            strokes += [
                Stroke(
                    line=line((s * 0.02, _BAND * 0.6), (s * 0.06, 0.2), (s * 0.05, 0.32)),
                    width=0.016,
                    cloth=Cloth.LABEL,
                )
                for s in (-1, 1)
            ]
        if product.slots["cut"] in ("sporty", "jogger") and rng.random() < 0.45:
            edge = legs[per + 4 : 4 * per + 2] - np.array([0.035, 0.0])
            strokes += [Stroke(line=o, width=0.035, cloth=Cloth.LABEL) for o in (edge, mirrored(edge))]
    else:
        strokes += _loops(waist)
        strokes += [] if back else _fly(rise, 1.0)
    if back:
        strokes.append(Stroke(line=line((0, _BAND), (0, rise)), tone=-0.35))
    if denim:
        side = legs[2 * per : 4 * per] - np.array([0.03, 0.0])
        strokes += [Stroke(line=o, width=0.006, tone=0.2) for o in (side, mirrored(side))]
    return Shape(
        parts=(*parts, *patches),
        strokes=tuple(strokes),
        hanger="clips",
        hanger_half_width=waist * 0.75,
        folds=_leg_folds(rng, hip, rise, length, 3 if length < 1.2 else 6),
    )


def pants(product: Product, rng: np.random.Generator, *, back: bool) -> Shape:
    """Trousers, jeans, joggers."""
    cut = product.slots["cut"]
    length = (1.62 if product.slots["length"] == "cropped" else 2.02) * float(rng.uniform(0.95, 1.05))
    waist, rise = float(rng.uniform(0.36, 0.42)), float(rng.uniform(0.5, 0.6))
    hip = waist * float(rng.uniform(1.2, 1.3))
    cuff = {"straight": 0.2, "skinny": 0.14, "wide": 0.3, "jogger": 0.13}[cut] * float(rng.uniform(0.9, 1.1))
    legs = _legs(
        waist=waist,
        hip=hip,
        rise=rise,
        knee=cuff + 0.03,
        cuff=cuff,
        length=length,
        gap=float(rng.uniform(0.01, 0.16)),
        lean=float(rng.uniform(0.0, 0.05)),
    )
    return _trousers(product, rng, back, legs, waist=waist, hip=hip, rise=rise, length=length, elastic=cut == "jogger")


def shorts(product: Product, rng: np.random.Generator, *, back: bool) -> Shape:
    """Shorts, from short to the knee."""
    cut = product.slots["cut"]
    length = {"short": 0.82, "knee-length": 1.18}[product.slots["length"]] * float(rng.uniform(0.93, 1.07))
    waist, rise = float(rng.uniform(0.38, 0.44)), float(rng.uniform(0.5, 0.58))
    hip = waist * float(rng.uniform(1.22, 1.32))
    cuff = {"straight": 0.27, "sporty": 0.3, "wide": 0.34}[cut] * float(rng.uniform(0.95, 1.05))
    legs = _legs(
        waist=waist,
        hip=hip,
        rise=rise,
        knee=cuff,
        cuff=cuff,
        length=length,
        gap=float(rng.uniform(0.01, 0.07)),
        lean=0.0,
    )
    return _trousers(product, rng, back, legs, waist=waist, hip=hip, rise=rise, length=length, elastic=cut == "sporty")


def skirt(product: Product, rng: np.random.Generator, *, back: bool) -> Shape:
    """Skirt: mini to maxi, pencil to flared."""
    cut = product.slots["cut"]
    length = {"mini": 0.85, "midi": 1.25, "maxi": 1.75}[product.slots["length"]] * float(rng.uniform(0.93, 1.07))
    waist = float(rng.uniform(0.33, 0.38))
    spread = {"a-line": 1.65, "pencil": 1.12, "pleated": 1.9, "flared": 2.3}[cut] * float(rng.uniform(0.92, 1.08))
    hem = waist * (spread if cut == "pencil" else 1 + (spread - 1) * (0.7 + 0.3 * length))
    hip = max(waist * 1.22, waist + (hem - waist) * 0.32)
    sag = 0.02 if cut == "pencil" else float(rng.uniform(0.04, 0.12))
    dip = 0.0 if back else float(rng.uniform(0.01, 0.04))
    body = symmetric(
        [
            (0, dip, 0.5),
            (waist, 0, 0.05),
            (hip, 0.36, 0.5),
            (hem, length, 0.05),
            (hem * 0.5, length + sag, 0.5),
            (0, length + sag, 0.5),
        ]
    )
    strokes = [
        Stroke(
            line=line((-hem * 0.98, length - 0.05), (0, length + sag * 1.1 - 0.05), (hem * 0.98, length - 0.05)),
            tone=-0.2,
        )
    ]
    buttoned = not back and cut == "a-line" and rng.random() < 0.35
    if buttoned:
        strokes.append(Stroke(line=line((0.05, _BAND), (0.05, length + sag)), tone=-0.3))
        strokes += [
            Stroke(line=ellipse(0, float(y), 0.022, 0.022, points=12), cloth=Cloth.METAL, filled=True)
            for y in np.linspace(0.05, length - 0.1, 6)
        ]
    if product.pattern == "denim" and not buttoned:
        strokes += [*_loops(waist), *([] if back else _fly(0.5, 1.0))]
    if back or cut == "pencil":
        strokes.append(Stroke(line=line((0, _BAND), (0, length + sag if back else length * 0.4)), tone=-0.3))
    band = _waistband(waist, dip=dip, cloth=Cloth.TRIM if rng.random() < 0.2 else Cloth.MAIN)
    return Shape(
        parts=(*([] if back else [_inside(waist, dip)]), Part(outline=body, volume=0.55), band),
        strokes=tuple(strokes),
        hanger="clips",
        hanger_half_width=waist * 0.8,
        folds=()
        if cut == "pencil" and rng.random() < 0.5
        else skirt_folds(rng, waist, hem, _BAND, length + sag * 0.7, cut == "pleated"),
    )
