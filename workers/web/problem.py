"""Errors as problem details (RFC 9457)."""

from __future__ import annotations

from http import HTTPStatus
from typing import Final

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from workers.errors import (
    CatalogError,
    ConfigurationError,
    ContractError,
    JobConflictError,
    NotFoundError,
    TransientError,
)
from workers.telemetry import log

MEDIA_TYPE: Final = "application/problem+json"
RETRY_AFTER_S: Final = 5
_STATUSES: Final[tuple[tuple[type[CatalogError], int], ...]] = (
    (TransientError, 503),
    (NotFoundError, 404),
    (JobConflictError, 409),
    (ContractError, 400),
    (ConfigurationError, 500),
)


def problem(status: int, detail: str, *, headers: dict[str, str] | None = None) -> JSONResponse:
    """An answer that says what is wrong."""
    body = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status, "detail": detail}
    return JSONResponse(body, status_code=status, media_type=MEDIA_TYPE, headers=headers)


def answer_with_problems(app: FastAPI) -> None:
    """Let every error of an application be answered with a problem; what nobody foresaw says nothing of itself."""
    app.add_exception_handler(CatalogError, _of_ours)
    app.add_exception_handler(HTTPException, _of_http)
    app.add_exception_handler(RequestValidationError, _of_validation)
    app.add_exception_handler(Exception, _of_no_one)


def _of_ours(_: Request, error: Exception) -> JSONResponse:
    status = next((status for kind, status in _STATUSES if isinstance(error, kind)), 500)
    if status == 503:
        return problem(status, str(error), headers={"Retry-After": str(RETRY_AFTER_S)})
    return problem(status, str(error))


def _of_http(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for it
    return problem(error.status_code, str(error.detail), headers=dict(error.headers or {}))


def _of_validation(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)  # noqa: S101 - registered for it
    return problem(422, "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()[:5]))


def _of_no_one(_: Request, error: Exception) -> JSONResponse:
    log.error("a request failed unexpectedly", error=f"{type(error).__name__}: {error}")
    return problem(500, "an internal error; the log says more")
