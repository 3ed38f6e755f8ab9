"""What the OpenAPI document says of problems."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any, Final

_TEXTS: Final = {
    400: "The request can never work as it is.",
    401: "An API key is needed, or the one that was borne is not valid.",
    403: "The API key is not for this, or a link has ended.",
    404: "There is no such catalog, job or image.",
    408: "The body did not come in time.",
    409: "It contradicts what is there.",
    413: "The body is too large.",
    414: "The address is too long.",
    415: "Bodies of this kind are not read.",
    421: "The request is addressed to a name that is not this server's.",
    422: "A field is wrong, or the picture cannot be used: `reason` says why.",
    429: "Too many requests; `Retry-After` says when to come back.",
    500: "A fault of the server; its log says more.",
    503: "Something that the server depends on does not answer, or it has too much to do; `Retry-After`.",
}


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Documented answers of these statuses, as problem details."""
    return {
        status: {
            "description": _TEXTS[status],
            "content": {
                "application/problem+json": {
                    "schema": {"$ref": "#/components/schemas/Problem"},
                    "example": {
                        "type": "about:blank",
                        "title": HTTPStatus(status).phrase,
                        "status": status,
                        "detail": _TEXTS[status],
                        "request_id": "3f1c9a52d0b94b0aa3c8a1f5c9a0a1de",
                    },
                }
            },
        }
        for status in statuses
    }


def complete(document: dict[str, Any]) -> None:
    """Let an OpenAPI document tell of the problems that come from around the routes, and of validation as it is answered."""
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            statuses = [400, 403, 414, 421, 422, 500, 503]
            if path.startswith("/v1/") or path == "/metrics":
                statuses += [401, 404, 429]
            if method != "get":
                statuses += [408, 409, 413, 415]
            for status, told in problems(*statuses).items():
                if status == 422 or str(status) not in operation["responses"]:
                    operation["responses"][str(status)] = told
    for unused in ("HTTPValidationError", "ValidationError"):
        document.get("components", {}).get("schemas", {}).pop(unused, None)
