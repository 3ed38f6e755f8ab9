"""TLS before a plain server, by a certificate of a CA that is made for the test: the Valkey at hand is built without TLS."""

from __future__ import annotations

import contextlib
import select
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest


@dataclass(frozen=True, kw_only=True, slots=True)
class TlsFront:
    """A listener that decrypts and passes on."""

    port: int
    ca: Path
    """The certificate that a client has to trust."""


@contextmanager
def tls_before(port: int, folder: Path) -> Iterator[TlsFront]:
    """Listen on a free port for TLS, for the name localhost, and pass everything on to `port` of this machine."""
    trustme = pytest.importorskip("trustme", reason="trustme is not installed")
    authority = trustme.CA()
    ca = folder / "ca.pem"
    authority.cert_pem.write_to_path(str(ca))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=_accept, args=(listener, context, port), daemon=True).start()
        yield TlsFront(port=int(listener.getsockname()[1]), ca=ca)


def _accept(listener: socket.socket, context: ssl.SSLContext, port: int) -> None:
    while True:
        try:
            plain, _ = listener.accept()
        except OSError:
            return
        threading.Thread(target=_serve, args=(plain, context, port), daemon=True).start()


def _serve(plain: socket.socket, context: ssl.SSLContext, port: int) -> None:
    with (
        contextlib.suppress(OSError),
        context.wrap_socket(plain, server_side=True) as near,
        socket.create_connection(("127.0.0.1", port)) as far,
    ):
        near.setblocking(False)
        _pass_on(near, far)


def _pass_on(near: ssl.SSLSocket, far: socket.socket) -> None:
    """One thread for both directions: a TLS connection may not be read and written by two."""
    while True:
        readable = [near] if near.pending() else select.select([near, far], [], [])[0]
        if near in readable:
            try:
                data = near.recv(65536)
            except ssl.SSLWantReadError:
                data = None
            if data == b"":
                return
            if data:
                far.sendall(data)
        if far in readable:
            data = far.recv(65536)
            if not data:
                return
            near.setblocking(True)
            near.sendall(data)
            near.setblocking(False)
