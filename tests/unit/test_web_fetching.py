"""Pictures by URL: from where the operator allows, never from where only the server can reach."""

from __future__ import annotations

import http.server
import socket
import threading
import time
from collections.abc import Iterator

import pytest

from schemas.outcomes import Reason
from workers.errors import ContractError, ItemError
from workers.web.fetching import Allowed, Fetcher

OPEN = ("127.0.0.0/8",)


class _Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        name, _, rest = self.path[1:].partition("?")
        match name:
            case "to":
                self.send_response(302)
                self.send_header("Location", rest)
                self.end_headers()
            case "slow":
                self.send_response(200)
                self.end_headers()
                for _ in range(100):
                    self.wfile.write(b"x")
                    time.sleep(0.05)
            case "endless":
                self.send_response(200)
                self.end_headers()
                while True:
                    self.wfile.write(b"x" * 65536)
            case "cut":
                self.send_response(200)
                self.send_header("Content-Length", "100")
                self.end_headers()
                self.wfile.write(b"x")
            case "gone":
                self.send_error(404)
            case _:
                self.send_response(200)
                self.end_headers()
                self.wfile.write(b"bytes of " + name.encode())

    def log_message(self, *_: object) -> None:
        pass

    def handle(self) -> None:
        try:
            super().handle()
        except OSError:
            self.close_connection = True


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server.server_address[1]
    server.shutdown()
    server.server_close()


def fetcher(port: int, *, own: tuple[str, ...] = OPEN, total_s: float = 5.0, hosts: tuple[str, ...] = ()) -> Fetcher:
    allowed = Allowed(hosts=(f"localhost:{port}", f"127.0.0.1:{port}", *hosts), http=True)
    return Fetcher(allowed, max_bytes=100_000, total_s=total_s, own_networks=own)


def test_a_picture_is_fetched_from_an_allowed_host_also_through_a_redirect(port: int) -> None:
    assert fetcher(port).fetch(f"http://localhost:{port}/a.jpg?x=1") == b"bytes of a.jpg"
    assert fetcher(port).fetch(f"http://localhost:{port}/to?/b.jpg") == b"bytes of b.jpg"


@pytest.mark.parametrize(
    "url",
    [
        "https://elsewhere.example/a.jpg", "http://localhost/a.jpg", "ftp://localhost/a.jpg", "file:///etc/passwd",
        "http://user:secret@localhost:{port}/a.jpg", "http://localhost:{port}@elsewhere.example/a.jpg", "a.jpg",
        "http://localhost:{port}.elsewhere.example/", "http://localhost:99999/", "http://[::1/", "http:///a.jpg",
        "http://localhost:{port}/a b.jpg", "http://localhost:{port}/a\r\nX: y", "http://localhost\\@x:{port}/",
        "http://evil-localhost:{port}/a.jpg", "http://2130706433:{port}/a.jpg", "http://\u24db\u24de.example/",
    ],
)  # fmt: skip
def test_an_address_that_is_not_allowed_is_refused_before_anything_is_sent(port: int, url: str) -> None:
    with pytest.raises(ContractError, match="image_url"):
        fetcher(port).fetch(url.replace("{port}", str(port)))


def test_nothing_is_fetched_unless_the_operator_names_hosts(port: int) -> None:
    with pytest.raises(ContractError, match="CATALOG_IMAGE_URL_HOSTS"):
        Fetcher(Allowed(), max_bytes=1000).fetch("https://img.example/a.jpg")
    with pytest.raises(ContractError, match="https://"):
        Fetcher(Allowed(hosts=("img.example",)), max_bytes=1000).fetch("http://img.example/a.jpg")


ADDRESSES = [
    "127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "224.0.0.1",  # noqa: S104
    "255.255.255.255", "198.18.0.1", "192.0.2.1", "::1", "::", "fe80::1%eth0", "fc00::1", "ff02::1", "::ffff:127.0.0.1",
    "::ffff:10.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::", "2001:0:0:0:0:0:80ff:fffe", "2001:db8::1",
]  # fmt: skip


@pytest.mark.parametrize("address", ADDRESSES)
def test_no_address_that_only_this_machine_or_network_reaches_is_connected_to(
    address: str, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = [(socket.AF_INET6 if ":" in address else socket.AF_INET, 1, 6, "", (address, port))]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
    monkeypatch.setattr(socket, "create_connection", lambda *_, **__: pytest.fail("connected"))
    with pytest.raises(ItemError, match="private or reserved") as refused:
        fetcher(port, own=()).fetch(f"http://localhost:{port}/a.jpg")
    assert refused.value.reason is Reason.ACCESS_DENIED


def test_the_checked_address_is_the_one_connected_to(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that says something else when it is asked again (DNS rebinding) is not asked again."""
    answers = iter([[(socket.AF_INET, 1, 6, "", ("127.0.0.1", port))]])
    asked: list[str] = []
    real = socket.getaddrinfo

    def answer(host: str, *rest: object, **more: object) -> object:
        if host == "pictures.example":
            asked.append(host)
            return next(answers)
        return real(host, *rest, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(socket, "getaddrinfo", answer)
    allowed = fetcher(port, hosts=(f"pictures.example:{port}",))
    assert allowed.fetch(f"http://pictures.example:{port}/a.jpg") == b"bytes of a.jpg"
    assert asked == ["pictures.example"]


def test_a_redirect_is_checked_like_the_first_address(port: int) -> None:
    for target in (
        "http://elsewhere.example/",
        "file:///etc/passwd",
        "//elsewhere.example/",
        f"http://a:b@localhost:{port}/",
    ):
        with pytest.raises(ContractError):
            fetcher(port).fetch(f"http://localhost:{port}/to?{target}")
    with pytest.raises(ItemError, match="redirects"):
        fetcher(port).fetch(f"http://localhost:{port}/to?/to?/to?/to?/to?/a.jpg")


def test_size_and_time_are_bounded(port: int) -> None:
    with pytest.raises(ItemError) as large:
        fetcher(port).fetch(f"http://localhost:{port}/endless")
    assert large.value.reason is Reason.TOO_LARGE
    began = time.monotonic()
    with pytest.raises(ItemError, match="in time"):
        fetcher(port, total_s=0.3).fetch(f"http://localhost:{port}/slow")
    assert time.monotonic() - began < 2


def test_what_cannot_be_had_says_why(port: int) -> None:
    with pytest.raises(ItemError) as cut:
        fetcher(port).fetch(f"http://localhost:{port}/cut")
    with pytest.raises(ItemError, match="404") as gone:
        fetcher(port).fetch(f"http://localhost:{port}/gone")
    assert gone.value.reason is Reason.VANISHED
    assert cut.value.reason in (Reason.TRUNCATED, Reason.VANISHED)
