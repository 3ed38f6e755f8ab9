"""Small pictures of large ones, for people to look at."""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np
import simplejpeg

from workers.imaging.decode import DecodeLimits, decode

QUALITY: Final = 82
"""Of JPEG: no artefacts that a person sees at this size, some 25 kB."""


def thumbnail(data: bytes, *, side_px: int, limits: DecodeLimits) -> bytes:
    """A JPEG of an encoded picture, upright and at most `side_px` pixels a side; a smaller picture keeps its size.

    Raises:
        ItemError: the picture cannot be decoded; the reason says why.
    """
    pixels = decode(data, min_side_px=side_px, limits=limits).pixels
    height, width = pixels.shape[:2]
    scale = side_px / max(height, width)
    if scale < 1.0:
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        pixels = np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)
    jpeg: bytes = simplejpeg.encode_jpeg(np.ascontiguousarray(pixels), quality=QUALITY, colorspace="RGB")
    return jpeg
