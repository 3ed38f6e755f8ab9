"""PNG: its chunks, cut down to those that make pixels.

Text, profiles and animation chunks never reach the decoder: they may be larger than the picture (or expand to be), and a
flaw in them is no flaw of the picture.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from typing import Final

from schemas.outcomes import Reason
from workers.errors import ItemError
from workers.imaging.orientation import UPRIGHT, read_orientation

_SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"
_PIXEL_CHUNKS: Final = frozenset({b"IHDR", b"PLTE", b"tRNS", b"IDAT"})
_MAX_CHUNKS: Final = 65_536
"""Chunks walked through: 32 MiB in the usual 8 KiB pieces are 4,096; a bomb has millions."""
_TRUECOLOUR: Final = 2
_PALETTE: Final = 3


@dataclass(frozen=True, kw_only=True, slots=True)
class PlainPng:
    """A still PNG with nothing but pixels in it."""

    data: bytes
    width: int
    height: int
    orientation: int


def read_png(data: bytes) -> PlainPng:
    """Check the structure and keep the header, palette, transparency and picture chunks.

    Of an animation, the picture that viewers without animation show stays.

    Raises:
        ItemError: truncated, corrupt or unsupported_format (Apple's private variant).
    """
    chunks: dict[bytes, list[bytes]] = {}
    position = len(_SIGNATURE)
    for _ in range(_MAX_CHUNKS):
        if position == len(data) and b"IDAT" in chunks:
            break  # only the end marker is missing; the picture data speak for themselves
        if position + 12 > len(data):
            raise ItemError(Reason.TRUNCATED, "the file ends within its chunks")
        length, kind = struct.unpack_from(">I4s", data, position)
        body = data[position + 8 : position + 8 + length]
        if position + 12 + length > len(data):
            raise ItemError(Reason.TRUNCATED, "the file ends within its chunks")
        _check_chunk(kind, body, data[position + 8 + length : position + 12 + length], first=not chunks)
        if kind == b"IEND":
            break
        if kind in _PIXEL_CHUNKS or kind == b"eXIf":
            chunks.setdefault(kind, []).append(body)
        position += 12 + length
    else:
        raise ItemError(Reason.CORRUPT, f"more than {_MAX_CHUNKS:,} chunks")
    return _plain(chunks)


def _check_chunk(kind: bytes, body: bytes, checksum: bytes, *, first: bool) -> None:
    if kind == b"CgBI":
        raise ItemError(Reason.UNSUPPORTED_FORMAT, "Apple's private variant of PNG (CgBI)")
    if first and (kind != b"IHDR" or len(body) != 13):
        raise ItemError(Reason.CORRUPT, "the first chunk is no header")
    if kind in _PIXEL_CHUNKS and zlib.crc32(body, zlib.crc32(kind)) != int.from_bytes(checksum, "big"):
        raise ItemError(Reason.CORRUPT, f"the checksum of a {kind.decode('ascii')} chunk is wrong")


def _plain(chunks: dict[bytes, list[bytes]]) -> PlainPng:
    if b"IDAT" not in chunks:
        raise ItemError(Reason.CORRUPT, "a header and no picture")
    header = chunks[b"IHDR"][0]
    width, height, depth, colour = struct.unpack_from(">IIBB", header)
    parts = [_SIGNATURE, _chunk(b"IHDR", header)]
    if colour == _PALETTE and b"PLTE" not in chunks:
        raise ItemError(Reason.CORRUPT, "a palette picture without its palette")
    if b"PLTE" in chunks:
        parts.append(_chunk(b"PLTE", chunks[b"PLTE"][0]))
    if b"tRNS" in chunks:
        transparency = chunks[b"tRNS"][0]
        if (
            depth == 16 and colour == _TRUECOLOUR
        ):  # the decoder keeps the upper 8 bits, so the colour key has to as well
            transparency = b"".join(b"\0" + transparency[i : i + 1] for i in (0, 2, 4))
        parts.append(_chunk(b"tRNS", transparency))
    parts += [_chunk(b"IDAT", b"".join(chunks[b"IDAT"])), _chunk(b"IEND", b"")]
    orientation = read_orientation(chunks[b"eXIf"][0]) if b"eXIf" in chunks else UPRIGHT
    return PlainPng(data=b"".join(parts), width=width, height=height, orientation=orientation)


def _chunk(kind: bytes, body: bytes) -> bytes:
    return b"".join((struct.pack(">I", len(body)), kind, body, struct.pack(">I", zlib.crc32(body, zlib.crc32(kind)))))
