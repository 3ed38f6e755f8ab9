"""Settings: read once from the environment (`CATALOG_*`), validated, frozen. None is needed on the embedded default."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from workers.errors import ConfigurationError


class Settings(BaseSettings):
    """Every setting with its default; the environment variable is the upper-case name behind `CATALOG_`.

    A variable that is set to nothing counts as not given.
    """

    model_config = SettingsConfigDict(env_prefix="CATALOG_", env_ignore_empty=True, frozen=True, extra="ignore")

    home: Path = Field(default=Path(".catalog"))
    """Where the embedded default keeps ledger, index, models and logs."""
    ledger_url: str | None = None
    """SQLAlchemy URL of the ledger; default: SQLite under `home`."""
    broker_url: str | None = None
    """Where workers get their messages, as `redis://host:6379/0`; default: a worker inside the command, no broker."""
    index_url: str | None = None
    """URL of a Qdrant server; default: the embedded index under `home`."""
    index_api_key: SecretStr | None = None
    index_grpc: bool = False
    """Speak gRPC to the Qdrant server instead of REST."""
    index_grpc_port: int = Field(default=6334, ge=1, le=65535)
    index_timeout_s: int = Field(default=30, ge=1, le=600)
    """How long one request to the Qdrant server may take."""
    index_allow_http: bool = False
    """Allow the API key to travel over plain http to hosts other than this machine."""
    index_expected_images: int = Field(default=1_000_000, ge=1, le=10_000_000_000)
    """Images of the largest catalog: what new collections keep in memory, on disk and quantised follows from it."""
    index_shards: int | None = Field(default=None, ge=1, le=1024)
    """Shards of a new collection; default: the server's own, one for each node."""
    index_replicas: int = Field(default=1, ge=1, le=32)
    index_write_consistency: int | None = Field(default=None, ge=1, le=32)
    """Replicas that must have applied a write; default: most of them."""
    api_url: str | None = None
    """A catalog server, as `https://catalog.example`: client and commands ask it instead of this machine."""
    api_key: SecretStr | None = None
    """The key to show it."""
    sources: str | None = None
    """Comma-separated URL prefixes that catalogs may be filled from, as `s3://catalog-images/,file:///data/`; default:
    any."""
    events_token: SecretStr | None = None
    """What callers of the webhook have to bear; without it, only this machine's own address is listened on."""
    allowed_hosts: str | None = None
    """Comma-separated names, beside the address listened on, that requests to the server may be addressed to."""
    cors_origins: str | None = None
    """Comma-separated origins whose pages may use the server, as `https://shop.example`; default: only its own page."""
    link_secret: SecretStr | None = None
    """What links to pictures are signed with, the same on all servers of one address; default: random, links end with the
    process."""
    presigned_links: bool = True
    """Link to originals in the store itself, where it can sign; else always through this server."""
    image_url_hosts: str | None = None
    """Comma-separated hosts that pictures may be fetched from for a query, as `img.shop.example,*.cdn.example`; default:
    none."""
    image_url_allow_http: bool = False
    """Fetch pictures for queries over plain http too."""
    rate_limit: str = Field(default="1000/second", pattern=r"^(off|[1-9][0-9]{0,8}/(second|minute|hour))$")
    """Requests of one caller, as `100/second`; `off`: any number."""
    model: str | None = None
    """The model bundle for new catalogs: a folder, or a store's URL with the digest behind it; default: the one in the
    package."""
    models_url: str | None = None
    """Where workers of all machines find the bundles that catalogs are bound to, as `s3://company-models/bundles`."""

    s3_endpoint_url: str | None = None
    """Endpoint of an S3-compatible store; default: AWS."""
    s3_region: str | None = None
    s3_anonymous: bool = False
    """Read public buckets without credentials."""
    s3_allow_http: bool = False
    """Allow plain http to hosts other than this machine."""
    store_timeout_s: float = Field(default=30.0, gt=0, le=600)

    max_image_bytes: int = Field(default=32 * 1024 * 1024, ge=1024, le=1024**3)
    max_pixels: int = Field(default=64_000_000, ge=1024, le=1_000_000_000)
    """Width times height of the canvas."""

    threads: int | None = Field(default=None, ge=1, le=512)
    """Threads of the inference engine; default: every CPU this process may use."""
    fetch_threads: int = Field(default=16, ge=1, le=256)
    decode_threads: int | None = Field(default=None, ge=1, le=256)
    """Default: as many as CPUs."""
    inflight_bytes: int = Field(default=256 * 1024 * 1024, ge=1024 * 1024)
    """Bound on the compressed bytes fetched ahead of decoding."""
    engine: Literal["auto", "openvino", "torch"] = "auto"
    """What runs the model; `auto` takes torch where it can use a GPU, else OpenVINO."""
    device: str | None = Field(default=None, pattern=r"^(cpu|cuda(:\d{1,3})?)$")
    """`cpu`, `cuda` or `cuda:1`; default: the engine's own."""
    engine_batch: int | None = Field(default=None, ge=1, le=1024)
    """Images of one inference; default: 16 on a CPU, 128 on a GPU."""

    batch_seconds: float = Field(default=15.0, ge=1.0, le=60.0)
    """Work a batch should hold: long enough to hide its start and end, short enough to lose little."""
    window: int = Field(default=4, ge=1, le=1000)
    """Batches of a job that may be queued or running at once."""
    lease_s: float = Field(default=20.0, ge=2.0, le=600.0)
    stall_s: float = Field(default=60.0, ge=5.0, le=3600.0)
    """Without any progress for so long the process names the image in hand and ends."""

    breaker_share: float = Field(default=0.5, ge=0.0, le=1.0)
    """More than this share of a batch failing for one reason pauses its job; 0 switches it off."""
    breaker_items: int = Field(default=20, ge=1)
    """So many images have to fail for it at least."""

    log_level: str = Field(default="WARNING", pattern="^(DEBUG|INFO|WARNING|ERROR)$")

    @property
    def resolved_ledger_url(self) -> str:
        """The ledger's URL with the embedded default filled in."""
        return self.ledger_url or f"sqlite:///{self.home.absolute() / 'ledger.sqlite3'}"

    @property
    def cpus(self) -> int:
        """CPUs this process may use."""
        return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def load_settings(**overrides: object) -> Settings:
    """Settings from the environment; keyword arguments win.

    Raises:
        ConfigurationError: names each bad variable and what is wrong with it.
    """
    try:
        return Settings(**overrides)  # type: ignore[arg-type]
    except ValidationError as error:
        faults = "; ".join(f"CATALOG_{str(e['loc'][0]).upper()}: {e['msg']}" for e in error.errors())
        raise ConfigurationError(f"bad settings: {faults}") from error
