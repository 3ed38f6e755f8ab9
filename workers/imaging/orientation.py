"""EXIF orientation: reading the one tag that changes pixels, and applying it."""

from __future__ import annotations

import struct
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

_ORIENTATION_TAG: Final = 0x0112
_SHORT: Final = 3
_MAX_ENTRIES: Final = 512
"""Entries of the first directory that are looked at; cameras write a dozen."""

UPRIGHT: Final = 1


def read_orientation(exif: bytes) -> int:
    """The orientation, 1 to 8, that an EXIF block (with or without its `Exif` prefix) states; 1 where it is unreadable.

    Only the first directory is read (TIFF 6.0, section 2; EXIF 2.3, tag 274): a damaged block costs nothing and
    raises nothing, because metadata must not decide over pixels.
    """
    tiff = exif.removeprefix(b"Exif\0\0")
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(tiff[:4])
    if order is None or len(tiff) < 8:
        return UPRIGHT
    (offset,) = struct.unpack_from(order + "I", tiff, 4)
    if offset + 2 > len(tiff):
        return UPRIGHT
    (count,) = struct.unpack_from(order + "H", tiff, offset)
    for entry in range(offset + 2, offset + 2 + 12 * min(count, _MAX_ENTRIES), 12):
        if entry + 12 > len(tiff):
            break
        tag, kind, _, value = struct.unpack_from(order + "HHIH", tiff, entry)
        if tag == _ORIENTATION_TAG:
            return value if kind == _SHORT and 1 <= value <= 8 else UPRIGHT
    return UPRIGHT


def swaps_sides(orientation: int) -> bool:
    """Whether applying the orientation exchanges width and height."""
    return orientation >= 5


def apply_orientation(pixels: NDArray[np.uint8], orientation: int) -> NDArray[np.uint8]:
    """(H, W, 3) pixels turned and mirrored so that they stand upright (EXIF 2.3, tag 274)."""
    if orientation == UPRIGHT:
        return pixels
    if orientation == 2:
        turned = cv2.flip(pixels, 1)
    elif orientation == 3:
        turned = cv2.rotate(pixels, cv2.ROTATE_180)
    elif orientation == 4:
        turned = cv2.flip(pixels, 0)
    elif orientation == 5:
        turned = cv2.transpose(pixels)
    elif orientation == 6:
        turned = cv2.rotate(pixels, cv2.ROTATE_90_CLOCKWISE)
    elif orientation == 7:
        turned = cv2.flip(cv2.transpose(pixels), -1)
    else:
        turned = cv2.rotate(pixels, cv2.ROTATE_90_COUNTERCLOCKWISE)
    return np.asarray(turned, dtype=np.uint8)
