"""A name for every request, in its answer and in every line that is logged on its way; and the headers all answers bear."""

from __future__ import annotations

import re
from typing import Final
from uuid import uuid4

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from workers.web.request_id import name_request

HEADER: Final = b"x-request-id"
_SANE: Final = re.compile(rb"[A-Za-z0-9._-]{8,64}")
_SECURITY: Final[tuple[tuple[bytes, bytes], ...]] = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-frame-options", b"DENY"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
)
_POLICY: Final = (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'")
"""Of an answer that brings no policy of its own: it is data, nothing in it may be run or loaded."""


class RequestIdentity:
    """Takes a caller's `X-Request-Id` when it is 8 to 64 letters, digits, `.`, `_` or `-`, else makes one."""

    def __init__(self, app: ASGIApp, *, cross_origin: bool = False) -> None:
        """`cross_origin`: other sites' pages may embed what is answered (CORS is on)."""
        self._app = app
        left_out = {b"cross-origin-resource-policy"} if cross_origin else set()
        self._security = tuple(pair for pair in _SECURITY if pair[0] not in left_out)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Name the request and pass it on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = next((value for name, value in scope["headers"] if name == HEADER), b"")
        name = given if _SANE.fullmatch(given) else uuid4().hex.encode()
        name_request(name.decode())
        structlog.contextvars.bind_contextvars(request_id=name.decode())

        async def mark(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = list(message["headers"])
                present = {header for header, _ in headers}
                headers.append((HEADER, name))
                headers.extend(pair for pair in (*self._security, _POLICY) if pair[0] not in present)
                message["headers"] = headers
            await send(message)

        await self._app(scope, receive, mark)
