"""WebP: the canvas and the length that its header states, read before a decoder allocates for them."""

from __future__ import annotations

import struct

from schemas.outcomes import Reason
from workers.errors import ItemError


def read_webp_size(data: bytes) -> tuple[int, int]:
    """Width and height of the canvas (RFC 9649, sections 2.5 to 2.7; RFC 6386, section 9.1).

    Raises:
        ItemError: truncated or corrupt.
    """
    if len(data) < 30:
        raise ItemError(Reason.TRUNCATED, "the file ends within its header")
    (riff_size,) = struct.unpack_from("<I", data, 4)
    if riff_size + 8 > len(data) + 1:  # the padding byte of an odd last chunk is often left out
        raise ItemError(Reason.TRUNCATED, f"{riff_size + 8:,} bytes announced, {len(data):,} there")
    chunk = data[12:16]
    if chunk == b"VP8X":
        return 1 + int.from_bytes(data[24:27], "little"), 1 + int.from_bytes(data[27:30], "little")
    if chunk == b"VP8L" and data[20] == 0x2F:
        bits = int.from_bytes(data[21:25], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    if chunk == b"VP8 " and data[23:26] == b"\x9d\x01\x2a":
        width, height = struct.unpack_from("<HH", data, 26)
        return width & 0x3FFF, height & 0x3FFF
    raise ItemError(Reason.CORRUPT, f"the first chunk, {chunk!r}, is no picture")
