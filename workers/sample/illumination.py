"""Light that falls on the scene, and the shadow a garment casts on its backdrop, as brightness factors."""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from workers.sample.brush import Mask, Pixels

Field = NDArray[np.float32]


def room_light(width: int, height: int, rng: np.random.Generator) -> Field:
    """A window's gradient and a lamp's or flash's spot."""
    x, y = _grid(width, height)
    ax, ay = rng.normal(0, 0.09, 2)
    cx, cy = rng.uniform(-0.5, 0.5, 2)
    spot = float(rng.uniform(0.0, 0.1))
    return np.asarray((1 + spot * 0.4 + ax * x - spot * (x - cx) ** 2) + (ay * y - spot * (y - cy) ** 2), np.float32)


@lru_cache(maxsize=4)
def _grid(width: int, height: int) -> tuple[Field, Field]:
    x = np.linspace(-1, 1, width, dtype=np.float32)[None, :]
    y = np.linspace(-1, 1, height, dtype=np.float32)[:, None]
    return x, y


def cast_shadow(mask: Mask, hung: bool, width: int, height: int, rng: np.random.Generator) -> Field:
    """Brightness left on the backdrop by the garment's shadow: a tight one where it touches, a soft one around."""
    small = cv2.resize(mask, (width // 2, height // 2), interpolation=cv2.INTER_AREA)
    near, far = (3.0, 9.0) if hung else (1.2, 5.0)
    near, far = near * width / 192, far * width / 192
    dx, dy = float(rng.normal(0, 2.0)), float(rng.uniform(0.6, 3.2))
    if hung:
        dx, dy = dx * 2.2, dy * 2.0
    move = np.array([[1, 0, dx * width / 192], [0, 1, dy * width / 192]])
    moved = np.asarray(cv2.warpAffine(small, move, (small.shape[1], small.shape[0])), np.uint8)
    tight, wide = (_softened(moved, reach).astype(np.float32) for reach in (near, far))
    depth = float(rng.uniform(0.25, 0.55))
    left = 1 - (tight * (depth * 0.6) + wide * (depth * 0.55)) * (1 / 255)
    return np.asarray(cv2.resize(left, (width, height), interpolation=cv2.INTER_LINEAR), np.float32)


def _softened(mask: Pixels, sigma: float) -> Pixels:
    """About a Gaussian blur, by three box filters: their cost does not grow with the width."""
    side = 2 * max(1, round(sigma)) + 1
    for _ in range(3):
        mask = np.asarray(cv2.blur(mask, (side, side)), np.uint8)
    return mask
