"""Shapes of caps, beanies, wide-brimmed hats and bucket hats."""

from __future__ import annotations

import numpy as np

from workers.sample.outline import Cloth, Part, Shape, Stroke, ellipse, line, rounded, symmetric
from workers.sample.products import Product


def hat(product: Product, rng: np.random.Generator, *, back: bool) -> Shape:
    """Cap, beanie, wide-brimmed hat or bucket hat; a hat has no drawn back."""
    del back
    cut = product.slots["cut"]
    return {"cap": _cap, "beanie": _beanie, "wide-brim": _wide_brim, "bucket": _bucket}[cut](rng)


def _cap(rng: np.random.Generator) -> Shape:
    return _cap_side(rng) if rng.random() < 0.45 else _cap_front(rng)


def _cap_front(rng: np.random.Generator) -> Shape:
    w, h = float(rng.uniform(0.4, 0.46)), float(rng.uniform(0.46, 0.56))
    dome = symmetric(
        [(0, -h, 0.5), (w * 0.92, -h * 0.95, 0.5), (w * 1.02, -0.05, 0.35), (w * 0.85, 0.06, 0.3), (0, 0.1, 0.5)]
    )
    reach = float(rng.uniform(0.22, 0.36))
    peak = symmetric(
        [
            (0, -0.02, 0.5),
            (w * 0.7, -0.03, 0.5),
            (w * 1.0, 0.02, 0.3),
            (w * 1.02, reach * 0.75, 0.5),
            (w * 0.5, reach, 0.5),
            (0, reach * 1.02, 0.5),
        ]
    )
    trim = Cloth.TRIM if rng.random() < 0.35 else Cloth.MAIN
    seams = [
        line((0, -h), (0.0, 0.0)),
        *(line((0, -h * 0.98), (s * w * 0.5, -h * 0.75), (s * w * 0.62, 0.0)) for s in (-1, 1)),
    ]
    rows = [line((-w * 0.85, r), (0, reach * k), (w * 0.85, r)) for r, k in ((0.08, 0.5), (0.13, 0.7), (0.18, 0.9))]
    strokes = [Stroke(line=s, tone=-0.3, width=0.009) for s in seams] + [
        Stroke(line=s, tone=-0.18, width=0.005) for s in rows
    ]
    eyelets = [
        Stroke(line=ellipse(s * w * 0.4, -h * 0.72, 0.013, 0.013, points=10), tone=-0.6, filled=True) for s in (-1, 1)
    ]
    button = Stroke(line=ellipse(0, -h * 0.985, 0.035, 0.02, points=14), cloth=trim, filled=True)
    badge = _badge(rng, 0.0, -h * 0.42, w * 0.3)
    return Shape(
        parts=(Part(outline=dome, volume=1.0), Part(outline=peak, cloth=trim, lift=0.9, volume=0.7)),
        strokes=(*strokes, *eyelets, button, *badge),
    )


def _cap_side(rng: np.random.Generator) -> Shape:
    h = float(rng.uniform(0.44, 0.52))
    dome = rounded(
        [
            (-0.45, 0.06, 0.12),
            (-0.5, -0.28, 0.5),
            (-0.25, -h, 0.5),
            (0.2, -h, 0.5),
            (0.42, -0.3, 0.5),
            (0.42, 0.02, 0.2),
            (0.0, 0.1, 0.5),
        ]
    )
    peak = rounded(
        [(0.24, -0.05, 0.3), (0.5, -0.08, 0.5), (0.9, 0.0, 0.4), (0.98, 0.1, 0.4), (0.7, 0.12, 0.5), (0.3, 0.12, 0.3)]
    )
    trim = Cloth.TRIM if rng.random() < 0.35 else Cloth.MAIN
    seams = [line((-0.03, -h * 0.97), (0.16, -0.3), (0.2, 0.06)), line((-0.03, -h * 0.97), (-0.26, -0.4), (-0.3, 0.06))]
    return Shape(
        parts=(Part(outline=dome, volume=1.0), Part(outline=peak, cloth=trim, lift=0.7, volume=0.7)),
        strokes=(*(Stroke(line=s, tone=-0.3, width=0.009) for s in seams), *_badge(rng, 0.28, -0.24, 0.08)),
    )


def _badge(rng: np.random.Generator, x: float, y: float, size: float) -> list[Stroke]:
    """An embroidered mark on the front panel."""
    kind = int(rng.integers(4))
    if kind == 0:
        return []
    if kind == 1:
        return [Stroke(line=ellipse(x, y, size, size * 0.75), cloth=Cloth.LABEL, filled=True)]
    if kind == 2:
        box = np.array(
            [
                [x - size, y - size * 0.5],
                [x + size, y - size * 0.5],
                [x + size, y + size * 0.5],
                [x - size, y + size * 0.5],
            ]
        )
        return [
            Stroke(line=box, cloth=Cloth.TRIM, filled=True),
            Stroke(line=box, cloth=Cloth.LABEL, closed=True, width=0.012),
        ]
    steps = np.linspace(-size, size, 5)
    zigzag = np.array([[x + float(s), y + (size * 0.4 if i % 2 else -size * 0.4)] for i, s in enumerate(steps)])
    return [Stroke(line=zigzag, cloth=Cloth.LABEL, width=0.03)]


