"""The route that is asked hundreds of times a second, without the framework's layers around it.

Of 3.2 ms that the server spends on a vector query, FastAPI's routing, dependencies and exit stacks take one. The route
itself is the one that FastAPI documents and would call; what it raises is answered by the application's own handlers.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

from fastapi import FastAPI
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

Endpoint = Callable[[Request], Awaitable[Response]]
METHOD: Final = "POST"


class Direct:
    """Answers `POST path` by an endpoint and passes everything else on."""

    def __init__(self, inner: ASGIApp, app: FastAPI, *, path: str, endpoint: Endpoint) -> None:
        """
        Args:
            inner: Gets every other request.
            app: Has the route, under the same path, and the handlers of errors.
            path: Of the route, without parameters.
            endpoint: Answers a request; its errors go to the application's handlers.
        """
        self._inner = inner
        self._app = app
        self._path = path
        self._endpoint = endpoint
        self._route = _Route(path)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or pass the request on."""
        if scope["type"] != "http" or scope["path"] != self._path or scope["method"] != METHOD:
            await self._inner(scope, receive, send)
            return
        scope["app"] = self._app
        scope["route"] = self._route  # its label in the figures
        request = Request(scope, receive, send)
        try:
            response = await self._endpoint(request)
        except ClientDisconnect:
            return
        except Exception as error:  # noqa: BLE001 - the application's handler for it logs what nobody foresaw
            response = await self._answer(request, error)
        await response(scope, receive, send)

    async def _answer(self, request: Request, error: Exception) -> Response:
        handlers = self._app.exception_handlers
        handler = next(handlers[kind] for kind in type(error).__mro__ if kind in handlers)
        answered: Response = await handler(request, error)  # type: ignore[misc]
        return answered


class _Route:
    """What the figures ask of a route."""

    def __init__(self, path: str) -> None:
        self.path = path
