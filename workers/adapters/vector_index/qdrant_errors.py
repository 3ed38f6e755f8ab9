"""What qdrant-client raises, by table, as the project's errors.

A server is spoken to by REST (httpx) or gRPC; local mode (`:memory:`) raises plain ValueError and KeyError instead.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from json import JSONDecodeError
from typing import Final

import grpc  # type: ignore[import-untyped]
import httpx
from qdrant_client.common.client_exceptions import QdrantException, ResourceExhaustedResponse
from qdrant_client.http.exceptions import ApiException, ResponseHandlingException, UnexpectedResponse

from workers.errors import CatalogError, ConfigurationError, ContractError, NotFoundError, TransientError

_Kind = type[TransientError] | type[ContractError] | type[ConfigurationError]


class RequestRefusedError(ContractError):
    """The server refuses what the request holds: a part of it may be acceptable."""


_STATUS: Final[dict[int, _Kind]] = {
    400: RequestRefusedError,
    401: ConfigurationError,
    403: ConfigurationError,
    404: NotFoundError,
    408: TransientError,
    413: RequestRefusedError,
    422: RequestRefusedError,
    425: TransientError,
    429: TransientError,
}
"""Other 4xx are the request's fault (ContractError), 5xx the server's (TransientError)."""

_GRPC: Final[dict[grpc.StatusCode, _Kind]] = {
    grpc.StatusCode.NOT_FOUND: NotFoundError,
    grpc.StatusCode.UNAUTHENTICATED: ConfigurationError,
    grpc.StatusCode.PERMISSION_DENIED: ConfigurationError,
    grpc.StatusCode.INVALID_ARGUMENT: RequestRefusedError,
    grpc.StatusCode.ALREADY_EXISTS: ContractError,
    grpc.StatusCode.OUT_OF_RANGE: RequestRefusedError,
    grpc.StatusCode.UNIMPLEMENTED: ContractError,
}
"""Every other code (unavailable, deadline exceeded, resource exhausted, aborted, internal ...) may pass: TransientError.
So may a failed precondition, by which Qdrant means a shard that is not ready; over REST the same is a 500."""
_STRICT_MODE: Final = "Help: "
"""In the text of every refusal by strict mode. It is about the request's shape: no part of it would be accepted."""


@contextmanager
def translated_errors(action: str) -> Iterator[None]:
    """Raise the project's error for whatever the client raises in the block; `action` begins its text."""
    try:
        yield
    except CatalogError:
        raise
    except (ApiException, QdrantException, httpx.HTTPError, httpx.InvalidURL, grpc.RpcError) as error:
        raise translate(error, action) from error
    except JSONDecodeError as error:  # a proxy's page instead of an answer, or half an answer
        raise TransientError(f"{action}: what answers for Qdrant sends no JSON") from error
    except AssertionError as error:  # the client's word for an answer without a result
        raise ContractError(f"{action}: Qdrant's answer cannot be read: {error}") from error
    except (ValueError, KeyError, RuntimeError) as error:  # local mode
        raise _local(error, action) from error


def translate(error: Exception, action: str) -> CatalogError:
    """The project's error for one of the client's."""
    if isinstance(error, ResourceExhaustedResponse):
        return TransientError(f"{action}: Qdrant asks to slow down: {error}", retry_after_s=error.retry_after_s)
    if isinstance(error, QdrantException):  # over REST: a `Retry-After` that is a date
        return TransientError(f"{action}: Qdrant asks to slow down: {error}")
    if isinstance(error, UnexpectedResponse):
        return _of_status(error, action)
    if isinstance(error, ResponseHandlingException):
        return translate(error.source, action)
    if isinstance(error, httpx.InvalidURL | httpx.UnsupportedProtocol):
        return ConfigurationError(f"{action}: the Qdrant URL cannot be used: {error}")
    if isinstance(error, httpx.HTTPError | OSError):
        return TransientError(f"{action}: Qdrant does not answer: {type(error).__name__} {error}")
    if isinstance(error, grpc.RpcError):
        code = error.code() if isinstance(error, grpc.Call) else grpc.StatusCode.UNKNOWN
        text = error.details() if isinstance(error, grpc.Call) else str(error)
        return _unless_strict(_GRPC.get(code, TransientError), text or "")(
            f"{action}: Qdrant says {code.name.lower()}: {text}"
        )
    return ContractError(f"{action}: Qdrant's answer cannot be read: {error}")


def _of_status(error: UnexpectedResponse, action: str) -> CatalogError:
    status = error.status_code or 500
    said = error.content[:500].decode(errors="replace")
    kind = _unless_strict(_STATUS.get(status, TransientError if status >= 500 else ContractError), said)
    text = f"{action}: Qdrant answered {status} {error.reason_phrase}: {said}"
    if kind is TransientError:
        after = error.headers.get("Retry-After", "") if error.headers else ""
        return TransientError(text, retry_after_s=float(after) if after.isdigit() else None)
    return kind(text)


def _unless_strict(kind: _Kind, said: str) -> _Kind:
    return ContractError if kind is RequestRefusedError and _STRICT_MODE in said else kind


def _local(error: Exception, action: str) -> CatalogError:
    if isinstance(error, RuntimeError):
        if "closed" in str(error):
            return TransientError(f"{action}: {error}")
        raise error
    if "not found" in str(error):
        return NotFoundError(f"{action}: {error}")
    return RequestRefusedError(f"{action}: {error}")
