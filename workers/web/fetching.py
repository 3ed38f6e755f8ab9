"""Pictures fetched from elsewhere for a query, where the operator allows the host.

A server that fetches what strangers name can be led to what only it can reach. So: https, hosts on a list, no private
addresses, and the connection goes to the very address that was checked (a name that points elsewhere a moment later,
DNS rebinding, changes nothing). Redirects are followed a few times, each checked like the first address.
"""

from __future__ import annotations

import http.client
import ipaddress
import socket
import ssl
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Final
from urllib.parse import SplitResult, urljoin, urlsplit

from schemas.outcomes import Reason
from workers.errors import ContractError, ItemError
from workers.settings import Settings
from workers.web.options import words

TOTAL_S: Final = 10.0
CONNECT_S: Final = 3.0
MAX_REDIRECTS: Final = 3
_CHUNK: Final = 64 * 1024
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_PORTS: Final = {"https": 443, "http": 80}


@dataclass(frozen=True, kw_only=True, slots=True)
class Allowed:
    """Where pictures may be fetched from."""

    hosts: tuple[str, ...] = ()
    """Names; `*.cdn.example` allows every name below. A name with a port allows that port."""
    http: bool = False


def allowed_of(settings: Settings) -> Allowed:
    """What the settings allow."""
    hosts = tuple(host.lower().rstrip(".") for host in words(settings.image_url_hosts))
    return Allowed(hosts=hosts, http=settings.image_url_allow_http)


