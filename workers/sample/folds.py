"""Soft folds of a body piece and of a skirt."""

from __future__ import annotations

import numpy as np

from workers.sample.outline import Stroke, line
from workers.sample.torso import Torso


def body_folds(torso: Torso, rng: np.random.Generator, count: int) -> tuple[Stroke, ...]:
    """Creases that run from the armpits, and from waist to hem."""
    folds = []
    for _ in range(count):
        side = 1.0 if rng.random() < 0.5 else -1.0
        tone = float(rng.uniform(0.1, 0.26)) * (1.0 if rng.random() < 0.4 else -1.0)
        if rng.random() < 0.4:
            x, y = side * torso.chest * 0.93, torso.armpit + float(rng.uniform(0, 0.12))
            reach, drop = float(rng.uniform(0.2, 0.6)), float(rng.uniform(0.05, 0.5))
        else:
            x, y = float(rng.uniform(-0.8, 0.8)) * torso.waist, float(rng.uniform(0.35, 0.9)) * torso.length
            side, reach, drop = 1.0, float(rng.normal(0, 0.1)), float(rng.uniform(0.2, 0.5))
        end = (x - side * reach, y + drop)
        bow = ((x + end[0]) / 2 + float(rng.normal(0, 0.05)), (y + end[1]) / 2)
        folds.append(Stroke(line=line((x, y), bow, end), width=float(rng.uniform(0.015, 0.04)), tone=tone))
    return tuple(folds)


def skirt_folds(
    rng: np.random.Generator, waist: float, hem: float, top: float, bottom: float, pleated: bool
) -> tuple[Stroke, ...]:
    """Folds that fan out from the waist to the hem; even and sharp when pleated."""
    count = int(rng.integers(9, 15)) if pleated else int(rng.integers(3, 8))
    places = np.linspace(-0.93, 0.93, count) if pleated else rng.uniform(-0.9, 0.9, count)
    out = []
    for place in places:
        start = top + (0.0 if pleated else float(rng.uniform(0, 0.4)) * (bottom - top))
        grown = waist + (hem - waist) * (start - top) / (bottom - top)
        way = line(
            (float(place) * grown, start),
            (float(place) * (grown + hem) / 2, (start + bottom) / 2),
            (float(place) * hem, bottom),
        )
        strength = 0.3 if pleated else float(rng.uniform(0.12, 0.28))
        out.append(Stroke(line=way, width=0.03, tone=-strength))
        out.append(Stroke(line=way + np.array([0.035, 0.0]), width=0.025, tone=strength * 0.7))
    return tuple(out)
