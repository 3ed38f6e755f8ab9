"""A tile's picture: scaled in proportion, its box drawn in, encoded for a page."""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np
import simplejpeg
from numpy.typing import NDArray

from workers.board.tiles import Tile

_BOX_RGB: Final = (255, 122, 0)
_JPEG_QUALITY: Final = 86
"""No block is seen at twice the tile's size; about 50 kB a picture."""


def fitted(tile: Tile, *, width: int, height: int, enlarge: bool) -> NDArray[np.uint8] | None:
    """The picture in its own proportions, as large as fits into `width` x `height` pixels, with the tile's box on it.

    With `enlarge` a smaller picture grows to fit. None where there is no picture.
    """
    if tile.image is None:
        return None
    rows, columns = tile.image.shape[:2]
    scale = min(width / columns, height / rows)
    if not enlarge:
        scale = min(scale, 1.0)
    size = (max(1, round(columns * scale)), max(1, round(rows * scale)))
    way = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    pixels = np.array(cv2.resize(np.ascontiguousarray(tile.image), size, interpolation=way), dtype=np.uint8)
    if tile.box is not None:
        _draw_box(pixels, tile.box)
    return pixels


def jpeg(pixels: NDArray[np.uint8]) -> bytes:
    """Encode (H, W, 3) RGB."""
    data: bytes = simplejpeg.encode_jpeg(np.ascontiguousarray(pixels), quality=_JPEG_QUALITY, colorspace="RGB")
    return data


def _draw_box(pixels: NDArray[np.uint8], box: tuple[float, ...]) -> None:
    """An orange outline between two white ones, seen on any ground; what leaves the picture is cut at its edge."""
    height, width = pixels.shape[:2]
    left, right = (round(min(max(x, 0.0), 1.0) * (width - 1)) for x in (box[0], box[2]))
    top, bottom = (round(min(max(y, 0.0), 1.0) * (height - 1)) for y in (box[1], box[3]))
    for colour, thickness in (((255, 255, 255), 5), (_BOX_RGB, 3)):
        cv2.rectangle(pixels, (left, top), (right, bottom), colour, thickness, cv2.LINE_AA)
