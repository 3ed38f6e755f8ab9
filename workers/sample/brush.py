"""Laying one picture over another, and lines with smooth edges."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from workers.sample.assortment import Rgb
from workers.sample.outline import Floats

Pixels = NDArray[np.uint8]
Mask = NDArray[np.uint8]


def blend(below: Pixels, above: Pixels, mask: Mask) -> None:
    """Lay `above` over `below`, in place, as far as the mask (0..255) lets it cover."""
    weight = cv2.cvtColor(mask, cv2.COLOR_GRAY2BGR)
    upper = cv2.multiply(above, weight, scale=1 / 255)
    lower = cv2.multiply(below, cv2.bitwise_not(weight), scale=1 / 255)
    below[:] = cv2.add(upper, lower)


def polyline(
    picture: Pixels | Mask, points: Floats, colour: Rgb | int, thickness: int, *, closed: bool = False
) -> None:
    """Draw a line through points in pixels, in place, with smooth edges; thickness in pixels."""
    cv2.polylines(picture, [np.round(points * 16).astype(np.int32)], closed, colour, thickness, cv2.LINE_AA, 4)
