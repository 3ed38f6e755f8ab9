"""The way to a Qdrant server: which URL may be used, its version, and how often a request is tried.

REST by default, gRPC on request. Every request goes through `Connection.call`, which raises the project's errors and
tries again what may pass: no answer, 408, 429 (not before `Retry-After`), 5xx. A request that was tried before may have
been applied: every write is guarded by a version and every other change leads to the same end, so once more is harmless.
"""

from __future__ import annotations

import re
import threading
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, TypeVar
from urllib.parse import urlsplit

from qdrant_client import QdrantClient

from workers.adapters.object_store.endpoints import is_loopback
from workers.adapters.vector_index.qdrant_errors import translated_errors
from workers.errors import ConfigurationError, ContractError, TransientError
from workers.retry import with_retries

T = TypeVar("T")

OLDEST_VERSION: Final = (1, 16)
"""The first with `update_filter`, which the guard of every upsert needs, and with ACORN."""
TURBO_VERSION: Final = (1, 18)
"""The first with TurboQuant."""
READ_PATIENCE_S: Final = 2.0
"""A read is tried again for so long: whoever waits for a search would rather know. Batch work is patient by itself."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ServerOptions:
    """How the server is spoken to."""

    api_key: str | None = field(default=None, repr=False)
    allow_http: bool = False
    """Send the API key over plain http to another machine."""
    grpc: bool = False
    grpc_port: int = 6334
    timeout_s: int = 30
    """Of one request."""
    patience_s: float = 10.0
    """A write is tried again for so long; reads for at most `READ_PATIENCE_S`."""


def open_client(url: str, options: ServerOptions) -> QdrantClient:
    """A client for a server; nothing is sent yet.

    Raises:
        ConfigurationError: the URL or the key cannot be used, or the key would travel unencrypted. The key is not shown.
    """
    _check_url(url, options)
    _check_key(options.api_key)
    with warnings.catch_warnings(), translated_errors("connecting"):
        warnings.filterwarnings("ignore", "Api key is used with an insecure connection")  # allowed, or loopback
        return QdrantClient(
            url=url,
            api_key=options.api_key,
            timeout=options.timeout_s,
            prefer_grpc=options.grpc,
            grpc_port=options.grpc_port,
            check_compatibility=False,
        )


class Connection:
    """One client, thread-safe as far as the client is."""

    def __init__(self, client: QdrantClient, options: ServerOptions) -> None:
        """Nothing is sent yet."""
        self.client = client
        self._options = options
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._version: str | None = None

    @property
    def timeout_s(self) -> int:
        """How long one request may take; told to the server, so that it gives up together with us."""
        return self._options.timeout_s

    def call(self, action: str, request: Callable[[], T], *, write: bool = False) -> T:
        """Send a request until it is answered; `action` begins the text of an error.

        Raises:
            TransientError: no good answer for `patience_s`, or the server asks for a longer pause than that.
            ContractError, NotFoundError, ConfigurationError: the server refuses it, which no repetition changes.
        """
        self.version(action)
        return self._patiently(action, request, write=write)

    def version(self, action: str = "connecting") -> str:
        """The server's version, asked for once.

        Raises:
            ConfigurationError: it is too old, or no Qdrant server.
            TransientError: it does not answer.
        """
        with self._lock:
            if self._version is None:
                try:
                    found = self._patiently(action, self.client.info, write=False).version
                except ContractError as error:
                    raise ConfigurationError(f"CATALOG_INDEX_URL leads to no Qdrant server: {error}") from error
                if parsed_version(found) < OLDEST_VERSION:
                    oldest = ".".join(map(str, OLDEST_VERSION))
                    raise ConfigurationError(
                        f"the Qdrant server of CATALOG_INDEX_URL is version {found}; upgrade it to {oldest} or later"
                    )
                self._version = found
            return self._version

    def has_turbo(self) -> bool:
        """Whether the server has TurboQuant."""
        return parsed_version(self.version()) >= TURBO_VERSION

    def close(self) -> None:
        """End waiting and the client's connections; closing twice is harmless."""
        self._closing.set()
        self.client.close()

    def _patiently(self, action: str, request: Callable[[], T], *, write: bool) -> T:
        patience_s = self._options.patience_s if write else min(READ_PATIENCE_S, self._options.patience_s)

        def attempt() -> T:
            try:
                with translated_errors(action):
                    return request()
            except TransientError as error:
                if (error.retry_after_s or 0.0) > patience_s:
                    raise _TooLongError(error) from error
                raise
            except ContractError as error:
                if self._closing.is_set():  # the client says that it is closed, as of any request that cannot be made
                    raise TransientError(f"{action}: the connection to Qdrant was closed meanwhile") from error
                raise

        try:
            return with_retries(attempt, give_up_after_s=patience_s, stop=self._closing)
        except _TooLongError as wrapped:
            raise wrapped.error from wrapped.error.__cause__


class _TooLongError(Exception):
    """Carries an error past `with_retries`: the server asked for a pause that is the caller's to wait."""

    def __init__(self, error: TransientError) -> None:
        super().__init__(str(error))
        self.error = error


def parsed_version(version: str) -> tuple[int, int]:
    """Major and minor number; (0, 0) for what is no version."""
    found = re.match(r"v?(\d+)\.(\d+)", version)
    return (int(found[1]), int(found[2])) if found else (0, 0)


def _check_url(url: str, options: ServerOptions) -> None:
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise ConfigurationError("CATALOG_INDEX_URL is no URL; give http(s)://host[:port]") from None
    if "@" in url or parts.query or parts.fragment:
        raise ConfigurationError("CATALOG_INDEX_URL holds more than an address; give the key as CATALOG_INDEX_API_KEY")
    if parts.scheme not in ("http", "https") or not host:
        raise ConfigurationError(f"CATALOG_INDEX_URL {url!r} is no Qdrant server; give http(s)://host[:port]")
    if options.api_key and parts.scheme == "http" and not options.allow_http and not is_loopback(host):
        raise ConfigurationError(
            f"CATALOG_INDEX_API_KEY would travel unencrypted to http://{host}; use https, or set "
            "CATALOG_INDEX_ALLOW_HTTP=true on a private network"
        )


def _check_key(key: str | None) -> None:
    """What a header cannot carry is refused here: the drivers would repeat the key in their complaint."""
    if key is not None and not re.fullmatch(r"[!-~]+", key):
        raise ConfigurationError(
            "CATALOG_INDEX_API_KEY has characters that no header carries (blanks, line ends, accents)"
        )