class Fetcher:
    """Fetches pictures by URL. Thread-safe; every fetch has a connection of its own."""

    def __init__(
        self,
        allowed: Allowed,
        *,
        max_bytes: int,
        total_s: float = TOTAL_S,
        own_networks: Sequence[str] = (),
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """`own_networks` exempts networks (as `127.0.0.0/8`) from the refusal of private addresses, and `tls` brings
        certificates: no setting leads here, only a program that embeds the server, or a test, passes them.
        """
        self._allowed = allowed
        self._max_bytes = max_bytes
        self._total_s = total_s
        self._own = tuple(ipaddress.ip_network(one) for one in own_networks)
        self._tls = tls or ssl.create_default_context()

    def fetch(self, url: str) -> bytes:
        """The bytes at a URL; blocks.

        Raises:
            ContractError: the URL is not allowed; the text says why.
            ItemError: vanished, too_large or access_denied: the picture cannot be had.
        """
        deadline = time.monotonic() + self._total_s
        for _ in range(MAX_REDIRECTS + 1):
            found = self._get(self._checked(url), deadline)
            if isinstance(found, bytes):
                return found
            url = urljoin(url, found)
        raise ItemError(Reason.ACCESS_DENIED, f"image_url leads through more than {MAX_REDIRECTS} redirects")

    def _checked(self, url: str) -> SplitResult:
        if not self._allowed.hosts:
            raise ContractError(
                "this server fetches no pictures: upload it instead, or let the operator name its host in "
                "CATALOG_IMAGE_URL_HOSTS"
            )
        if not url.isascii() or any(c <= " " or c == "\\" for c in url):
            raise ContractError("image_url is no URL: percent-encode what is not plain ASCII")
        try:
            parts = urlsplit(url)
            host, port = (parts.hostname or "").rstrip("."), parts.port
        except ValueError:
            raise ContractError("image_url is no URL") from None
        if parts.scheme not in _PORTS or not host:
            raise ContractError("image_url has to be an https:// address")
        if parts.scheme == "http" and not self._allowed.http:
            raise ContractError("image_url has to be an https:// address; the operator allows no plain http")
        if "@" in parts.netloc:
            raise ContractError("image_url must not hold a user or a password")
        explicit = port is not None and port != _PORTS[parts.scheme]
        if not self._is_listed(f"{host}:{port}" if explicit else host):
            raise ContractError(f"image_url names the host {host!r}, which CATALOG_IMAGE_URL_HOSTS does not list")
        return parts

    def _is_listed(self, host: str) -> bool:
        return any(host == one or (one.startswith("*.") and host.endswith(one[1:])) for one in self._allowed.hosts)

    def _get(self, parts: SplitResult, deadline: float) -> bytes | str:
        """The body, or where a redirect leads."""
        host = parts.hostname or ""
        connection = _Pinned(host, parts.port or _PORTS[parts.scheme], deadline=deadline)
        with closing(connection):
            try:
                connection.sock = self._connect(connection, tls=parts.scheme == "https")
                target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
                connection.request("GET", target, headers={"Accept": "image/*", "User-Agent": "catalog"})
                answer = connection.getresponse()
                location = answer.getheader("Location")
                if answer.status in _REDIRECTS and location:
                    return location
                return self._body(answer, connection, deadline)
            except (OSError, http.client.HTTPException, ValueError) as error:
                said = type(error).__name__ if not isinstance(error, TimeoutError) else "it did not come in time"
                raise ItemError(Reason.VANISHED, f"the picture at {host} cannot be fetched: {said}") from error

    def _body(self, answer: http.client.HTTPResponse, connection: _Pinned, deadline: float) -> bytes:
        if answer.status != 200:
            reason = Reason.ACCESS_DENIED if answer.status in (401, 403) else Reason.VANISHED
            raise ItemError(reason, f"the picture's host answers {answer.status}")
        parts, size = [], 0
        while True:
            connection.bound(deadline)
            part = answer.read1(_CHUNK)
            if not part:
                break
            size += len(part)
            if size > self._max_bytes:
                raise ItemError(Reason.TOO_LARGE, f"the picture is larger than {self._max_bytes:,} bytes")
            parts.append(part)
        if answer.length:
            raise ItemError(Reason.TRUNCATED, "the picture's host sent less than it announced")
        return b"".join(parts)

    def _connect(self, connection: _Pinned, *, tls: bool) -> socket.socket:
        """To the first address of the name that may be reached; the name is looked up once, here."""
        host, port = connection.host, connection.port
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
        refused = [address for address in addresses if not self._may_reach(address)]
        if refused:  # a name that has both kinds is up to something
            raise ItemError(
                Reason.ACCESS_DENIED, f"{host} has a private or reserved address, which is not fetched from"
            )
        plain = socket.create_connection((addresses[0], port), timeout=min(CONNECT_S, connection.left_s()))
        if not tls:
            return plain
        try:
            plain.settimeout(connection.left_s())
            return self._tls.wrap_socket(plain, server_hostname=host)
        except BaseException:
            plain.close()
            raise

    def _may_reach(self, address: str) -> bool:
        ip = ipaddress.ip_address(address.partition("%")[0])
        if any(ip in network for network in self._own if network.version == ip.version):
            return True
        if isinstance(ip, ipaddress.IPv6Address):
            within = ip.ipv4_mapped or ip.sixtofour or (ip.teredo[1] if ip.teredo else None) or _nat64(ip)
            if within is not None and not _is_public(within):
                return False
        return _is_public(ip)


class _Pinned(http.client.HTTPConnection):
    """A connection whose socket is made elsewhere, to an address that was checked."""

    def __init__(self, host: str, port: int, *, deadline: float) -> None:
        super().__init__(host, port)
        self._deadline = deadline

    def connect(self) -> None:
        """Never by itself: the name must not be looked up again."""
        raise http.client.NotConnected

    def left_s(self) -> float:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        return left

    def bound(self, deadline: float) -> None:
        """Let the next read wait no longer than that."""
        if self.sock is not None:
            self.sock.settimeout(max(0.001, deadline - time.monotonic()))
        if time.monotonic() >= deadline:
            raise TimeoutError


def _is_public(ip: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    return ip.is_global and not (ip.is_multicast or ip.is_reserved or ip.is_unspecified)


def _nat64(ip: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    """The IPv4 address that 64:ff9b::/96 leads to (RFC 6052)."""
    return ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF) if ip in ipaddress.IPv6Network("64:ff9b::/96") else None
