"""The server process around the application."""

from __future__ import annotations

import errno
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

import uvicorn

from workers.errors import ConfigurationError
from workers.web.app import CatalogApp
from workers.web.options import bracketed
from workers.web.protocol import BoundedProtocol

MAX_CONNECTIONS = 1000
KEEP_ALIVE_S = 15
"""How long an idle connection is kept."""
GRACE_S = 10
"""How long requests in flight may take to end."""


def listen(host: str, port: int) -> socket.socket:
    """A listening socket; port 0 takes a free one.

    Raises:
        ConfigurationError: the address is taken, not this machine's, or may not be used.
    """
    try:
        family, _, _, _, address = socket.getaddrinfo(
            host.strip("[]"), port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        bound = socket.socket(family, socket.SOCK_STREAM)
        try:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            bound.bind(address)
            bound.listen(1024)
        except OSError:
            bound.close()
            raise
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise ConfigurationError(
                f"port {port} of {host} is in use; stop what listens there, or give another --port (0: any free one)"
            ) from error
        raise ConfigurationError(f"cannot listen on {host}:{port}: {error.strerror or error}") from error
    bound.setblocking(False)
    return bound


def address_of(bound: socket.socket) -> str:
    """The URL that leads to a listening socket from this machine."""
    host, port = bound.getsockname()[:2]
    shown = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - told, not bound
    return f"http://{bracketed(shown)}:{port}"


class _Server(uvicorn.Server):
    """Tells the application when it begins to end, so that streams do."""

    def __init__(self, config: uvicorn.Config, on_exit: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_exit = on_exit

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """See uvicorn: a first signal ends it after the requests in flight, a second one at once."""
        super().handle_exit(sig, frame)
        self._on_exit()


def run(app: CatalogApp, bound: socket.socket) -> None:
    """Serve until SIGTERM or Ctrl-C; requests in flight end first."""
    config = uvicorn.Config(
        app,
        loop="uvloop",
        http=BoundedProtocol,
        ws="none",
        log_level="warning",
        access_log=False,
        server_header=False,
        date_header=True,
        proxy_headers=False,
        timeout_graceful_shutdown=GRACE_S,
        limit_concurrency=MAX_CONNECTIONS,
        timeout_keep_alive=KEEP_ALIVE_S,
        backlog=1024,
        log_config=None,
    )
    with _quiet_signals():
        _Server(config, app.services.stop).run(sockets=[bound])


@contextmanager
def _quiet_signals() -> Iterator[None]:
    """The server ends by itself on these, then raises the signal once more; that one must end nothing else."""
    before = {number: signal.signal(number, lambda *_: None) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
