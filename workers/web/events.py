"""A webhook for object store notifications: `POST /v1/events`, or `/v1/events/NAME` for one catalog."""

from __future__ import annotations

import hmac
import ipaddress
from collections.abc import Callable
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, FastAPI, Header, HTTPException, Request
from starlette.concurrency import run_in_threadpool

from schemas.access import Scope
from workers.bootstrap import Process
from workers.errors import ConfigurationError
from workers.indexing.desk import EventDesk, Receipt
from workers.indexing.events import read_notification
from workers.web.dependencies import Authenticate
from workers.web.problem import answer_with_problems

MAX_BODY_BYTES: Final = 1024 * 1024
"""Some thousand events; S3's own notifications have a few kilobytes."""
PATH: Final = "/v1/events"


def events_router(desk: EventDesk, *, token: str | None) -> APIRouter:
    """The routes, for an application of any kind. An answer of 202 says that what was sent is committed.

    Args:
        desk: where the events go.
        token: that a caller has to bear; None lets everybody in, which only a loopback address may.
    """

    def authenticated(authorization: Annotated[str | None, Header()] = None) -> None:
        if token is not None and not _bears(authorization or "", token):
            raise HTTPException(401, "a bearer token is needed", headers={"WWW-Authenticate": "Bearer"})

    return _router(desk, authenticated)


def _bears(authorization: str, token: str) -> bool:
    scheme, _, borne = authorization.partition(" ")
    return scheme.lower() == "bearer" and hmac.compare_digest(borne.strip().encode(), token.encode())


def _router(desk: EventDesk, authenticated: Callable[..., Any]) -> APIRouter:
    router = APIRouter(dependencies=[Depends(authenticated)], tags=["events"])

    async def accept(request: Request, catalog: str | None) -> dict[str, int]:
        body = await _bounded_body(request)
        receipt: Receipt = await run_in_threadpool(lambda: desk.accept([read_notification(body)], only=catalog))
        return {"posted": receipt.posted, "unmatched": receipt.unmatched, "passed_over": receipt.passed_over}

    @router.post(PATH, status_code=202)
    async def events(request: Request) -> dict[str, int]:
        """Take a notification for whichever catalogs it is about."""
        return await accept(request, None)

    @router.post(PATH + "/{catalog}", status_code=202)
    async def events_of_one(request: Request, catalog: str) -> dict[str, int]:
        """Take a notification for one catalog; what is not in its source is dropped."""
        return await accept(request, catalog)

    return router


def event_routes(process: Process, authenticate: Authenticate) -> APIRouter:
    """The routes within the whole server: for CATALOG_EVENTS_TOKEN, or an API key with the scope ingest.

    A key that is not for all catalogs reports to `/v1/events/NAME` alone.
    """
    secret = process.settings.events_token

    async def authenticated(request: Request) -> None:
        authorization = request.headers.get("authorization")
        if secret is not None and authorization and _bears(authorization, secret.get_secret_value()):
            return
        caller = await authenticate(request)
        if not caller.may(Scope.INGEST):
            raise HTTPException(403, "this API key has no scope 'ingest'")
        only = request.path_params.get("catalog")
        if only is not None:
            caller.check_catalog(only)
        elif caller.catalogs is not None:
            raise HTTPException(403, f"this API key is for some catalogs only: report to {PATH}/NAME")

    return _router(EventDesk(process.ledger), authenticated)


def make_events_app(process: Process) -> FastAPI:
    """An application of nothing but the webhook."""
    secret = process.settings.events_token
    app = FastAPI(title="catalog events", docs_url=None, redoc_url=None, openapi_url=None)
    answer_with_problems(app)
    app.include_router(
        events_router(EventDesk(process.ledger), token=None if secret is None else secret.get_secret_value())
    )
    return app


def check_bind(host: str, *, has_token: bool) -> None:
    """Refuse to listen where others can reach it without a token.

    Raises:
        ConfigurationError: the host is not this machine's own, and CATALOG_EVENTS_TOKEN is not set.
    """
    if has_token:
        return
    try:
        own = ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        own = host == "localhost"
    if not own:
        raise ConfigurationError(
            f"listening on {host} lets others in: set CATALOG_EVENTS_TOKEN to a long random text, or keep to 127.0.0.1"
        )


async def _bounded_body(request: Request) -> bytes:
    announced = request.headers.get("content-length", "0")
    if announced.isdigit() and int(announced) > MAX_BODY_BYTES:
        raise _too_large()
    parts: list[bytes] = []
    size = 0
    async for part in request.stream():
        size += len(part)
        if size > MAX_BODY_BYTES:
            raise _too_large()
        parts.append(part)
    return b"".join(parts)


def _too_large() -> HTTPException:
    return HTTPException(413, f"more than {MAX_BODY_BYTES:,} bytes", headers={"Connection": "close"})
