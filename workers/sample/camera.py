"""What the camera adds: white balance, exposure, contrast, softness and the sensor's noise."""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from workers.sample.brush import Pixels


def developed(scene: Pixels, rng: np.random.Generator) -> Pixels:
    """White balance, exposure, contrast, now and then a soft lens, and the sensor's noise."""
    height, width = scene.shape[:2]
    if rng.random() < 0.2:
        scene = np.asarray(cv2.GaussianBlur(scene, (3, 3), float(rng.uniform(0.5, 0.9))), np.uint8)
    warmth = float(rng.normal(0, 0.035))
    gains = np.array([1 + warmth, 1 + float(rng.normal(0, 0.01)), 1 - warmth]) * float(
        np.clip(rng.normal(0.98, 0.08), 0.75, 1.12)
    )
    gamma = float(rng.uniform(0.88, 1.12))
    ramp = (np.arange(256)[:, None] / 255 * gains[None, :]) ** gamma * 255
    scene = np.asarray(cv2.LUT(scene, np.clip(ramp, 0, 255).astype(np.uint8).reshape(1, 256, 3)), np.uint8)
    grain = _noise(width, height, int(rng.integers(3)))
    x, y = (int(v) for v in rng.integers(0, 65, 2))
    return np.asarray(cv2.add(scene, grain[y : y + height, x : x + width], dtype=cv2.CV_8U), np.uint8)


@lru_cache(maxsize=6)
def _noise(width: int, height: int, level: int) -> NDArray[np.int16]:
    rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence((33, level))))
    sigma = (1.2, 2.6, 4.5)[level]
    shape = (height + 64, width + 64)
    luma = rng.normal(0, sigma, (*shape, 1)).astype(np.float32)
    chroma = cv2.GaussianBlur(rng.normal(0, sigma, (*shape, 3)).astype(np.float32), (0, 0), 1.0)
    return np.asarray(np.round(luma + chroma), np.int16)
