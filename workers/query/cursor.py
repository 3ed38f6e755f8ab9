"""Cursors: where the next page of an answer begins, in a word that only makes sense for the same query.

A cursor names the collection it counts in and a digest of the query, so that pages of different questions never mix.
It carries no secret and needs no store: whoever makes one up sees nothing that a query would not have shown.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from workers.errors import ContractError

_DIGEST_BYTES = 12


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """Where a page begins."""

    offset: int
    """Hits before it."""
    pool: int | None = None
    """Candidates that a diverse answer's pages choose among."""


def write_cursor(place: Place, *, collection: str, query: str) -> str:
    """The cursor of a place in the answer to a query (its `query_digest`) in a collection."""
    data: dict[str, Any] = {"c": collection, "q": query, "o": place.offset}
    if place.pool is not None:
        data["p"] = place.pool
    return base64.urlsafe_b64encode(json.dumps(data, separators=(",", ":")).encode()).rstrip(b"=").decode()


def read_cursor(text: str, *, collection: str, query: str, deepest: int) -> Place:
    """The place a cursor names.

    Raises:
        ContractError: it is none, or belongs to another query, or the catalog was indexed anew since.
    """
    data = _decoded(text)
    if data.get("c") != collection:
        raise ContractError(
            "this cursor is of another catalog, or the catalog was indexed anew since; start again without"
        )
    if data.get("q") != query:
        raise ContractError("this cursor is of another query; start again without one")
    offset, pool = _count(data.get("o"), deepest), _count(data.get("p"), deepest + 1)
    if offset is None or (pool is None and "p" in data):
        raise ContractError("this is no cursor that a search gave; start again without one")
    return Place(offset=offset, pool=pool)


def query_digest(parts: Mapping[str, object]) -> str:
    """A short digest of whatever decides an answer's order; bytes count by their content."""
    ordered = sorted(parts.items())
    words = [(name, len(value) if isinstance(value, bytes) else value) for name, value in ordered]
    digest = hashlib.sha256(repr(words).encode())
    for _, value in ordered:
        if isinstance(value, bytes):
            digest.update(value)
    return base64.urlsafe_b64encode(digest.digest()[:_DIGEST_BYTES]).decode()


def _decoded(text: str) -> dict[str, Any]:
    try:
        data = json.loads(base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True))
    except (binascii.Error, ValueError, RecursionError):
        data = None
    if not isinstance(data, dict):
        raise ContractError("this is no cursor that a search gave; start again without one")
    return data


def _count(value: object, most: int) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= most else None
