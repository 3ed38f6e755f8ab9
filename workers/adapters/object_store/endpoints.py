"""Endpoints of S3-compatible services, checked before a request (and credentials with it) goes to one."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

from workers.errors import ConfigurationError

_DEFAULT_PORTS = {"http": 80, "https": 443}


def canonical_endpoint(url: str, *, allow_http: bool) -> str:
    """Scheme, host and port in one spelling.

    Raises:
        ConfigurationError: no http(s) URL of a host, one with credentials in it (which are not repeated), or plain
            http to another machine without leave.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise ConfigurationError("CATALOG_S3_ENDPOINT_URL is no URL; give https://host[:port]") from None
    if "@" in url:
        raise ConfigurationError("CATALOG_S3_ENDPOINT_URL holds credentials; give them to the AWS chain instead")
    if parts.scheme not in _DEFAULT_PORTS or not host:
        raise ConfigurationError(f"CATALOG_S3_ENDPOINT_URL {url!r} is no endpoint; give https://host[:port]")
    if parts.query or parts.fragment:
        raise ConfigurationError("CATALOG_S3_ENDPOINT_URL has a query; give https://host[:port]")
    if parts.scheme == "http" and not allow_http and not is_loopback(host):
        raise ConfigurationError(
            f"the endpoint http://{host} is not encrypted; use https, or set CATALOG_S3_ALLOW_HTTP=true on a private network"
        )
    shown = f"[{host}]" if ":" in host else host
    explicit = f":{port}" if port is not None and port != _DEFAULT_PORTS[parts.scheme] else ""
    return f"{parts.scheme}://{shown}{explicit}{parts.path.rstrip('/')}"


def is_loopback(host: str) -> bool:
    """Whether the host is this machine by its very name or number; names are not looked up."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def is_aws(endpoint: str) -> bool:
    """Whether an endpoint is Amazon's own, which the bucket's name alone implies."""
    host = urlsplit(endpoint).hostname or ""
    return host.endswith((".amazonaws.com", ".amazonaws.com.cn"))
