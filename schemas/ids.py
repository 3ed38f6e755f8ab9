"""Names and ids: which are accepted, and how the derived ones are made."""

from __future__ import annotations

import re
import unicodedata
import uuid
from typing import Final

_POINT_NAMESPACE: Final = uuid.uuid5(uuid.NAMESPACE_URL, "urn:catalog-indexer:point")
_CATALOG_NAME: Final = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,46}[a-z0-9])?")
MAX_KEY_BYTES: Final = 1024
"""S3's own limit for an object key."""


def point_id(catalog: str, key: str) -> str:
    """The id of a key's point: the same in every generation, so that a reindexed catalog keeps its ids."""
    return str(uuid.uuid5(_POINT_NAMESPACE, f"{catalog}\x00{key}"))


def check_catalog_name(name: str) -> str:
    """The name itself, when it can name a catalog.

    Raises:
        ValueError: with a sentence that says what is allowed.
    """
    if _CATALOG_NAME.fullmatch(name) is None or "--" in name:
        raise ValueError(
            f"{name!r} cannot name a catalog: use 1 to 48 lower-case letters, digits and single hyphens, as in 'summer-2027'"
        )
    return name


def check_key(key: str) -> str:
    """The key itself, when it can name an object below a source's root.

    Raises:
        ValueError: empty, too long, absolute, or leaving the root.
    """
    if not key or key.startswith("/") or "\x00" in key:
        raise ValueError(f"{key!r} is no key: it is empty, absolute or holds a NUL")
    if any(part in ("", ".", "..") for part in key.split("/")):
        raise ValueError(f"{key!r} is no key: it has an empty, '.' or '..' part")
    if len(key.encode("utf-8", "surrogatepass")) > MAX_KEY_BYTES:
        raise ValueError(f"a key of {len(key)} characters is longer than {MAX_KEY_BYTES} bytes")
    if any(unicodedata.category(c) == "Cs" for c in key):
        raise ValueError(f"{key!r} is no key: it is not valid Unicode")
    return key


def collection_name(catalog: str, generation: int) -> str:
    """The collection of a catalog's generation; unambiguous, since a catalog name holds no double hyphen."""
    return f"{catalog}--g{generation}"


def new_id() -> str:
    """A fresh random id for jobs, batches and tokens (UUID 4 in 32 hexadecimal digits)."""
    return uuid.uuid4().hex
