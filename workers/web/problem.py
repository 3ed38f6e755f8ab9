"""Errors as problem details (RFC 9457)."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any, Final

import orjson
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from schemas.outcomes import Reason
from workers.errors import (
    CatalogError,
    ConfigurationError,
    ContractError,
    ItemError,
    JobConflictError,
    ModelConflictError,
    NotFoundError,
    TransientError,
)
from workers.telemetry import log, masked
from workers.web.request_id import request_id

MEDIA_TYPE: Final = "application/problem+json"
RETRY_AFTER_S: Final = 5
MAX_DETAIL: Final = 2000
_STATUSES: Final[tuple[tuple[type[CatalogError], int], ...]] = (
    (TransientError, 503),
    (ItemError, 422),
    (NotFoundError, 404),
    (ModelConflictError, 409),
    (JobConflictError, 409),
    (ContractError, 400),
    (ConfigurationError, 500),
)

HttpError = HTTPException
"""What a route raises to be answered with a status of its own."""


def problem(
    status: int,
    detail: str,
    *,
    reason: str | None = None,
    job: str | None = None,
    headers: dict[str, str] | None = None,
) -> Response:
    """An answer that says what is wrong; for programs, `reason` is a picture's, `job` the one that is in the way."""
    body: dict[str, Any] = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail[:MAX_DETAIL],
    }
    if (name := request_id()) is not None:
        body["request_id"] = name
    if reason is not None:
        body["reason"] = reason
    if job is not None:
        body["job"] = job
    return Response(_json(body), status_code=status, media_type=MEDIA_TYPE, headers=headers)


def answer_with_problems(app: FastAPI) -> None:
    """Let every error of an application be answered with a problem; what nobody foresaw says nothing of itself."""
    app.add_exception_handler(CatalogError, _of_ours)
    app.add_exception_handler(HTTPException, _of_http)
    app.add_exception_handler(RequestValidationError, _of_validation)
    app.add_exception_handler(Exception, _of_no_one)


def problem_of(error: CatalogError) -> Response:
    """The answer to one of the system's own errors."""
    status = next((status for kind, status in _STATUSES if isinstance(error, kind)), 500)
    if status == 500:
        # The operator's affair: paths, hosts and settings of the machine are not the caller's.
        log.error("a request cannot be served", error=str(error))
        return problem(status, "the server is not set up for this; its log says more")
    if isinstance(error, ItemError):
        gone = 404 if error.reason is Reason.VANISHED else status
        return problem(gone, masked(error.detail), reason=error.reason.value)
    if isinstance(error, TransientError):
        log.warning("a request has to be repeated", error=str(error))
        wait = error.retry_after_s or RETRY_AFTER_S
        return problem(status, masked(str(error)), headers={"Retry-After": str(max(1, round(wait)))})
    return problem(status, masked(str(error)), job=error.job_id if isinstance(error, JobConflictError) else None)


async def _of_ours(request: Request, error: Exception) -> Response:
    assert isinstance(error, CatalogError)  # noqa: S101 - registered for it
    caller = getattr(request.state, "caller", None)
    if isinstance(error, NotFoundError) and caller is not None and caller.catalogs is not None:
        # The text may name what there is instead, also in catalogs that the key is not for.
        return problem(404, "there is no such catalog, job or image for this API key")
    return problem_of(error)


async def _of_http(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for it
    return problem(error.status_code, str(error.detail), headers=dict(error.headers or {}))


async def _of_validation(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101 - registered for it
    return problem(422, "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()[:5]))


async def _of_no_one(_: Request, error: Exception) -> Response:
    log.error("a request failed unexpectedly", error=f"{type(error).__name__}: {error}")
    return problem(500, "an internal error; the log says more")


def _json(body: dict[str, Any]) -> bytes:
    try:
        return orjson.dumps(body)
    except TypeError:  # a text with half of a surrogate pair
        body["detail"] = body["detail"].encode("utf-8", "replace").decode()
        return orjson.dumps(body)
