"""Who asks, by the API key that a request bears.

All keys together are a small table, so a server reads the whole of it every few seconds instead of one row a request:
the hot path costs no SQL, and neither does guessing.
"""

from __future__ import annotations

import asyncio
import hmac
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Final

from fastapi import HTTPException, Request
from starlette.concurrency import run_in_threadpool

from schemas.access import ApiKey, secret_digest, split_key
from workers.errors import CatalogError, ConfigurationError
from workers.ports import Ledger
from workers.telemetry import log
from workers.web.dependencies import LOCAL_ADMIN, Authenticate, Caller

FRESH_S: Final = 3.0
"""How long what was read of the keys is believed: a revoked key opens nothing after that."""
NEWEST_S: Final = 0.2
"""A key that is not known may have been made just now: the answer waits until what was read is so old, then the table is
read again, for all that wait together."""
USE_S: Final = 60.0
"""How often the use of a key is written down."""
_NOBODY: Final = secret_digest("")


class KeyRing:
    """The keys of a ledger, as they were a moment ago. Thread-safe."""

    def __init__(self, ledger: Callable[[], Ledger], *, fresh_s: float = FRESH_S) -> None:
        """Nothing is read yet."""
        self._ledger = ledger
        self._fresh_s = fresh_s
        self._lock = threading.Lock()
        self._keys: Mapping[str, ApiKey] = {}
        self._read_at = float("-inf")
        self._noted: dict[str, float] = {}
        self._notes = ThreadPoolExecutor(1, thread_name_prefix="key-use")

    async def bearer(self, text: str) -> ApiKey | None:
        """The key with that text, when it opens anything.

        Raises:
            TransientError: the ledger does not answer, and what was read of it is too old.
        """
        parts = split_key(text)
        if parts is None:
            return None
        key_id, secret = parts
        if self._age() > self._fresh_s:
            await run_in_threadpool(self._read, since=time.monotonic() - self._fresh_s)
        if key_id not in self._keys:
            # A read that began after the request knows every key that was made before it. The age after the sleep would
            # not do: a timer may be a millisecond early.
            asked = time.monotonic()
            await asyncio.sleep(max(0.0, NEWEST_S - self._age()))
            await run_in_threadpool(self._read, since=asked)
        key = self._keys.get(key_id)
        # An unknown id takes as long as a wrong secret.
        right = hmac.compare_digest(secret_digest(secret), key.digest if key is not None else _NOBODY)
        if key is None or not right or not key.is_valid(datetime.now(UTC)):
            return None
        self._note_use(key.id)
        return key

    def _age(self) -> float:
        return time.monotonic() - self._read_at

    def _read(self, *, since: float) -> None:
        """Read the table, unless another thread has begun to after this moment."""
        with self._lock:
            if self._read_at >= since:
                return
            began = time.monotonic()
            self._keys = {key.id: key for key in self._ledger().api_keys()}
            self._read_at = began

    def _note_use(self, key_id: str) -> None:
        now = time.monotonic()
        if now - self._noted.get(key_id, float("-inf")) < USE_S:
            return
        self._noted[key_id] = now
        self._notes.submit(self._write_use, key_id)

    def _write_use(self, key_id: str) -> None:
        """On a thread of its own: a ledger that is busy keeps no request waiting."""
        try:
            self._ledger().note_api_key_use(key_id, every_s=USE_S)
        except CatalogError as error:
            log.warning("the use of a key was not written down", key=key_id, error=str(error))


def check_keys(ledger: Ledger, *, host: str) -> None:
    """Refuse to let others in before there is a key that could let them in.

    Raises:
        ConfigurationError: no key is valid; the text says how to make one.
    """
    now = datetime.now(UTC)
    if not any(key.is_valid(now) for key in ledger.api_keys()):
        raise ConfigurationError(
            f"callers need an API key to be let in at {host}, and there is none yet: "
            "make one with: catalog keys add NAME --scope search, or keep to 127.0.0.1 without --require-key"
        )


def by_key(ring: KeyRing, *, needs_key: bool) -> Authenticate:
    """Who bears which key. Without `needs_key`, whoever bears none is this machine's administrator; a key that is borne
    has to be right all the same.
    """

    async def authenticate(request: Request) -> Caller:
        text = _borne(request)
        if text is None:
            if needs_key:
                raise _refusal("an API key is needed: Authorization: Bearer catalog_...")
            return LOCAL_ADMIN
        key = await ring.bearer(text)
        if key is None:
            raise _refusal("the API key is not known, has expired or was revoked", error="invalid_token")
        return Caller(name=key.id, scopes=frozenset(key.scopes), catalogs=key.catalogs)

    return authenticate


def _borne(request: Request) -> str | None:
    """The key of a request, in either header; None where there is none."""
    authorization = request.headers.get("authorization")
    if authorization is not None:
        scheme, _, borne = authorization.partition(" ")
        return borne.strip() if scheme.lower() == "bearer" else ""
    return request.headers.get("x-api-key")


def _refusal(detail: str, *, error: str | None = None) -> HTTPException:
    challenge = 'Bearer realm="catalog"' + (f', error="{error}"' if error else "")
    return HTTPException(401, detail, headers={"WWW-Authenticate": challenge})
