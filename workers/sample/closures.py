"""How a front is closed: buttons, zips, or not at all."""

from __future__ import annotations

import numpy as np

from workers.sample.outline import Cloth, Part, Stroke, ellipse, line, rounded
from workers.sample.torso import Torso


def buttons(top: float, bottom: float, count: int, *, x: float = 0.0, size: float = 0.017) -> list[Stroke]:
    """`count` buttons of radius `size` down the line at `x`, the first at `top`, the last at `bottom`."""
    return [
        Stroke(line=ellipse(x, float(y), size, size, points=12), cloth=Cloth.LABEL, filled=True)
        for y in np.linspace(top, bottom, count)
    ]


def front_closure(torso: Torso, closure: str, rng: np.random.Generator) -> tuple[list[Part], list[Stroke]]:
    """Parts and strokes of a jacket's front: "zipped", "buttoned", or "open" with the lining showing."""
    bottom = torso.length + torso.sag * 0.8
    if closure == "zipped":
        return [], [
            Stroke(line=line((0, torso.depth), (0, bottom)), width=0.035, tone=-0.3),
            Stroke(line=line((0, torso.depth), (0, bottom)), width=0.012, cloth=Cloth.METAL),
        ]
    if closure == "buttoned":
        count = 2 if torso.depth > 0.4 else int(rng.integers(4, 7))
        edge = Stroke(line=line((0.05, torso.depth), (0.055, bottom)), tone=-0.4, width=0.012)
        return [], [edge, *buttons(torso.depth + 0.06, bottom - (0.45 if count == 2 else 0.2), count, size=0.026)]
    gape = float(rng.uniform(0.08, 0.2))
    lining = rounded(
        [
            (0, torso.depth * 0.8, 0.1),
            (gape * 0.7, torso.length * 0.5, 0.5),
            (gape, bottom - 0.01, 0.02),
            (-gape, bottom - 0.01, 0.02),
            (-gape * 0.7, torso.length * 0.5, 0.5),
        ]
    )
    return [Part(outline=lining, cloth=Cloth.INSIDE, volume=0.5)], []
