"""Requests to a server: where to, with which key, what its problems mean, and which are made again."""

from __future__ import annotations

import ipaddress
from typing import Any, Final
from urllib.parse import urlsplit

import httpx
import orjson

from schemas.access import split_key
from schemas.outcomes import Reason
from workers.errors import (
    CatalogError,
    ConfigurationError,
    ContractError,
    ItemError,
    JobConflictError,
    NotFoundError,
    TransientError,
)

TIMEOUT: Final = httpx.Timeout(60.0, connect=5.0)
GIVE_UP_S: Final = 20.0
"""A person waits: after so long of failures the last one is told."""


def checked_url(url: str, *, has_key: bool) -> str:
    """The URL, when requests can be sent there, and a key, too.

    Raises:
        ConfigurationError: it is none, or the key would travel in the clear.
    """
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError as error:
        raise ConfigurationError(f"CATALOG_API_URL {url!r} is no URL: {error}") from error
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment or parts.username:
        raise ConfigurationError(
            f"CATALOG_API_URL {url!r} names no server: write https://HOST or http://127.0.0.1:8080"
        )
    if has_key and parts.scheme == "http" and not _is_own(parts.hostname):
        raise ConfigurationError(
            f"an API key is not sent to {parts.hostname} over plain http, where anybody on the way could read it: "
            "use https:// in CATALOG_API_URL"
        )
    return url.rstrip("/")


def headers_of(api_key: str | None) -> dict[str, str]:
    """The headers of every request.

    Raises:
        ConfigurationError: the key is none; the text does not repeat it.
    """
    headers = {"Accept": "application/json", "User-Agent": "catalog-indexer"}
    if api_key is None:
        return headers
    if split_key(api_key) is None:
        raise ConfigurationError(
            "CATALOG_API_KEY is no key: it looks like catalog_0123456789ab_ and 64 more characters"
        )
    return headers | {"Authorization": f"Bearer {api_key}"}


def error_of(answer: httpx.Response) -> CatalogError:
    """What an answer that is not good means: the error that the same call raises on the server's own machine."""
    problem = _problem(answer)
    detail = str(problem.get("detail") or f"the server answered {answer.status_code} {answer.reason_phrase}")
    if problem.get("reason") is not None:
        return ItemError(Reason(problem["reason"]), detail)
    match answer.status_code:
        case 401:
            return ConfigurationError(f"the server does not let us in: {detail}; set CATALOG_API_KEY")
        case 403:
            return ConfigurationError(f"the server refuses: {detail}")
        case 404:
            return NotFoundError(detail)
        case 409:
            return JobConflictError(detail, job_id=str(problem.get("job") or ""))
        case 408 | 429 | 502 | 503 | 504:
            return TransientError(detail, retry_after_s=_seconds(answer.headers.get("Retry-After")))
        case status if status >= 500:
            return CatalogError(
                f"the server failed: {detail} (request {answer.headers.get('X-Request-Id', 'unknown')})"
            )
        case _:
            return ContractError(detail)


def unreachable(url: str, error: httpx.HTTPError) -> TransientError:
    """What a request that got no answer means."""
    return TransientError(f"the server {url} does not answer: {error or type(error).__name__}")


def parsed(answer: httpx.Response) -> Any:
    """The JSON of a good answer.

    Raises:
        CatalogError: what the server says is wrong.
        ConfigurationError: it is no JSON, so it is not our server that answers.
    """
    if not answer.is_success:
        raise error_of(answer)
    try:
        return orjson.loads(answer.content)
    except orjson.JSONDecodeError:
        raise ConfigurationError(f"{answer.url} is no catalog server: its answer is no JSON") from None


def _problem(answer: httpx.Response) -> dict[str, Any]:
    try:
        read = orjson.loads(answer.content)
    except orjson.JSONDecodeError:
        return {}
    return read if isinstance(read, dict) else {}


def _seconds(text: str | None) -> float | None:
    return float(text) if text is not None and text.isdigit() else None


def _is_own(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
