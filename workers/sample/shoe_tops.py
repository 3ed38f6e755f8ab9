"""One right shoe seen from above, the toe at the top."""

from __future__ import annotations

import numpy as np

from workers.sample.outline import Cloth, Corner, Floats, Part, Shape, Stroke, line, rounded


def from_above(cut: str, rng: np.random.Generator) -> Shape:
    """A sandal, sneaker or loafer."""
    width = float(rng.uniform(0.95, 1.15))
    return _sandal(width, rng) if cut == "sandals" else _closed(cut, width, rng)


def _sole_outline(width: float) -> Floats:
    """A right foot's sole from above: toe at the top, the arch on the left."""
    corners: list[Corner] = [
        (0.03, -0.62, 0.5),
        (0.2 * width, -0.55, 0.5),
        (0.27 * width, -0.2, 0.5),
        (0.19 * width, 0.2, 0.5),
        (0.2 * width, 0.55, 0.5),
        (0.0, 0.64, 0.5),
        (-0.19 * width, 0.55, 0.5),
        (-0.15 * width, 0.15, 0.5),
        (-0.25 * width, -0.25, 0.5),
        (-0.17 * width, -0.56, 0.5),
    ]
    return rounded(corners)


def _sandal(width: float, rng: np.random.Generator) -> Shape:
    band = rounded(
        [
            (-0.29 * width, -0.3, 0.3),
            (0.0, -0.42, 0.5),
            (0.3 * width, -0.28, 0.3),
            (0.27 * width, 0.02, 0.2),
            (0.0, -0.08, 0.5),
            (-0.24 * width, 0.0, 0.2),
        ]
    )
    parts = [
        Part(
            outline=_sole_outline(width * 1.08),
            cloth=Cloth.DARK if rng.random() < 0.5 else Cloth.SOLE,
            volume=0.5,
        ),
        Part(
            outline=_sole_outline(width * 0.9) * 0.96,
            cloth=Cloth.INSIDE if rng.random() < 0.6 else Cloth.MAIN,
            volume=0.3,
        ),
        Part(outline=band, lift=0.9, volume=0.8),
    ]
    if rng.random() < 0.4:
        parts.append(_heel_strap(width))
    return Shape(parts=tuple(parts))


def _heel_strap(width: float) -> Part:
    strap = rounded(
        [
            (-0.22 * width, 0.28, 0.2),
            (0.0, 0.2, 0.5),
            (0.22 * width, 0.28, 0.2),
            (0.21 * width, 0.36, 0.2),
            (0.0, 0.28, 0.5),
            (-0.21 * width, 0.36, 0.2),
        ]
    )
    return Part(outline=strap, lift=0.8, volume=0.6)


def _closed(cut: str, width: float, rng: np.random.Generator) -> Shape:
    """A shoe with an opening for the foot: laced (a sneaker) or slipped on (a loafer)."""
    hole = rounded(
        [
            (0.0, 0.0, 0.5),
            (0.13 * width, 0.1, 0.5),
            (0.13 * width, 0.5, 0.5),
            (0.0, 0.56, 0.5),
            (-0.12 * width, 0.5, 0.5),
            (-0.12 * width, 0.1, 0.5),
        ]
    )
    sole = Part(outline=_sole_outline(width * 1.08), cloth=Cloth.SOLE if cut == "sneakers" else Cloth.DARK, volume=0.4)
    upper = Part(outline=_sole_outline(width) * 0.97, volume=1.0)
    opening = Part(outline=hole, cloth=Cloth.INSIDE, volume=0.6, tone=-0.1)
    if cut == "sneakers":
        return Shape(parts=(sole, upper, opening, _tongue(rng)), strokes=_lacing())
    strap = Stroke(line=line((-0.19, 0.02), (0.0, -0.06), (0.19, 0.02)), width=0.06, cloth=Cloth.TRIM)
    apron = Stroke(line=line((-0.16, 0.0), (0.0, -0.48), (0.16, 0.0)), tone=-0.3)
    return Shape(parts=(sole, upper, opening), strokes=(strap, apron))


def _tongue(rng: np.random.Generator) -> Part:
    tongue = rounded([(-0.08, -0.22, 0.3), (0.08, -0.22, 0.3), (0.1, 0.16, 0.3), (-0.1, 0.16, 0.3)])
    return Part(outline=tongue, cloth=Cloth.TRIM if rng.random() < 0.4 else Cloth.MAIN, volume=0.5, lift=0.4)


def _lacing() -> tuple[Stroke, ...]:
    """Laces, and the edge of the toe cap."""
    laces = [
        Stroke(line=line((-0.11, y), (0.11, y - 0.02)), width=0.03, cloth=Cloth.LABEL)
        for y in (-0.2, -0.12, -0.04, 0.04)
    ]
    return (*laces, Stroke(line=line((-0.2, -0.3), (0.0, -0.38), (0.2, -0.3)), tone=-0.3))
