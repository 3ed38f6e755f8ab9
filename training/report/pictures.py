"""Images on the page: found, decoded as serving does it, made small, and kept inside the page."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from training.datasets.record import Record
from workers.errors import ItemError
from workers.imaging.decode import decode
from workers.imaging.limits import DecodeLimits

SIDE_PX: Final = 288
"""Longer side of a stored picture: about twice what it measures on the page, for dense screens."""
_MAX_BYTES: Final = 22_000
"""Of one picture. With at most 222 pictures (`page`) a report stays under 8 MB, whatever the images hold."""
_QUALITIES: Final = (80, 65, 45, 25, 10)
"""Tried in turn until a picture fits; the first one nearly always does, at 6 to 12 kB."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Picture:
    """An image as the template takes it."""

    source: str | None
    """Data URI; None: the image could not be had."""
    width: int
    height: int
    """Pixels of what is stored; 3 : 4 where there is nothing."""
    alt: str


class Pictures:
    """The images of a run's records."""

    def __init__(self, records: Mapping[tuple[str, str], Record]) -> None:
        """Take records by source and name; those that are not there show as missing."""
        self._records = records

    def record(self, source: str, name: str) -> Record | None:
        """What the data set knows of an image, or None."""
        return self._records.get((source, name))

    def pixels(self, source: str, name: str, *, side_px: int = SIDE_PX) -> NDArray[np.uint8] | None:
        """(H, W, 3) RGB in its own proportions, the longer side at most `side_px`; None if it cannot be had."""
        record = self.record(source, name)
        if record is None:
            return None
        try:
            decoded = decode(record.read(), min_side_px=side_px, limits=DecodeLimits())
        except (OSError, ItemError):
            return None
        return fitted(decoded.pixels, side_px)

    def picture(self, source: str, name: str, *, alt: str) -> Picture:
        """The image, ready for the page."""
        pixels = self.pixels(source, name)
        if pixels is None:
            return Picture(source=None, width=3, height=4, alt=f"{alt}: picture not at hand")
        return embedded(pixels, alt=alt)


def fitted(pixels: NDArray[np.uint8], side_px: int) -> NDArray[np.uint8]:
    """Scaled down in proportion until the longer side is `side_px`; never up."""
    height, width = pixels.shape[:2]
    scale = min(side_px / max(height, width), 1.0)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)


def embedded(pixels: NDArray[np.uint8], *, alt: str) -> Picture:
    """(H, W, 3) RGB as a WebP inside the page, of at most 22 kB."""
    height, width = pixels.shape[:2]
    data = next((d for d in (_webp(pixels, q) for q in _QUALITIES) if len(d) <= _MAX_BYTES), None)
    if data is None:  # noise at full size: smaller until it fits
        return embedded(fitted(pixels, max(height, width) // 2), alt=alt)
    source = f"data:image/webp;base64,{base64.b64encode(data).decode()}"
    return Picture(source=source, width=width, height=height, alt=alt)


def _webp(pixels: NDArray[np.uint8], quality: int) -> bytes:
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "WEBP", quality=quality, method=4)
    return buffer.getvalue()
