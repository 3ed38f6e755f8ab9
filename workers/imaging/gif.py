"""GIF: its blocks, cut down to the first frame, so that comments and later frames cost nothing."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final

from schemas.outcomes import Reason
from workers.errors import ItemError

_EXTENSION: Final = 0x21
_IMAGE: Final = 0x2C
_TRAILER: Final = 0x3B
_GRAPHIC_CONTROL: Final = 0xF9
_MAX_SUB_BLOCKS: Final = 262_144
"""Sub-blocks walked through: 32 MiB in full ones of 255 bytes are 131,586."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PlainGif:
    """A GIF with one frame and no comments."""

    data: bytes
    width: int
    height: int
    """The canvas, extended where the frame reaches beyond it."""


def read_gif(data: bytes) -> PlainGif:
    """Keep the screen, its palette, and the first frame with its transparency (GIF89a, appendix B).

    Raises:
        ItemError: truncated or corrupt.
    """
    if len(data) < 13:
        raise _truncated()
    width, height, flags = struct.unpack_from("<HHB", data, 6)
    position = 13 + _palette_size(flags)
    screen, control = data[:position], b""
    budget = _MAX_SUB_BLOCKS
    while position < len(data):
        start, introducer = position, data[position]
        if introducer == _EXTENSION:
            position, budget = _skip_sub_blocks(data, position + 2, budget)
            if data[start + 1] == _GRAPHIC_CONTROL:
                control = data[start:position]
        elif introducer == _IMAGE:
            if start + 10 > len(data):
                raise _truncated()
            left, top, frame_width, frame_height, flags = struct.unpack_from("<4HB", data, start + 1)
            if frame_width == 0 or frame_height == 0:
                raise ItemError(Reason.CORRUPT, "the first frame has no area")
            position, _ = _skip_sub_blocks(data, start + 11 + _palette_size(flags), budget)
            return PlainGif(
                data=screen + control + data[start:position] + bytes([_TRAILER]),
                width=max(width, left + frame_width),
                height=max(height, top + frame_height),
            )
        elif introducer == _TRAILER:
            raise ItemError(Reason.CORRUPT, "a header and no picture")
        else:
            raise ItemError(Reason.CORRUPT, f"byte {introducer:02x} begins no block")
    raise _truncated()


def _skip_sub_blocks(data: bytes, position: int, budget: int) -> tuple[int, int]:
    """The position behind a chain of sub-blocks, and how many more may be walked through."""
    while budget > 0:
        if position >= len(data):
            raise _truncated()
        size = data[position]
        position += 1 + size
        budget -= 1
        if size == 0:
            return position, budget
    raise ItemError(Reason.CORRUPT, f"more than {_MAX_SUB_BLOCKS:,} blocks before the end of the first frame")


def _palette_size(flags: int) -> int:
    return 3 << ((flags & 7) + 1) if flags & 0x80 else 0


def _truncated() -> ItemError:
    return ItemError(Reason.TRUNCATED, "the file ends before the first frame does")
