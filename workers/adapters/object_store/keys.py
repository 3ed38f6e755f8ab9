"""Which keys can name an object. Keys also come from messages, so they are not to be trusted."""

from __future__ import annotations

from schemas.outcomes import Reason
from workers.errors import ItemError

MAX_KEY_BYTES = 1024
"""Of a key in UTF-8: S3's and Google's limit, applied to folders too (Postgres cannot index more than some 2,700)."""

_DOTS = frozenset({".", ".."})
_FIRST_PRINTABLE = 0x20
_DELETE = 0x7F


def has_dot_segment(key: str) -> bool:
    """Whether a `.` or `..` stands between slashes: such a path may be taken for another one on its way."""
    return not _DOTS.isdisjoint(key.split("/"))


def check_key(key: str) -> None:
    """Refuse a key that no listing of ours can have named.

    Raises:
        ItemError: access_denied for one that points elsewhere, vanished for one that can name nothing.
    """
    if has_dot_segment(key):
        raise ItemError(Reason.ACCESS_DENIED, f"the key {key!r} has '.' or '..' between slashes and is refused")
    try:
        length = len(key.encode())
    except UnicodeEncodeError:
        raise ItemError(Reason.VANISHED, f"the key {key!r} is no UTF-8 text, so no object can have it") from None
    if not key or key.endswith("/"):
        raise ItemError(Reason.VANISHED, f"the key {key!r} names a folder, not an object")
    if "\0" in key:
        raise ItemError(Reason.VANISHED, f"the key {key!r} has a zero byte, so no object can have it")
    if length > MAX_KEY_BYTES:
        raise ItemError(
            Reason.VANISHED, f"the key {key[:80]!r}... has {length} bytes; a key has at most {MAX_KEY_BYTES}"
        )


def is_plain(key: str) -> bool:
    """Whether obstore can address this key: no empty or dotted segment, no control character.

    Its path type refuses the others, silently drops a leading slash, and ends a whole listing at the first of them.
    """
    segments = key.split("/")
    return all(segments) and _DOTS.isdisjoint(segments) and not any(map(_is_control, key))


def _is_control(character: str) -> bool:
    return ord(character) < _FIRST_PRINTABLE or ord(character) == _DELETE
