"""What a server is told at its start beside the settings."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

from workers.settings import Settings

LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "[::1]"})
"""Names by which a browser on this machine reaches it."""
_EVERY_ADDRESS = frozenset({"", "0.0.0.0", "::"})  # noqa: S104 - recognised, not bound


@dataclass(frozen=True, kw_only=True, slots=True)
class ServerOptions:
    """How one server is reached, and by whom."""

    host: str = "127.0.0.1"
    """The address it listens on."""
    allowed_hosts: frozenset[str] = frozenset()
    """Further names that requests may be addressed to, without ports."""
    cors_origins: tuple[str, ...] = ()
    """Origins whose pages may read answers, as `https://shop.example`."""
    needs_key: bool = False
    """Whether every caller has to bear an API key; else whoever bears none is this machine's administrator."""

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach it."""
        return is_loopback(self.host)

    @property
    def hosts(self) -> frozenset[str]:
        """Every name that a request may be addressed to."""
        bound = frozenset() if self.host in _EVERY_ADDRESS else frozenset({bracketed(self.host).lower()})
        return LOOPBACK_NAMES | bound | self.allowed_hosts


def server_options(settings: Settings, *, host: str, needs_key: bool) -> ServerOptions:
    """The options of a server that listens on `host`, by the settings."""
    return ServerOptions(
        host=host,
        allowed_hosts=frozenset(name.lower() for name in words(settings.allowed_hosts)),
        cors_origins=tuple(words(settings.cors_origins)),
        needs_key=needs_key,
    )


def is_loopback(host: str) -> bool:
    """Whether an address to listen on is this machine's own; names but `localhost` are not looked up."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


def bracketed(host: str) -> str:
    """A host as it stands in a URL: an IPv6 address in brackets."""
    return f"[{host}]" if ":" in host and not host.startswith("[") else host


def words(text: str | None) -> list[str]:
    """The parts of a comma-separated setting."""
    return [part.strip() for part in (text or "").split(",") if part.strip()]