def _beanie(rng: np.random.Generator) -> Shape:
    w, h = float(rng.uniform(0.42, 0.5)), float(rng.uniform(0.55, 0.72))
    dome = symmetric(
        [(0, -h, 0.5), (w * 0.75, -h * 0.98, 0.5), (w * 1.0, -h * 0.35, 0.5), (w, 0.05, 0.1), (0, 0.09, 0.5)]
    )
    cuff_top = -float(rng.uniform(0.14, 0.2))
    cuff = symmetric([(0, cuff_top + 0.04, 0.5), (w * 1.02, cuff_top, 0.15), (w * 1.05, 0.05, 0.2), (0, 0.1, 0.5)])
    parts = [
        Part(outline=dome, volume=1.0),
        Part(outline=cuff, cloth=Cloth.TRIM if rng.random() < 0.4 else Cloth.MAIN, lift=0.6, volume=0.6),
    ]
    if rng.random() < 0.4:
        turns = np.linspace(0, 2 * np.pi, 32, endpoint=False)
        radius = 0.14 * (1 + 0.08 * rng.standard_normal(32))
        ball = np.stack([radius * np.cos(turns), -h - 0.08 + radius * np.sin(turns)], axis=1)
        parts.append(Part(outline=ball, cloth=Cloth.TRIM if rng.random() < 0.5 else Cloth.MAIN, lift=0.5, volume=1.0))
    ribs = [
        line((float(x) * w, 0.07), (float(x) * w, -0.3 * h), (float(x) * w * 0.55, -h * 0.97))
        for x in np.linspace(-0.88, 0.88, int(rng.integers(9, 16)))
    ]
    return Shape(parts=tuple(parts), strokes=tuple(Stroke(line=r, tone=-0.16, width=0.014) for r in ribs))


def _wide_brim(rng: np.random.Generator) -> Shape:
    tilt = float(rng.uniform(0.35, 0.8))
    brim = ellipse(0, 0, 0.82, 0.82 * tilt, points=44)
    rise = 0.42 * (1.1 - tilt * 0.6)
    w = float(rng.uniform(0.36, 0.42))
    crown = symmetric(
        [
            (0, -rise - 0.16 * tilt, 0.5),
            (w * 0.8, -rise - 0.14 * tilt, 0.5),
            (w, 0.0, 0.4),
            (w * 0.8, 0.18 * tilt + 0.06, 0.5),
            (0, 0.22 * tilt + 0.08, 0.5),
        ]
    )
    band = symmetric(
        [
            (0, 0.14 * tilt - 0.04, 0.5),
            (w * 0.85, 0.1 * tilt - 0.06, 0.4),
            (w * 1.0, -0.05, 0.2),
            (w * 1.0, 0.03, 0.2),
            (w * 0.82, 0.18 * tilt + 0.05, 0.5),
            (0, 0.22 * tilt + 0.07, 0.5),
        ]
    )
    dent = Stroke(line=line((0.0, -rise - 0.1 * tilt), (0.02, -rise * 0.5)), width=0.06, tone=-0.22)
    ring = Stroke(line=ellipse(0, 0.0, 0.78, 0.78 * tilt, points=44), closed=True, tone=-0.14, width=0.006)
    return Shape(
        parts=(
            Part(outline=brim, volume=0.5),
            Part(outline=crown, lift=1.0, volume=1.0),
            Part(outline=band, cloth=Cloth.TRIM, volume=0.4),
        ),
        strokes=(ring,),
        folds=(dent,),
    )


def _bucket(rng: np.random.Generator) -> Shape:
    w = float(rng.uniform(0.36, 0.42))
    crown = symmetric([(0, -0.46, 0.5), (w * 0.85, -0.45, 0.25), (w * 1.05, 0.0, 0.2), (0, 0.06, 0.5)])
    brim = symmetric(
        [(0, -0.02, 0.5), (w * 1.06, -0.06, 0.2), (w * 1.5, 0.24, 0.25), (w * 0.7, 0.32, 0.5), (0, 0.33, 0.5)]
    )
    rows = [
        line((-w * (1.1 + k * 0.11), -0.02 + 0.07 * k), (0, 0.05 + 0.1 * k), (w * (1.1 + k * 0.11), -0.02 + 0.07 * k))
        for k in range(1, 4)
    ]
    top = Stroke(line=line((-w * 0.86, -0.42), (0, -0.37), (w * 0.86, -0.42)), tone=-0.25)
    return Shape(
        parts=(Part(outline=crown, volume=0.9), Part(outline=brim, lift=0.6, volume=0.7)),
        strokes=(top, *(Stroke(line=r, tone=-0.2, width=0.006) for r in rows)),
    )
