"""What sits around a neckline: collars, lapels, hoods and their strings."""

from __future__ import annotations

import numpy as np

from workers.sample.outline import Cloth, Part, Stroke, line, mirrored, rounded, symmetric
from workers.sample.torso import Torso


def collar(torso: Torso, *, drop: float, reach: float, lift: float = 0.8) -> list[Part]:
    """Two pointed collar leaves around the neckline."""
    n = torso.neck
    leaf = rounded(
        [
            (0.012, torso.depth * 0.72, 0.05),
            (n * 0.75, torso.depth * 0.2, 0.4),
            (n * 0.9, -0.05, 0.3),
            (n * 1.12, 0.015, 0.3),
            (n * 1.02 + reach, torso.depth * 0.75, 0.2),
            (n * 0.62 + reach * 0.7, torso.depth * 0.72 + drop, 0.04),
        ]
    )
    return [
        Part(outline=o, lift=lift, volume=0.35, tone=0.05, angle=a) for o, a in ((leaf, 0.5), (mirrored(leaf), -0.5))
    ]


def back_collar(torso: Torso, height: float) -> Part:
    """The band that stands up behind the neck; all of a collar that a back view shows."""
    n = torso.neck
    band = rounded(
        [
            (-n, 0.02, 0.2),
            (-n * 0.9, -height, 0.4),
            (0, -height * 1.25, 0.5),
            (n * 0.9, -height, 0.4),
            (n, 0.02, 0.2),
            (0, 0.06, 0.5),
        ]
    )
    return Part(outline=band, volume=0.3, tone=-0.12)


def front_collar(torso: Torso, neck: str) -> list[Part]:
    """A jacket's "lapels", "collar" or "stand-collar" as seen from the front."""
    if neck == "lapels":
        leaf = rounded(
            [
                (0.0, torso.depth + 0.02, 0.03),
                (0.1, 0.1, 0.3),
                (0.16, -0.06, 0.3),
                (0.22, 0.02, 0.2),
                (0.3, 0.24, 0.05),
                (0.25, 0.27, 0.02),
                (0.31, 0.33, 0.05),
            ]
        )
        return [
            Part(outline=o, lift=0.8, volume=0.3, tone=0.04, angle=a) for o, a in ((leaf, 0.3), (mirrored(leaf), -0.3))
        ]
    if neck == "collar":
        return collar(torso, drop=0.2, reach=0.08, lift=1.0)
    stand = symmetric(
        [
            (0, 0.05, 0.3),
            (0.1, -0.03, 0.4),
            (0.17, -0.1, 0.3),
            (0.23, 0.02, 0.2),
            (0.1, torso.depth + 0.04, 0.4),
            (0, torso.depth + 0.06, 0.2),
        ]
    )
    return [Part(outline=stand, lift=0.5, volume=0.5, cloth=Cloth.TRIM)]


def hood(torso: Torso, rng: np.random.Generator, back: bool) -> tuple[list[Part], list[Part]]:
    """Parts behind the body and parts over it."""
    n, height = torso.neck, float(rng.uniform(0.26, 0.4))
    cap = symmetric(
        [(0, -height, 0.5), (n * 1.35, -height * 0.92, 0.5), (n * 1.5, 0.0, 0.3), (n * 1.1, 0.14, 0.4), (0, 0.16, 0.5)]
    )
    if back:
        fallen = symmetric(
            [(0, -0.05, 0.5), (n * 1.2, -0.03, 0.4), (n * 1.35, 0.2, 0.5), (n * 0.7, 0.48, 0.5), (0, 0.52, 0.5)]
        )
        return [], [Part(outline=fallen, lift=0.7, volume=0.9)]
    hole = symmetric(
        [(0, -height * 0.72, 0.5), (n * 0.8, -height * 0.6, 0.5), (n * 0.85, 0.0, 0.4), (0, torso.depth + 0.05, 0.3)]
    )
    return [Part(outline=cap, volume=0.9)], [Part(outline=hole, cloth=Cloth.INSIDE, volume=0.6)]


def hood_strings(torso: Torso, rng: np.random.Generator) -> list[Stroke]:
    """The two ends of a hood's cord."""
    out = []
    for side in (-1.0, 1.0):
        x, reach = side * torso.neck * 0.45, float(rng.uniform(0.2, 0.34))
        end = (x + float(rng.normal(0, 0.03)), torso.depth + reach)
        out.append(
            Stroke(
                line=line((x, torso.depth * 0.9), (x * 1.2, torso.depth + reach / 2), end),
                width=0.016,
                cloth=Cloth.LABEL,
            )
        )
    return out
