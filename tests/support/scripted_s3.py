"""An HTTP server that answers as a test tells it: for what no well-behaved S3 server would say."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, quote, urlsplit
from xml.sax.saxutils import escape

MODIFIED = "Mon, 01 Jan 2024 00:00:00 GMT"


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """What was asked; `path` as it stood in the request line, still encoded."""

    path: str
    query: dict[str, str]
    headers: dict[str, str]


@dataclass(frozen=True, kw_only=True, slots=True)
class Reply:
    """What to answer. `length` is the announced one, `hold` keeps the connection open without a further byte."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    length: int | None = None
    hold: bool = False


@dataclass(kw_only=True, slots=True)
class ScriptedS3:
    """The running server. `reply` may be replaced at any time."""

    endpoint_url: str
    reply: Callable[[Request], Reply]
    asked: list[Request] = field(default_factory=list)
    released: threading.Event = field(default_factory=threading.Event)


def listing(keys: Sequence[str], *, etag: str | None = '"e1"', size: int = 3, token: str | None = None) -> Reply:
    """A page of ListObjectsV2, keys URL-encoded as botocore asks for."""
    tag = "" if etag is None else f"<ETag>{escape(etag)}</ETag>"
    contents = "".join(
        f"<Contents><Key>{quote(key)}</Key><LastModified>2024-01-01T00:00:00.123Z</LastModified>{tag}"
        f"<Size>{size}</Size></Contents>"
        for key in keys
    )
    more = "" if token is None else f"<NextContinuationToken>{token}</NextContinuationToken>"
    return Reply(
        body=(
            '<?xml version="1.0"?><ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
            f"<EncodingType>url</EncodingType><IsTruncated>{'false' if token is None else 'true'}</IsTruncated>"
            f"{more}{contents}</ListBucketResult>"
        ).encode(),
        headers={"Content-Type": "application/xml"},
    )


def image(body: bytes = b"abc", *, length: int | None = None, etag: str | None = '"e1"', hold: bool = False) -> Reply:
    """An object."""
    headers = {"Last-Modified": MODIFIED} | ({} if etag is None else {"ETag": etag})
    return Reply(body=body, headers=headers, length=length, hold=hold)


def refusal(status: int, code: str, more: str = "") -> Reply:
    """An S3 error document."""
    body = f'<?xml version="1.0"?><Error><Code>{code}</Code><Message>no</Message>{more}</Error>'
    return Reply(status=status, body=body.encode(), headers={"Content-Type": "application/xml"})


@contextmanager
def scripted_s3(reply: Callable[[Request], Reply]) -> Iterator[ScriptedS3]:
    """Serve on a free loopback port until the block ends; held connections are let go then."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            query = {name: values[0] for name, values in parse_qs(parts.query).items()}
            request = Request(path=parts.path, query=query, headers=dict(self.headers))
            script.asked.append(request)
            answer = script.reply(request)
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            length = len(answer.body) if answer.length is None else answer.length
            self.send_header("Content-Length", str(length))
            self.end_headers()
            self.wfile.write(answer.body)
            self.wfile.flush()
            if answer.hold:
                script.released.wait(30)
            if length != len(answer.body):
                self.close_connection = True
                self.connection.shutdown(socket.SHUT_RDWR)

        def log_message(self, format: str, *args: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, request: object, client_address: object) -> None:
            """A client that hangs up on us is what several tests are about."""

    server = Server(("127.0.0.1", 0), Handler)
    script = ScriptedS3(endpoint_url=f"http://127.0.0.1:{server.server_port}", reply=reply)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield script
    finally:
        script.released.set()
        server.shutdown()
        server.server_close()
        thread.join(5)
