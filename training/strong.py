"""Strong augmentation: a few operations out of a list, each of random strength (after Cubuk et al. 2020, RandAugment).

Geometry is not among them: `training.augment` does that once, and boxes follow it. Colours change little by little there
and violently here, because a garment's category survives it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import cv2
import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
Operation = Callable[[Pixels, float], Pixels]
_LEVELS = np.arange(256, dtype=np.float64)


def strengthen(pixels: Pixels, count: int, rng: np.random.Generator) -> Pixels:
    """(H, W, 3) RGB pixels after `count` operations drawn from the list, with strengths drawn from 0..1."""
    for index in rng.integers(0, len(OPERATIONS), count):
        pixels = OPERATIONS[index](pixels, float(rng.random()))
    return pixels


def posterise(pixels: Pixels, strength: float) -> Pixels:
    """Keep 7 down to 3 bits of every channel."""
    keep = 7 - round(4 * strength)
    return _looked_up(pixels, (_LEVELS.astype(np.int64) >> (8 - keep)) << (8 - keep))


def solarise(pixels: Pixels, strength: float) -> Pixels:
    """Turn values above a threshold, 255 down to 128, into their negatives."""
    threshold = 255 - 127 * strength
    return _looked_up(pixels, np.where(threshold < _LEVELS, 255 - _LEVELS, _LEVELS))


def equalise(pixels: Pixels, strength: float) -> Pixels:
    """Mix in the picture whose channels have flat histograms."""
    flat = np.stack([cv2.equalizeHist(np.ascontiguousarray(pixels[..., c])) for c in range(3)], axis=-1)
    return cast(Pixels, cv2.addWeighted(pixels, 1 - strength, flat, strength, 0))


def stretch(pixels: Pixels, strength: float) -> Pixels:
    """Mix in the picture whose darkest and brightest values are 0 and 255."""
    low, high = float(pixels.min()), float(pixels.max())
    full = (_LEVELS - low) * 255 / max(high - low, 1.0)
    return _looked_up(pixels, (1 - strength) * _LEVELS + strength * full)


def sharpen(pixels: Pixels, strength: float) -> Pixels:
    """Add up to twice what a blur takes away."""
    soft = cv2.GaussianBlur(pixels, (0, 0), 1.0)
    return cast(Pixels, cv2.addWeighted(pixels, 1 + 2 * strength, soft, -2 * strength, 0))


def grey(pixels: Pixels, strength: float) -> Pixels:
    """Mix in the picture without colour: the cut has to do."""
    colourless = cv2.cvtColor(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    return cast(Pixels, cv2.addWeighted(pixels, 1 - strength, colourless, strength, 0))


OPERATIONS: tuple[Operation, ...] = (posterise, solarise, equalise, stretch, sharpen, grey)


def _looked_up(pixels: Pixels, table: NDArray[np.generic]) -> Pixels:
    return cast(Pixels, cv2.LUT(pixels, np.clip(table, 0, 255).astype(np.uint8)))
