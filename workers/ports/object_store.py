"""Where catalog images lie."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol


@dataclass(frozen=True, kw_only=True, slots=True)
class Listed:
    """One object as a listing shows it."""

    key: str
    """Relative to the source's root, `/` between folders."""
    etag: str
    size: int
    """Bytes."""
    modified: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class Fetched:
    """One object as it was read. `etag` belongs to these very bytes, not to the listing that named the key."""

    key: str
    data: bytes
    etag: str
    size: int
    modified: datetime


class ObjectStore(Protocol):
    """Where catalog images lie: a folder, S3 or what speaks it."""

    @property
    def url(self) -> str:
        """Canonical URL of the source, without credentials; equal for two spellings of one source."""
        ...

    @property
    def skipped(self) -> Mapping[str, int]:
        """What the latest `list` left out so far, by reason: links, special files, names that are no text ..."""
        ...

    def list(self, *, after: str | None = None) -> Iterator[Listed]:
        """Every object in UTF-8 byte order of its key, page by page in constant memory, beginning behind `after`.

        Raises:
            ConfigurationError: the bucket or folder does not exist or the credentials are refused.
            TransientError: the store does not answer.
        """
        ...

    def stat(self, key: str) -> Listed:
        """The object as a listing would show it now, without its bytes. Thread-safe.

        Some stores do not tell an object that is gone from a bucket that is; who acts on many of them lists the source
        first.

        Raises:
            ItemError: vanished (also what no listing would show: a folder, a link) or access_denied.
            TransientError: the store does not answer.
        """
        ...

    def get(self, key: str, *, max_bytes: int) -> Fetched:
        """The object's bytes; at most `max_bytes` are ever read.

        Raises:
            ItemError: vanished, access_denied or too_large (known before the body is read where the store says so).
            TransientError: the store does not answer.
        """
        ...

    def presign(self, key: str, *, expires_s: float) -> str | None:
        """A URL at which anybody may read the object's bytes for so long; None where the store has no such thing. The store
        is not asked: the object may be gone.

        Raises:
            ItemError: vanished or access_denied, for a key that no object can have.
            ConfigurationError, TransientError: the credentials at hand cannot sign, or are not to be had.
        """
        ...

    def close(self) -> None:
        """Release connections; closing twice is harmless."""
        ...
