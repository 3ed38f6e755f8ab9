"""The name of the request in hand, wherever on its way it is asked for."""

from __future__ import annotations

from contextvars import ContextVar

_current: ContextVar[str | None] = ContextVar("request_id", default=None)


def request_id() -> str | None:
    """Of the request in whose context this is called; None outside of any."""
    return _current.get()


def name_request(name: str) -> None:
    """From now on this context is about the request of that name."""
    _current.set(name)
