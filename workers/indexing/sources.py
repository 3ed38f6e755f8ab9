"""Which sources a URL belongs to: those a catalog may be filled from, and the catalogs that an event is about."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from typing import Final
from urllib.parse import unquote, urlsplit

from schemas.records import Catalog
from workers.errors import ConfigurationError, ContractError

_ENDPOINT: Final = "?endpoint="
_S3: Final = frozenset({"s3", "s3a"})
_REMOTE: Final = _S3 | {"gs", "az", "azure", "abfs", "abfss"}


def check_source(url: str, allowed: str | None) -> None:
    """Refuse a source that is not under one of the prefixes of CATALOG_SOURCES (comma-separated); none allows every one.

    A prefix ends at a slash: `s3://bucket` does not allow `s3://bucket-evil`. Where a prefix names no endpoint, the source
    must not name one either, or another server's bucket of the same name would do.

    Raises:
        ContractError: it is not allowed, or cannot be read; the text repeats no credentials.
        ConfigurationError: CATALOG_SOURCES itself cannot be read.
    """
    if allowed is None:
        return
    source = _parts(url)
    if source is None:
        raise ContractError("the source's URL cannot be read, holds credentials, or leaves its own root with '..'")
    for written in filter(None, map(str.strip, allowed.split(","))):
        prefix = _parts(written)
        if prefix is None:
            raise ConfigurationError(
                "CATALOG_SOURCES: a prefix cannot be read; write s3://bucket/prefix/ or file:///path/"
            )
        if prefix[:2] == source[:2] and _is_below(source[2], prefix[2]):
            return
    raise ContractError(f"the source {url.partition('?')[0]} is not under any of CATALOG_SOURCES: {allowed}")


def catalogs_of(catalogs: Iterable[Catalog], bucket: str, key: str) -> list[tuple[Catalog, str]]:
    """The catalogs that have an object of an S3 bucket below their source, each with the key they know it by.

    A source's endpoint is not compared: an event does not say where it comes from.
    """
    found = []
    for catalog in catalogs:
        place = _s3_place(catalog.source_url)
        if place is not None and place[0] == bucket and key.startswith(place[1]) and key != place[1]:
            found.append((catalog, key.removeprefix(place[1])))
    return found


def _s3_place(url: str) -> tuple[str, str] | None:
    """Bucket and prefix ("" or ending with "/", literal) of an S3 source's canonical URL."""
    scheme, separator, rest = url.partition("://")
    if not separator or scheme not in _S3:
        return None
    bucket, _, prefix = rest.partition(_ENDPOINT)[0].partition("/")
    return bucket, f"{prefix.rstrip('/')}/" if prefix else ""


def _parts(url: str) -> tuple[str, str, Sequence[str]] | None:
    """Scheme with endpoint, host and the path's segments; None for what must not be compared at all."""
    if not url.isprintable() or "\\" in url:
        return None
    scheme, separator, rest = url.partition("://")
    scheme = scheme.lower() if separator else "file"
    if scheme in _REMOTE:
        place, _, endpoint = rest.partition(_ENDPOINT)
        host, _, path = place.partition("/")
        secret = ":" in host or (scheme not in ("abfs", "abfss") and "@" in host) or "@" in urlsplit(endpoint).netloc
        segments = path.split("/")
        if secret or not host or not _is_straight(segments):
            return None
        kind = "s3" if scheme in _S3 else scheme
        return f"{kind} {endpoint.rstrip('/').lower()}", host, [segment for segment in segments if segment]
    if scheme != "file":
        return None
    path = unquote(rest.partition("/")[2]) if separator else url
    path = f"/{path}" if separator else os.path.abspath(path) if path else ""  # noqa: PTH100 - links are the store's business
    host = rest.partition("/")[0].lower() if separator else ""
    if host not in ("", "localhost") or not path or not _is_straight(path.split("/")):
        return None
    return "file", "", [segment for segment in path.split("/") if segment]


def _is_straight(segments: Sequence[str]) -> bool:
    return not any(unquote(segment) in (".", "..") for segment in segments)


def _is_below(path: Sequence[str], root: Sequence[str]) -> bool:
    return list(path[: len(root)]) == list(root)
