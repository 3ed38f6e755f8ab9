"""Boxes in pixels to shares of the image, which stay right whatever size an image is decoded at."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Final

Box = tuple[float, float, float, float]
"""x1, y1, x2, y2: left, top, right and bottom, right and bottom exclusive."""
Size = tuple[int, int]
"""Width and height in pixels, orientation applied."""

_OVERSHOOT_PX: Final = 1.5
"""Tables count pixels from 0 or from 1, up to or behind the last one, and round: a box may be that far outside."""
_OVERSHOOT_SHARE: Final = 0.005
"""The same for boxes that come as shares: a pixel and a half of 300."""
_ORIENTATION: Final = 0x0112
_FORMATS: Final = ("JPEG", "PNG", "WEBP", "GIF", "AVIF")
_CHUNK: Final = 1024
_HEADERS_AT_ONCE: Final = 8
"""Threads that wait for the disk; reading a header takes next to no computing."""


def share_box(box: Box, size: Size) -> Box:
    """A box in pixels as shares of its image.

    Raises:
        ValueError: no area, not finite or more than a rounding outside the image; the text says which.
    """
    width, height = size
    _check_area(box)
    x1, y1, x2, y2 = box
    outside = max(-x1, -y1, x2 - width, y2 - height)
    if outside > _OVERSHOOT_PX:
        raise ValueError(f"the box {_shown(box)} lies up to {outside:g} pixels outside the {width} x {height} image")
    return _clipped((x1 / width, y1 / height, x2 / width, y2 / height), box)


def checked_shares(box: Box) -> Box:
    """A box that came as shares.

    Raises:
        ValueError: no area, not finite or more than a rounding outside 0..1.
    """
    _check_area(box)
    if min(box) < -_OVERSHOOT_SHARE or max(box) > 1 + _OVERSHOOT_SHARE:
        raise ValueError(f"the box {_shown(box)} lies outside the image: shares are from 0 to 1")
    return _clipped(box, box)


def image_sizes(paths: Iterable[Path]) -> Iterator[Size | None]:
    """The size each image's header states, in the order of `paths`; None where there is no readable header.

    Nothing is decoded: some 10,000 headers a second from a warm disk, so 300,000 images take half a minute.
    """
    rest = iter(paths)
    with ThreadPoolExecutor(max_workers=_HEADERS_AT_ONCE) as pool:
        while chunk := list(islice(rest, _CHUNK)):
            yield from pool.map(_image_size, chunk)


def _image_size(path: Path) -> Size | None:
    from PIL import Image

    try:
        with Image.open(os.fspath(path), formats=_FORMATS) as image:
            width, height = image.size
            return (height, width) if image.getexif().get(_ORIENTATION, 1) >= 5 else (width, height)
    except (OSError, ValueError, SyntaxError, TypeError, Image.DecompressionBombError):
        return None  # whoever decodes it says why


def _check_area(box: Box) -> None:
    if not all(map(math.isfinite, box)):
        raise ValueError(f"the box {_shown(box)} is no four finite numbers")
    if box[2] <= box[0] or box[3] <= box[1]:
        raise ValueError(f"the box {_shown(box)} has no area: x1 < x2 and y1 < y2 are needed")


def _clipped(shares: Box, box: Box) -> Box:
    x1, y1, x2, y2 = (min(1.0, max(0.0, share)) for share in shares)
    if x2 <= x1 or y2 <= y1:
        raise ValueError(f"the box {_shown(box)} lies outside the image")
    return x1, y1, x2, y2


def _shown(box: Box) -> str:
    return "(" + ", ".join(f"{side:g}" for side in box) + ")"
