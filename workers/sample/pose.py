"""How a garment lies or hangs in the frame: scale, turn, perspective and the small irregularities of a real one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from workers.sample.builders import BUILDERS
from workers.sample.outline import Floats, Shape
from workers.sample.products import Product, stream

Box = tuple[int, int, int, int]


@dataclass(frozen=True, kw_only=True, slots=True)
class Pose:
    """Maps garment units to pixels."""

    matrix: NDArray[np.float64]
    shift: NDArray[np.float64]
    lean: tuple[float, float]
    """Perspective along x and y: the share by which one unit further away shrinks."""
    middle: NDArray[np.float64]
    wobble: NDArray[np.float64]
    """Amplitude, two frequencies and two phases of the displacement of outlines."""

    scale: float
    """Pixels of one garment unit."""
    turn: float
    """Clockwise rotation of the garment's axis in the picture, radians."""

    def place(self, points: Floats) -> NDArray[np.float64]:
        """Pixels of points in garment units, (n, 2)."""
        return _warped(points, self.lean, self.middle, self.wobble) @ self.matrix.T + self.shift

    def place_all(self, lines: Sequence[Floats]) -> list[NDArray[np.float64]]:
        """`place` for several lines at once, which costs little more than for one."""
        if not lines:
            return []
        ends = np.cumsum([len(points) for points in lines])
        return np.split(self.place(np.concatenate(lines)), ends[:-1])


def _warped(points: Floats, lean: tuple[float, float], middle: Floats, wobble: Floats) -> NDArray[np.float64]:
    amplitude, fx, fy, px, py = wobble
    x, y = points[:, 0], points[:, 1]
    moved = np.empty((len(points), 2))
    moved[:, 0] = x + amplitude * np.sin(fy * y + px) - middle[0]
    moved[:, 1] = y + amplitude * 0.7 * np.sin(fx * x + py) - middle[1]
    depth: NDArray[np.float64] = 1.0 + lean[0] * moved[:, 0] + lean[1] * moved[:, 1]
    return np.asarray(moved / depth[:, None])


@dataclass(frozen=True, kw_only=True, slots=True)
class Sitting:
    """One garment in front of the camera, before any pixel is painted."""

    product: Product
    view: str
    shape: Shape
    pose: Pose
    placed: tuple[NDArray[np.float64], ...]
    """Outlines of the shape's parts in pixels."""
    hung: bool
    width: int
    height: int
    box: Box
    """Pixels, right and bottom exclusive, cut at the frame."""


def sit(product: Product, seed: int, number: int, width: int, height: int) -> Sitting:
    """Shape and pose of a product's view; cheap, so that boxes are known without painting."""
    view = product.views[number]
    shape = BUILDERS[product.category](product, stream(seed, product.index, 1), back=view == "back")
    rng = stream(seed, product.index, 10 + number)
    hung = view == "hung" or (view in ("front", "back", "detail") and shape.hanger != "" and rng.random() < 0.25)
    outlines = [part.outline for part in shape.parts]
    pose = _pose(np.concatenate(outlines), view, hung, rng, width, height, legible=product.pattern == "printed")
    placed = pose.place_all(outlines)
    return Sitting(
        product=product,
        view=view,
        shape=shape,
        pose=pose,
        placed=tuple(placed),
        hung=hung,
        width=width,
        height=height,
        box=_box(np.concatenate(placed), width, height),
    )


def _pose(
    points: Floats, view: str, hung: bool, rng: np.random.Generator, width: int, height: int, *, legible: bool
) -> Pose:
    """Fit the points into the frame; a legible garment is never mirrored."""
    middle = (points.min(axis=0) + points.max(axis=0)) / 2
    wobble = np.array([rng.uniform(0.004, 0.022), rng.uniform(3, 8), rng.uniform(3, 8), *rng.uniform(0, 6.3, 2)])
    spread = 0.05 if hung else 0.3 if view == "laid" else 0.07
    turn = float(np.clip(rng.normal(0, spread), -0.7, 0.7))
    squeeze, shear = 1.0, float(rng.normal(0, 0.02))
    lean = (float(rng.normal(0, 0.015)), float(rng.normal(-0.02, 0.03)))
    if view == "three-quarter":
        side = 1.0 if rng.random() < 0.5 else -1.0
        squeeze, shear = float(rng.uniform(0.72, 0.86)), side * float(rng.uniform(0.0, 0.06))
        lean = (side * float(rng.uniform(0.08, 0.17)), lean[1])
    flip = -1.0 if rng.random() < 0.5 and view in ("laid", "three-quarter") and not legible else 1.0
    c, s = np.cos(turn), np.sin(turn)
    matrix = np.array([[c, -s], [s, c]]) @ np.array([[squeeze * flip, shear], [0.0, 1.0]])
    flat = _warped(points, lean, middle, wobble) @ matrix.T
    low, high = flat.min(axis=0), flat.max(axis=0)
    size = high - low
    share = float(rng.uniform(0.72, 0.96)) if not hung else float(rng.uniform(0.68, 0.82))
    room = np.array([width * min(0.98, share * 1.12), height * share])
    scale = float((room / size).min()) * (float(rng.uniform(1.3, 1.65)) if view == "detail" else 1.0)
    frame = np.array([width, height], dtype=np.float64)
    spare = np.maximum(frame - size * scale, 0)
    shift = frame / 2 - (low + high) / 2 * scale + spare * rng.uniform(-0.25, 0.25, 2)
    if hung and view != "detail":
        shift[1] = height * float(rng.uniform(0.13, 0.2)) - low[1] * scale
    if view == "detail":
        shift += np.maximum(size * scale - frame, 0) * np.array([rng.uniform(-0.3, 0.3), rng.uniform(0.15, 0.45)])
    return Pose(
        matrix=matrix * scale,
        shift=shift,
        lean=lean,
        middle=middle,
        wobble=wobble,
        scale=scale * float(np.sqrt(squeeze)),
        turn=float(np.arctan2(matrix[1, 0], matrix[0, 0]))
        if flip > 0
        else float(np.arctan2(-matrix[1, 0], -matrix[0, 0])),
    )


def _box(pixels: NDArray[Any], width: int, height: int) -> Box:
    """The frame's part of the points' bounding box, one pixel wider for smoothed edges."""
    low, high = np.floor(pixels.min(axis=0)) - 1, np.ceil(pixels.max(axis=0)) + 1
    return (
        int(np.clip(low[0], 0, width - 1)),
        int(np.clip(low[1], 0, height - 1)),
        int(np.clip(high[0], 1, width)),
        int(np.clip(high[1], 1, height)),
    )
