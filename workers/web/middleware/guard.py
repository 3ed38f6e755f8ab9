"""Whom a request says it is for, and which site sent it: what keeps strangers' web pages from using a local server.

A page of any site can make its visitor's browser send requests to 127.0.0.1. Under its own name it cannot read the
answers (no CORS), but a name that it lets point to 127.0.0.1 (DNS rebinding) would make them its own: so a request has to
be addressed to a name that is this server's. And what changes state must not come from another site's page.
"""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import urlsplit

from starlette.types import ASGIApp, Receive, Scope, Send

from workers.web.options import ServerOptions
from workers.web.problem import problem

MAX_TARGET_BYTES: Final = 16 * 1024
"""Path and query: a key of 1024 bytes percent-encoded, and a filter."""
_HOST: Final = re.compile(rb"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::[0-9]{1,5})?")
_SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_OWN_SITES: Final = frozenset({b"same-origin", b"none"})
"""Values of Sec-Fetch-Site: the server's own page, or a person who typed the address."""


class Guard:
    """Refuses requests that are not addressed to this server, and other sites' requests."""

    def __init__(self, app: ASGIApp, options: ServerOptions) -> None:
        self._app = app
        self._hosts = frozenset(name.encode() for name in options.hosts)
        self._origins = frozenset(origin.encode() for origin in options.cors_origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer what is wrong with it."""
        if scope["type"] == "http" and (refusal := self._refusal(scope)) is not None:
            await problem(*refusal)(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _refusal(self, scope: Scope) -> tuple[int, str] | None:
        if len(scope.get("raw_path") or b"") + len(scope["query_string"]) > MAX_TARGET_BYTES:
            return 414, f"the address is longer than {MAX_TARGET_BYTES:,} bytes"
        hosts, origin, site = [], None, None
        for name, value in scope["headers"]:
            if name == b"host":
                hosts.append(value)
            elif name == b"origin":
                origin = value
            elif name == b"sec-fetch-site":
                site = value
        matched = _HOST.fullmatch(hosts[0]) if len(hosts) == 1 else None
        if matched is None or matched[1].lower() not in self._hosts:
            return (
                421,
                "the request is addressed to a name that is not this server's; CATALOG_ALLOWED_HOSTS lists further ones",
            )
        if origin is not None:
            own = origin in self._origins or _authority(origin) == hosts[0].lower()
            return (
                None
                if own
                else (403, "pages of other sites may not use this server; CATALOG_CORS_ORIGINS lists those that may")
            )
        if site is not None and site not in _OWN_SITES and scope["method"] not in _SAFE:
            return 403, "pages of other sites may not use this server"
        return None


def _authority(origin: bytes) -> bytes | None:
    try:
        parts = urlsplit(origin.decode("ascii"))
    except ValueError:
        return None
    return parts.netloc.lower().encode() if parts.scheme in ("http", "https") else None
