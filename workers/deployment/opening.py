"""Which deployment the settings lead to: a server where CATALOG_API_URL names one, else this machine's own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from pydantic import SecretStr

from workers.bootstrap import Process
from workers.deployment.local import LocalDeployment
from workers.deployment.port import Deployment
from workers.imaging.decode import DecodeLimits
from workers.settings import Settings, load_settings
from workers.telemetry import configure_logging


def with_server(settings: Settings, *, url: str | None, api_key: str | None) -> Settings:
    """The settings with a server and a key of one's own."""
    given: dict[str, object] = {} if url is None else {"api_url": url}
    if api_key is not None:
        given["api_key"] = SecretStr(api_key)
    return settings.model_copy(update=given)


def open_by(settings: Settings) -> Deployment:
    """The deployment of these settings; to be closed.

    Raises:
        ConfigurationError: CATALOG_API_URL or CATALOG_API_KEY is none.
    """
    if settings.api_url is None:
        return LocalDeployment(Process(settings))
    from workers.deployment.remote import RemoteDeployment

    limits = DecodeLimits(max_bytes=settings.max_image_bytes, max_pixels=settings.max_pixels)
    key = settings.api_key.get_secret_value() if settings.api_key is not None else None
    return RemoteDeployment(settings.api_url, api_key=key, limits=limits)


@contextmanager
def open_deployment() -> Iterator[Deployment]:
    """The deployment of the environment, with logging set up; for commands.

    Raises:
        ConfigurationError: a setting is bad; the text names it.
    """
    settings = load_settings()
    configure_logging(settings.log_level)
    opened = open_by(settings)
    try:
        yield opened
    finally:
        opened.close()
