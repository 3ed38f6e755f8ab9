"""Harmless flaws of whole JPEG files.

libjpeg warns alike of a stray byte between two segments and of a picture that is half grey. Each repair here takes away
or restores something that carries no pixels, and the file must then decode without any warning. What cannot be told
from damage to the picture stays refused.
"""

from __future__ import annotations

import re
from typing import Final

from workers.imaging.jpeg_markers import APP0, SOS, Segment, header_segments

_EXTRANEOUS: Final = re.compile(r"(\d+) extraneous bytes before marker 0x([0-9a-f]{2})")
_END_OF_SCAN: Final = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")
_EOI: Final = b"\xff\xd9"
_SEQUENTIAL: Final = b"\x00\x3f\x00"
"""Spectral selection and approximation that every sequential scan has (T.81, table B.3)."""

_MAX_PADDING: Final = 64
"""Zero bytes before the end marker that count as a writer's padding; more may be a lost part of the picture."""


def mend(data: bytes, warning: str, *, whole_scan: bool) -> bytes | None:
    """The file without the flaw that libjpeg's warning names, or None where it may be damage to the picture.

    Args:
        data: a file whose header `header_segments` walks through without a refusal.
        warning: libjpeg's first warning about it.
        whole_scan: the first scan holds the complete picture (sequential, every component).
    """
    segments = list(header_segments(data))
    extraneous = _EXTRANEOUS.search(warning)
    if extraneous is not None:
        before_end = int(extraneous[2], 16) == _EOI[1]
        return _without_padding(data, segments, int(extraneous[1])) if before_end else _without_junk(data, segments)
    if "Premature end of JPEG file" in warning and whole_scan:
        return _with_end_marker(data, segments)
    if "Invalid SOS parameters" in warning and whole_scan:
        return _patched(data, segments[-1].end - len(_SEQUENTIAL), _SEQUENTIAL)
    if "JFIF revision" in warning:
        return next((_patched(data, s.body + 5, b"\x01") for s in segments if s.code == APP0), None)
    return None


def _without_junk(data: bytes, segments: list[Segment]) -> bytes | None:
    """Drop bytes between header segments."""
    clean = data[:2] + b"".join(data[s.start : s.end] for s in segments) + data[segments[-1].end :]
    return clean if segments[-1].code == SOS and len(clean) < len(data) else None


def _without_padding(data: bytes, segments: list[Segment], count: int) -> bytes | None:
    """Drop `count` zero bytes before the end marker, if these and hardly more are zero.

    Picture data that a damaged picture left over is not all zero, and a zeroed part of a picture is longer than what is
    left over of it.
    """
    end = data.find(_EOI, segments[-1].end)
    if end < 0 or not 0 < count <= _MAX_PADDING:
        return None
    window = data[max(0, end - 2 * _MAX_PADDING) : end]
    zeros = len(window) - len(window.rstrip(b"\0"))
    return data[: end - count] + data[end:] if count <= zeros <= count + 1 else None


def _with_end_marker(data: bytes, segments: list[Segment]) -> bytes | None:
    """Add the end marker that a writer forgot; a picture that was cut off still lacks bits and warns again."""
    if _END_OF_SCAN.search(data, segments[-1].end) is not None:
        return None
    return data.rstrip(b"\xff") + _EOI


def _patched(data: bytes, position: int, value: bytes) -> bytes | None:
    if data[position : position + len(value)] == value:
        return None
    return data[:position] + value + data[position + len(value) :]
