"""The segments of a JPEG file before its picture data (ITU-T T.81, annex B)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from schemas.outcomes import Reason
from workers.errors import ItemError

APP0: Final = 0xE0
APP1: Final = 0xE1
APP14: Final = 0xEE
SOS: Final = 0xDA
EOI: Final = 0xD9

MAX_SEGMENTS: Final = 10_000
"""Segments walked through. The longest profile takes 255 and 32 MiB of extended XMP 512; a bomb has millions."""

_MARKER: Final = re.compile(rb"\xff[^\x00\xff]")
"""The last fill byte and the marker behind it: what libjpeg finds too, whatever junk lies before (T.81, B.1.1.2)."""


@dataclass(frozen=True, slots=True)
class Segment:
    """One segment. `data[start:end]` is all of it, `data[body:end]` its parameters."""

    code: int
    start: int
    body: int
    end: int


def header_segments(data: bytes) -> Iterator[Segment]:
    """Every segment from behind the start marker to the first scan's header, which comes last.

    Raises:
        ItemError: truncated (the file ends before a scan begins) or corrupt.
    """
    position = 2
    for _ in range(MAX_SEGMENTS):
        found = _MARKER.search(data, position)
        if found is None:
            raise ItemError(Reason.TRUNCATED, "the file ends within its header")
        start, position = found.span()
        code = data[position - 1]
        if code == 0x01 or 0xD0 <= code <= 0xD8:  # markers that stand alone
            continue
        if code == EOI:
            raise ItemError(Reason.CORRUPT, "a header and no picture")
        body = position + 2
        position += max(2, int.from_bytes(data[position:body], "big"))
        if position > len(data):
            raise ItemError(Reason.TRUNCATED, "the file ends within its header")
        yield Segment(code, start, body, position)
        if code == SOS:
            return
    raise ItemError(Reason.CORRUPT, f"more than {MAX_SEGMENTS:,} header segments")
