"""Outlines in garment units: closed shapes with rounded corners, the parts and strokes a garment is made of.

Garment units: one unit is about 50 cm, x grows to the right from the garment's axis, y grows downwards.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]
Corner = tuple[float, float, float]
"""x, y and how much of the two adjoining edges the rounding takes: 0 is sharp, 0.5 leaves no straight piece."""

_CURVE = np.linspace(0.0, 1.0, 6)[None, :, None]
_EDGE = np.linspace(0.0, 1.0, 5)[None, 1:-1, None]


class Cloth(StrEnum):
    """What a part is made of; the studio turns it into a texture or a colour of the product."""

    MAIN = "main"
    TRIM = "trim"
    INSIDE = "inside"
    SOLE = "sole"
    LABEL = "label"
    METAL = "metal"
    DARK = "dark"


@dataclass(frozen=True, kw_only=True, slots=True)
class Part:
    """One piece of cloth: a closed outline, painted over the parts before it."""

    outline: Floats
    cloth: Cloth = Cloth.MAIN
    angle: float = 0.0
    """Direction of the weave against the garment's axis, radians."""
    lift: float = 0.0
    """How dark a shadow it throws on the parts beneath, 0 to 1."""
    volume: float = 0.5
    """How round it looks, 0 (paper) to 1 (stuffed)."""
    tone: float = 0.0
    """Added to its brightness, in shares."""
    wrinkle: float = 1.0
    """Strength of folds against the fabric's own."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Stroke:
    """A seam, crease, stitch line or drawn thing on top of the parts."""

    line: Floats
    width: float = 0.008
    """In garment units."""
    tone: float = -0.35
    """Brightness against the cloth around, for strokes without a cloth."""
    cloth: Cloth | None = None
    closed: bool = False
    filled: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Shape:
    """A garment ready to be posed: parts from the lowest to the topmost, strokes over all of them."""

    parts: tuple[Part, ...]
    strokes: tuple[Stroke, ...] = ()
    hanger: str = ""
    """How it hangs: "shoulders", "clips" or "" for things that lie or stand."""
    hanger_half_width: float = 0.4
    print_at: tuple[float, float, float] | None = None
    """Centre and half width of the place for a printed motif."""
    folds: tuple[Stroke, ...] = field(default=())
    """Soft folds: drawn into the shading and blurred."""


def rounded(corners: Sequence[Corner]) -> Floats:
    """A closed outline, (n, 2), through rounded corners; each corner is a quadratic Bezier curve."""
    table = np.asarray(corners, dtype=np.float64)
    point, share = table[:, :2], table[:, 2:3]
    start = point + share * (np.roll(point, 1, 0) - point)
    end = point + share * (np.roll(point, -1, 0) - point)
    t = _CURVE
    curve = (1 - t) ** 2 * start[:, None] + 2 * t * (1 - t) * point[:, None] + t**2 * end[:, None]
    following = np.roll(start, -1, 0)
    edge = end[:, None] + (following - end)[:, None] * _EDGE
    return np.asarray(np.concatenate([curve, edge], axis=1).reshape(-1, 2))


def line(*points: tuple[float, float]) -> Floats:
    """An open line, (n, 2), bent smoothly through its inner points' neighbourhood."""
    p = np.asarray(points, dtype=np.float64)
    if len(p) == 2:
        return np.asarray(p[0] + (p[1] - p[0]) * np.linspace(0, 1, 9)[:, None])
    middle = (p[1:-2] + p[2:-1]) / 2
    starts = np.concatenate([p[:1], middle])
    ends = np.concatenate([middle, p[-1:]])
    t = _CURVE
    curve = (1 - t) ** 2 * starts[:, None] + 2 * t * (1 - t) * p[1:-1][:, None] + t**2 * ends[:, None]
    return np.asarray(curve.reshape(-1, 2))


def symmetric(half: Sequence[Corner]) -> Floats:
    """A closed outline from its right half, given from the axis at the top to the axis at the bottom."""
    return rounded([*half, *((-x, y, r) for x, y, r in reversed(half[1:-1]))])


def mirrored(outline: Floats) -> Floats:
    """The same outline on the other side of the axis."""
    return np.asarray(outline * np.array([-1.0, 1.0]))


def ellipse(x: float, y: float, rx: float, ry: float, *, points: int = 28) -> Floats:
    """A closed ellipse around (x, y)."""
    t = np.linspace(0, 2 * np.pi, points, endpoint=False)
    return np.stack([x + rx * np.cos(t), y + ry * np.sin(t)], axis=1)
