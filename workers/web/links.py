"""Links to pictures that work for a short while for whoever has them: an `<img>` bears no API key.

The store's own where it can sign (S3, Google, Azure), else through this server, signed with HMAC-SHA-256. Their end is
rounded up to a mark of the clock, so that a page which asks twice gets the same link and its browser's cache serves.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final
from urllib.parse import quote

from workers.bootstrap import Process
from workers.errors import CatalogError
from workers.telemetry import log

STEP_S: Final = 300
LIFE_STEPS: Final = 3
"""A link lives between 10 and 15 minutes."""
SIGN_AGAIN_S: Final = 60.0
"""A store that could not sign is asked again after so long; until then its pictures come through this server."""
_REMEMBERED: Final = 20_000

SignedLink = dict[str, str]
"""`url` and `expires_at`, as `schemas.api.Link`."""


class Links:
    """Makes links, and knows its own again. Thread-safe."""

    def __init__(self, process: Process, *, clock: Callable[[], float] = time.time) -> None:
        secret = process.settings.link_secret
        self._secret = secret.get_secret_value().encode() if secret is not None else secrets.token_bytes(32)
        self._process = process
        self._clock = clock
        self._unsigned_until: dict[str, float] = {}
        self._own = lru_cache(_REMEMBERED)(self._signed_here)
        self._stores = lru_cache(_REMEMBERED)(self._signed_by_store)

    def image(self, catalog: str, source: str, key: str) -> SignedLink:
        """To the original; `source` is the catalog's URL."""
        expires = self._end()
        url = None
        if self._process.settings.presigned_links and not source.startswith(("file:", "memory:")):
            url = self._stores(source, key, expires)
        return self._link(url or self._own("image", catalog, key, expires), expires)

    def thumbnail(self, catalog: str, key: str) -> SignedLink:
        """To a small JPEG of it."""
        expires = self._end()
        return self._link(self._own("thumbnail", catalog, key, expires), expires)

    def is_good(self, kind: str, catalog: str, key: str, expires: int, signature: str) -> bool:
        """Whether this server (or one with the same secret) made the link, and it has not ended."""
        right = hmac.compare_digest(self._signature(kind, catalog, key, expires).encode(), signature.encode())
        return right and self._clock() < expires

    def _end(self) -> int:
        return (int(self._clock()) // STEP_S + LIFE_STEPS) * STEP_S

    def _link(self, url: str, expires: int) -> SignedLink:
        return {"url": url, "expires_at": _moment(expires)}

    def _signed_here(self, kind: str, catalog: str, key: str, expires: int) -> str:
        signature = self._signature(kind, catalog, key, expires)
        query = f"catalog={quote(catalog, safe='')}&expires={expires}&signature={signature}"
        return f"/v1/items/{quote(key, safe='/')}/{kind}?{query}"

    def _signature(self, kind: str, catalog: str, key: str, expires: int) -> str:
        said = f"{kind}\0{catalog}\0{expires}\0{key}".encode("utf-8", "surrogatepass")
        return hmac.digest(self._secret, said, hashlib.sha256).hex()

    def _signed_by_store(self, source: str, key: str, expires: int) -> str | None:
        """None where the store cannot: its pictures then come through this server."""
        if self._clock() < self._unsigned_until.get(source, 0.0):
            return None
        try:
            return self._process.store(source).presign(key, expires_s=expires - self._clock())
        except CatalogError as error:
            log.warning("the store signs no links; pictures come through this server", error=str(error))
            self._unsigned_until[source] = self._clock() + SIGN_AGAIN_S
            return None


@lru_cache(8)
def _moment(expires: int) -> str:
    return datetime.fromtimestamp(expires, UTC).isoformat().replace("+00:00", "Z")
