"""Errors on their way from the owner to a client: raised there as the class they had here."""

from __future__ import annotations

from typing import Any, Final

from workers.errors import (
    CatalogError,
    ConfigurationError,
    ContractError,
    NotFoundError,
    PointsRefusedError,
    TransientError,
)

_ERRORS: Final[dict[str, type[CatalogError]]] = {
    error.__name__: error for error in (TransientError, NotFoundError, ContractError, ConfigurationError)
}


def error_to_json(error: Exception) -> dict[str, Any]:
    """An error as it travels: the nearest class both sides know, or `unexpected`."""
    kind = next((base.__name__ for base in type(error).__mro__ if base.__name__ in _ERRORS), "unexpected")
    text = str(error) if kind in _ERRORS else f"{type(error).__name__}: {error}"
    carried: dict[str, Any] = {"kind": kind, "text": text, "retry_after_s": getattr(error, "retry_after_s", None)}
    if isinstance(error, PointsRefusedError):
        carried["refused"] = error.refused
    return carried


def error_from_json(data: dict[str, Any]) -> Exception:
    """The error to raise on this side; what the owner did not expect is a RuntimeError, as a bug should be."""
    kind = _ERRORS.get(str(data.get("kind")))
    text = str(data.get("text"))
    if kind is None:
        return RuntimeError(f"the index' owner failed: {text}")
    if refused := data.get("refused"):
        return PointsRefusedError(refused)
    if kind is TransientError:
        return TransientError(text, retry_after_s=data.get("retry_after_s"))
    return kind(text)
