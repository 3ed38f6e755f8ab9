"""AVIF: the canvas and the length that its boxes state, read before a decoder sees them.

libavif believes these figures too, except that it decodes a picture that is larger inside than its boxes say and scales it
down. Its own bound of 16,384 x 16,384 pixels holds for that, whatever the limits here.
"""

from __future__ import annotations

import re

from schemas.outcomes import Reason
from workers.errors import ItemError

_EXTENT = re.compile(rb"ispe\0{4}(.{4})(.{4})", re.DOTALL)
"""The image spatial extents property (ISO/IEC 23008-12, 6.5.3), version and flags 0."""


def read_avif_size(data: bytes) -> tuple[int, int]:
    """Width and height of the largest picture that the header describes: of a grid the whole, not its tiles.

    Raises:
        ItemError: truncated or corrupt.
    """
    position = 0
    sizes: list[tuple[int, int]] = []
    seen: set[bytes] = set()
    while position < len(data) and not {b"meta", b"mdat"} <= seen:  # what follows the picture does not matter
        kind, end = _box(data, position)
        seen.add(kind)
        if kind == b"meta":
            for width, height in _EXTENT.findall(data, position, end):
                sizes.append((int.from_bytes(width, "big"), int.from_bytes(height, "big")))
        position = end
    if not sizes:
        raise ItemError(Reason.CORRUPT, "no box states the picture's size")
    return max(sizes, key=lambda size: size[0] * size[1])


def _box(data: bytes, position: int) -> tuple[bytes, int]:
    """Kind and end of a box (ISO/IEC 14496-12, 4.2)."""
    header = data[position : position + 16]
    length = int.from_bytes(header[:4], "big")
    if length == 1:
        length = int.from_bytes(header[8:16], "big")
    elif length == 0:
        length = len(data) - position
    if len(header) < 8 or position + length > len(data):
        raise ItemError(Reason.TRUNCATED, f"{position + length:,} bytes announced, {len(data):,} there")
    if length < 8:
        raise ItemError(Reason.CORRUPT, f"a box of {length} bytes")
    return header[4:8], position + length
