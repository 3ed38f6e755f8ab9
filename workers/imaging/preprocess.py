"""Pixels to the network's input. Training and serving both run this, so that the model sees the same pixels in both."""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from schemas.model_card import Preprocessing
from workers.imaging.decode import Decoded, decode
from workers.imaging.limits import DecodeLimits

_SPARSE: Final = 2
"""Factor of shrinking at which linear interpolation begins to skip source pixels."""


def to_input(decoded: Decoded, preprocessing: Preprocessing) -> NDArray[np.uint8]:
    """The (S, S, 3) uint8 RGB input of the network, C-contiguous and writable, S being the card's `input_size`.

    "squash": each axis is scaled to S on its own, nothing is cropped. Where an axis shrinks to half or less, areas are
    averaged, because anything sparser would skip pixels and alias. Below that factor two linear taps still touch every
    pixel and cost a seventh of averaging (0.06 ms instead of 0.40 ms for 334 x 250 to 224 x 224, for 0.6 dB); a JPEG comes
    out of the scaled decoder mostly there. Growing is linear too, which cannot overshoot.
    """
    size = preprocessing.input_size
    pixels = decoded.pixels
    height, width = pixels.shape[:2]
    if height >= _SPARSE * size or width >= _SPARSE * size:
        # OpenCV averages only where neither axis grows, so an axis that is too short waits for the second pass.
        pixels = _resize(pixels, min(width, size), min(height, size), cv2.INTER_AREA)
    if pixels.shape[:2] != (size, size):
        pixels = _resize(pixels, size, size, cv2.INTER_LINEAR)
    return np.require(pixels, requirements=["C", "W"])


def prepare(data: bytes, preprocessing: Preprocessing, limits: DecodeLimits) -> NDArray[np.uint8]:
    """`decode` and `to_input` in one: an encoded image to the (S, S, 3) uint8 RGB input of the network.

    Raises:
        ItemError: as `decode` does.
    """
    return to_input(decode(data, min_side_px=preprocessing.input_size, limits=limits), preprocessing)


def _resize(pixels: NDArray[np.uint8], width: int, height: int, interpolation: int) -> NDArray[np.uint8]:
    resized: NDArray[np.uint8] = np.asarray(
        cv2.resize(pixels, (width, height), interpolation=interpolation), dtype=np.uint8
    )
    return resized
