"""API keys: who may ask a server for what."""

from __future__ import annotations

import hashlib
import re
import secrets
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

SECRET_BITS: Final = 256
_KEY: Final = re.compile(r"catalog_([0-9a-f]{12})_([0-9a-f]{64})")


class Scope(StrEnum):
    """What a key lets its bearer do."""

    SEARCH = "search"
    """Ask: search, classify, look at catalogs, items and pictures."""
    INGEST = "ingest"
    """Change what is indexed: submit and steer jobs, report events, see what was left out."""
    ADMIN = "admin"
    """Everything, and what concerns no single catalog."""

    def covers(self, needed: Scope) -> bool:
        """Whether a key of this scope may do what needs the other one."""
        return self is Scope.ADMIN or self is needed


@dataclass(frozen=True, kw_only=True, slots=True)
class ApiKey:
    """What is known of a key; its secret is not."""

    id: str
    name: str
    """Who bears it, for the person who looks after the keys."""
    digest: str
    """SHA-256 of the secret, hexadecimal. The secret is 256 random bits, not a password: there is nothing to guess that a
    slow, salted hash would make dearer, and every request pays for the hash."""
    scopes: tuple[Scope, ...]
    catalogs: tuple[str, ...] | None
    """Those it is good for; None: all of them, also those to come."""
    created_at: datetime
    expires_at: datetime | None = None
    revoked_at: datetime | None = None
    last_used_at: datetime | None = None
    """To the minute."""

    def is_valid(self, now: datetime) -> bool:
        """Whether it opens anything at that time."""
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)

    def grants(self, scope: Scope) -> bool:
        """Whether one of its scopes covers this one."""
        return any(own.covers(scope) for own in self.scopes)


def new_key_id() -> str:
    """An id for a key; it is no secret."""
    return secrets.token_hex(6)


def new_secret() -> str:
    """A secret from the system's random source."""
    return secrets.token_hex(SECRET_BITS // 8)


def secret_digest(secret: str) -> str:
    """What is kept of a secret."""
    return hashlib.sha256(secret.encode()).hexdigest()


def key_text(key_id: str, secret: str) -> str:
    """A key as its bearer has it: its form is known to secret scanners by one pattern."""
    return f"catalog_{key_id}_{secret}"


def split_key(text: str) -> tuple[str, str] | None:
    """Id and secret of a key as its bearer has it; None where the text is none."""
    found = _KEY.fullmatch(text)
    return None if found is None else (found[1], found[2])
