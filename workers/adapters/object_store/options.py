"""What a source's URL does not say. Credentials are no option: they come from the provider's own chain."""

from __future__ import annotations

from dataclasses import dataclass

CONNECT_TIMEOUT_S = 5.0
"""A host that does not take a connection in this time is down or blocked by a firewall."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StoreOptions:
    """How to reach a remote store; folders need none of it."""

    endpoint_url: str | None = None
    """S3-compatible service instead of AWS (`CATALOG_S3_ENDPOINT_URL`); default: what the AWS chain says."""
    region: str | None = None
    """`CATALOG_S3_REGION`; default: what the AWS chain says, else us-east-1."""
    anonymous: bool = False
    """Send no credentials (`CATALOG_S3_ANONYMOUS`): for public buckets."""
    allow_http: bool = False
    """Allow plain http to other hosts than this machine (`CATALOG_S3_ALLOW_HTTP`)."""
    timeout_s: float = 30.0
    """About how long one call may take with its retries (`CATALOG_STORE_TIMEOUT_S`)."""
    retries: int = 3
    """How often the driver repeats a request, with jitter, before the fault is reported as transient."""

    @property
    def stall_s(self) -> float:
        """How long a peer may stay silent; a third, so that a stall leaves time to try again."""
        return self.timeout_s / 3

    @property
    def connect_s(self) -> float:
        """How long making a connection may take."""
        return min(CONNECT_TIMEOUT_S, self.stall_s)
