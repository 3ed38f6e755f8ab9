"""Shapes of shoes: a pair put together from one shoe."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from workers.sample.outline import Cloth, Floats, Part, Shape, Stroke, mirrored
from workers.sample.products import Product
from workers.sample.shoe_profiles import from_the_side
from workers.sample.shoe_tops import from_above


def shoes(product: Product, rng: np.random.Generator, *, back: bool) -> Shape:
    """A pair: seen from the side one behind the other, or from above side by side."""
    del back
    cut = product.slots["cut"]
    above = cut in ("sandals", "sneakers", "loafers") and rng.random() < (0.75 if cut == "sandals" else 0.45)
    if above:
        one = from_above(cut, rng)
        turn, gap = float(rng.uniform(-0.02, 0.2)), float(rng.uniform(0.3, 0.38))
        return _merge(
            _moved(_flipped(one), turn=-turn, x=-gap, y=0.0),
            _moved(one, turn=turn, x=gap, y=float(rng.normal(0, 0.06))),
        )
    one = from_the_side(cut, rng)
    far = _moved(
        one, turn=float(rng.normal(0, 0.08)), x=float(rng.uniform(0.1, 0.42)), y=-float(rng.uniform(0.14, 0.3))
    )
    if rng.random() < 0.25:
        far = _moved(_flipped(one), turn=0.0, x=float(rng.uniform(0.1, 0.4)), y=-float(rng.uniform(0.16, 0.3)))
    return _merge(far, one)


def _moved(shape: Shape, *, turn: float, x: float, y: float) -> Shape:
    c, s = np.cos(turn), np.sin(turn)
    matrix, shift = np.array([[c, s], [-s, c]]), np.array([x, y])
    return _mapped(shape, lambda points: points @ matrix + shift)


def _flipped(shape: Shape) -> Shape:
    return _mapped(shape, mirrored)


def _mapped(shape: Shape, move: Callable[[Floats], Floats]) -> Shape:
    parts = tuple(
        Part(
            outline=move(p.outline),
            cloth=p.cloth,
            angle=p.angle,
            lift=p.lift,
            volume=p.volume,
            tone=p.tone,
            wrinkle=p.wrinkle,
        )
        for p in shape.parts
    )
    strokes = tuple(
        Stroke(line=move(s.line), width=s.width, tone=s.tone, cloth=s.cloth, closed=s.closed, filled=s.filled)
        for s in shape.strokes
    )
    return Shape(parts=parts, strokes=strokes)


def _merge(far: Shape, near: Shape) -> Shape:
    """Both shoes; strokes of the far one are turned into thin parts, so that the near one covers them."""
    lines = tuple(p for s in far.strokes if (p := _as_part(s)) is not None)
    first = near.parts[0]
    lifted = Part(outline=first.outline, cloth=first.cloth, lift=1.0, volume=first.volume, tone=first.tone)
    return Shape(parts=(*far.parts, *lines, lifted, *near.parts[1:]), strokes=near.strokes)


def _as_part(stroke: Stroke) -> Part | None:
    cloth = stroke.cloth or Cloth.DARK
    if stroke.filled:
        return Part(outline=stroke.line, cloth=cloth, volume=0.0)
    along = np.gradient(stroke.line, axis=0)
    normal = np.stack([-along[:, 1], along[:, 0]], axis=1)
    normal /= np.maximum(np.hypot(normal[:, 0], normal[:, 1]), 1e-9)[:, None]
    half = normal * max(stroke.width, 0.01) / 2
    ribbon = np.concatenate([stroke.line + half, (stroke.line - half)[::-1]])
    if stroke.cloth is None:
        return None
    return Part(outline=ribbon, cloth=cloth, volume=0.0)
