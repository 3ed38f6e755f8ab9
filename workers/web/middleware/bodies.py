"""Bounds on what is uploaded: its size, the time it may take, and the memory of all uploads together.

Checked while it comes, before anything is parsed.
"""

from __future__ import annotations

import asyncio
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from workers.web.budget import BusyError, UploadBudget
from workers.web.problem import HttpError, problem

JSON_BYTES: Final = 1024 * 1024
FORM_OVERHEAD_BYTES: Final = 64 * 1024 + JSON_BYTES
"""What a form holds beside its picture: its borders and a query."""
BODY_S: Final = 30.0
"""A body has to be there after so long: a picture of 4 MiB at 1 Mbit/s."""
_BODILESS: Final = frozenset({"GET", "HEAD", "OPTIONS"})


class BodyBounds:
    """Refuses bodies that are too large (413), too slow (408), or too many at once (503)."""

    def __init__(self, app: ASGIApp, *, image_bytes: int, budget_bytes: int, body_s: float = BODY_S) -> None:
        self._app = app
        self._form_bytes = image_bytes + FORM_OVERHEAD_BYTES
        self._budget = UploadBudget(max(budget_bytes, self._form_bytes))
        self._body_s = body_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on with a body that is counted and timed."""
        if scope["type"] != "http" or scope["method"] in _BODILESS:
            await self._app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        is_form = headers.get(b"content-type", b"").lower().startswith(b"multipart/form-data")
        limit = self._form_bytes if is_form else JSON_BYTES
        announced = headers.get(b"content-length")
        chunked = announced is None and b"transfer-encoding" in headers
        size = limit if chunked else int(announced or 0)
        if size > limit:
            await problem(413, _too_large(limit), headers={"Connection": "close"})(scope, receive, send)
            return
        try:
            async with self._budget.hold(size):
                await self._app(scope, self._bounded(receive, limit), send)
        except BusyError:
            await problem(503, "too many uploads at once", headers={"Retry-After": "2", "Connection": "close"})(
                scope, receive, send
            )

    def _bounded(self, receive: Receive, limit: int) -> Receive:
        deadline = asyncio.get_running_loop().time() + self._body_s
        taken = 0
        complete = False

        async def bounded() -> Message:
            nonlocal taken, complete
            if complete:  # what is waited for now is the caller's going away
                return await receive()
            try:
                async with asyncio.timeout_at(deadline):
                    message = await receive()
            except TimeoutError:
                raise HttpError(
                    408, f"the body was not there after {self._body_s:g} s", headers={"Connection": "close"}
                ) from None
            if message["type"] == "http.request":
                taken += len(message.get("body", b""))
                complete = not message.get("more_body", False)
                if taken > limit:
                    raise HttpError(413, _too_large(limit), headers={"Connection": "close"})
            return message

        return bounded


def _too_large(limit: int) -> str:
    return f"the body is larger than {limit:,} bytes"
