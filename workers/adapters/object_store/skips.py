"""Why a listing leaves something out: it has no name or no bytes that could be indexed safely."""

from __future__ import annotations

from collections import Counter
from enum import StrEnum


class SkipReason(StrEnum):
    """What a listing counts instead of returning it."""

    SYMBOLIC_LINK = "symbolic_link"
    """Links inside a folder are never followed: they could leave it, loop, or show one image under many keys."""
    SPECIAL_FILE = "special_file"
    """A FIFO, socket or device: reading it could hang."""
    NAME_NOT_UTF8 = "name_not_utf8"
    """The name has bytes that are no text, so it cannot be a key; rename the file or folder."""
    KEY_TOO_LONG = "key_too_long"
    """Deeper than a key can say; see `MAX_KEY_BYTES`."""
    FOLDER_MARKER = "folder_marker"
    """An object whose key ends with `/`: consoles make them so that an empty "folder" shows."""
    DOT_SEGMENT = "dot_segment"
    """A key with `.` or `..` between slashes: HTTP clients and file systems take it for another place."""


Skips = Counter[SkipReason]


def counts(skips: Skips) -> dict[str, int]:
    """The counter as the port hands it out."""
    return {reason.value: number for reason, number in sorted(skips.items())}
