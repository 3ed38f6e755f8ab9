"""HTTP/1.1 on a connection, with bounds on the head of a request: uvicorn's own parser takes heads of any size and age."""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import Final

import orjson
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MAX_HEAD_BYTES: Final = 64 * 1024
HEAD_S: Final = 10.0
"""From the first byte of a connection or request to the end of its head."""


class BoundedProtocol(HttpToolsProtocol):
    """Answers 431 to a head that is too large, and ends a connection whose head does not come."""

    _head_bytes = 0
    _in_head = True
    _head_end: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Wait for a head."""
        super().connection_made(transport)
        self._expect_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no longer."""
        self._head_came()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Count what belongs to an unfinished head; the parser keeps a header to itself until its end."""
        if self._in_head:
            self._head_bytes += len(data)
        super().data_received(data)
        if self._in_head and self._head_bytes > MAX_HEAD_BYTES and not self.transport.is_closing():
            self._end_with(
                HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
                f"the head of a request has at most {MAX_HEAD_BYTES:,} bytes",
            )

    def on_message_begin(self) -> None:
        """A head begins."""
        self._head_bytes = 0
        self._expect_head()
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Count headers, also those behind a chunked body. An error here is answered with 400 by the parser's caller."""
        self._head_bytes += len(name) + len(value)
        if self._head_bytes > 4 * MAX_HEAD_BYTES:
            raise ValueError("too many headers")
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """The head is there."""
        self._head_came()
        self._in_head = False
        self._head_bytes = 0
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """What comes next is a head."""
        self._in_head = True
        self._head_bytes = 0
        super().on_message_complete()

    def _expect_head(self) -> None:
        self._in_head = True
        if self._head_end is None:
            self._head_end = self.loop.call_later(HEAD_S, self._give_up)

    def _head_came(self) -> None:
        if self._head_end is not None:
            self._head_end.cancel()
            self._head_end = None

    def _give_up(self) -> None:
        self._head_end = None
        if not self.transport.is_closing():
            self.transport.close()

    def send_400_response(self, msg: str) -> None:
        """What the parser refuses is answered like every other problem."""
        self._end_with(HTTPStatus.BAD_REQUEST, "this is no request of HTTP/1.1")

    def _end_with(self, status: HTTPStatus, detail: str) -> None:
        body = orjson.dumps({"type": "about:blank", "title": status.phrase, "status": status, "detail": detail})
        self.transport.write(
            f"HTTP/1.1 {status.value} {status.phrase}\r\ncontent-type: application/problem+json\r\n"
            f"connection: close\r\ncontent-length: {len(body)}\r\n\r\n".encode()
            + body
        )
        self.transport.close()
