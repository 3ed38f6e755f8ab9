"""Pixels to the network's input. Training and serving both run this, so that the model sees the same pixels in both."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from schemas.model_card import Preprocessing
from workers.errors import ContractError
from workers.imaging.decode import Decoded, decode
from workers.imaging.limits import DecodeLimits

Crop = tuple[float, float, float, float]
"""x1, y1, x2, y2 as shares of a picture's width and height, after its orientation was applied."""

_NARROWEST: Final = 0.01
"""Share of a side below which a crop is a slip of the hand; it also bounds how large a picture is decoded for a crop."""
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


def prepare(
    data: bytes, preprocessing: Preprocessing, limits: DecodeLimits, *, crop: Crop | None = None
) -> NDArray[np.uint8]:
    """`decode` and `to_input` in one: an encoded image, or a part of it, to the (S, S, 3) uint8 RGB input of the network.

    Args:
        data: The encoded image.
        preprocessing: As the card says.
        limits: Bounds on what is decoded.
        crop: x1, y1, x2, y2 as shares of the upright picture's width and height. It is cut out before anything is resized,
            and a JPEG is scaled down while decoding only so far that the part keeps the network's resolution.

    Raises:
        ItemError: as `decode` does.
        ContractError: the crop is none, or holds too few pixels of this picture.
    """
    if crop is None:
        return to_input(decode(data, min_side_px=preprocessing.input_size, limits=limits), preprocessing)
    check_crop(crop)
    side = math.ceil(preprocessing.input_size / min(crop[2] - crop[0], crop[3] - crop[1]))
    return to_input(cut_out(decode(data, min_side_px=side, limits=limits), crop, limits), preprocessing)


def check_crop(crop: Crop) -> None:
    """Judge a crop without its picture.

    Raises:
        ContractError: a number that is no share, or no area between them.
    """
    x1, y1, x2, y2 = crop
    if not (0.0 <= x1 < x2 <= 1.0 and 0.0 <= y1 < y2 <= 1.0):
        shown = ", ".join(f"{share:g}" for share in crop)
        raise ContractError(
            f"the crop {shown} is no part of a picture: x1, y1, x2, y2 go from 0 to 1, x1 < x2 and y1 < y2"
        )
    if min(x2 - x1, y2 - y1) < _NARROWEST:
        raise ContractError(f"the crop is narrower than a {1 / _NARROWEST:.0f}th of the picture; draw a larger one")


def cut_out(decoded: Decoded, crop: Crop, limits: DecodeLimits) -> Decoded:
    """The part of a decoded picture that a crop names, to the next whole pixels outwards.

    Raises:
        ContractError: the part has a side of fewer than `limits.min_side` pixels of the original.
    """
    x1, y1, x2, y2 = crop
    width, height = round((x2 - x1) * decoded.width), round((y2 - y1) * decoded.height)
    if min(width, height) < limits.min_side:
        raise ContractError(
            f"the crop holds {width} x {height} of the picture's {decoded.width} x {decoded.height} pixels; "
            f"both sides need {limits.min_side} or more"
        )
    rows, columns = decoded.pixels.shape[:2]
    part = decoded.pixels[
        math.floor(y1 * rows) : math.ceil(y2 * rows), math.floor(x1 * columns) : math.ceil(x2 * columns)
    ]
    return replace(decoded, pixels=part, width=width, height=height)


def _resize(pixels: NDArray[np.uint8], width: int, height: int, interpolation: int) -> NDArray[np.uint8]:
    resized: NDArray[np.uint8] = np.asarray(
        cv2.resize(pixels, (width, height), interpolation=interpolation), dtype=np.uint8
    )
    return resized
