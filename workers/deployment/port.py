"""What a person or a program may ask of a catalog, wherever it is: commands and clients are written once against this."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from schemas.collection import FieldKind
from schemas.extra_field import ExtraField
from schemas.messages import JobRequest
from schemas.payload import JsonValue, Payload
from schemas.records import Job, JobActivity, JobOptions, JobState, ManifestProblem, QuarantineRow, Worker
from workers.bootstrap import Process
from workers.errors import ItemError
from workers.impressions import Impression
from workers.indexing.submit import Submitted
from workers.indexing.update import Updated
from workers.query.question import Answer, Query

OnProgress = Callable[[Job, str | None], None]
"""Gets a job as it stands, and what a person should know about who works on it, if anything."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CatalogSummary:
    """A catalog in a list."""

    catalog: str
    images: int | None
    """Searchable ones; None: its index is missing."""
    problem: str | None
    source: str
    collection: str | None
    model: str | None
    last_job: str | None
    last_state: JobState | None
    last_finished_at: str | None
    """ISO 8601."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Browsed:
    """Some of a catalog's images."""

    payloads: tuple[Payload, ...]
    total: int
    """That fit, all together."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Wish:
    """What an ingest is to do."""

    catalog: str
    source: str
    options: JobOptions
    manifest: Path | None = None
    """A file of this machine."""
    extra_fields: tuple[ExtraField, ...] = ()
    model: str | None = None
    """Bundle for a new catalog."""
    priority: int | None = None


class Deployment(Protocol):
    """A deployment of the catalog. Every method raises CatalogErrors, the same ones here and behind a server."""

    def close(self) -> None:
        """Let go of every connection; closing twice is harmless."""
        ...

    def here(self, what: str) -> Process:
        """This machine's own process, for what no server does for its callers.

        Raises:
            ConfigurationError: the deployment is behind a server; the text names `what` and says what to do.
        """
        ...

    def search(self, catalog: str, query: Query) -> Answer:
        """The images nearest to a query."""
        ...

    def classify(
        self, pictures: Iterable[Path], *, model: str | None = None
    ) -> Iterator[tuple[Path, Impression | ItemError]]:
        """What the model sees in each picture of this machine, or why it cannot be used, in order."""
        ...

    def look_at(self, catalog: str, picture: bytes) -> Impression:
        """What a catalog's model sees in a picture, with its vector."""
        ...

    def read_picture(self, path: Path) -> bytes:
        """The bytes of a picture on this machine; ItemError where it cannot be used."""
        ...

    def catalogs(self) -> Sequence[CatalogSummary]:
        """All catalogs, by name."""
        ...

    def field_kinds(self, catalog: str) -> Mapping[str, FieldKind]:
        """The fields of a catalog that can be filtered."""
        ...

    def browse(self, catalog: str, *, categories: Sequence[str] = (), limit: int = 20) -> Browsed:
        """Searchable images, of some categories where they are given, in no particular order."""
        ...

    def ingest(self, wish: Wish) -> Submitted:
        """The job that brings a catalog in line with its source; the source is as the deployment sees it."""
        ...

    def reindex(self, catalog: str, *, model: str | None = None, priority: int | None = None) -> Submitted:
        """The job that indexes a catalog anew, with another model where one is named."""
        ...

    def retry(self, catalog: str, options: JobOptions, *, priority: int | None = None) -> Submitted:
        """The job that tries again what was left out: all of it, or what the options choose."""
        ...

    def index_keys(self, catalog: str, keys: Sequence[str], *, idempotency_key: str | None = None) -> Job:
        """The job that looks at these keys, set going."""
        ...

    def update(
        self,
        catalog: str,
        fields: Mapping[str, JsonValue],
        *,
        keys: Sequence[str] = (),
        products: Sequence[str] = (),
        idempotency_key: str | None = None,
    ) -> Updated:
        """The jobs that set product fields, set going."""
        ...

    def work_off(self) -> None:
        """Work on what came up beside the jobs that were followed, where nobody else does."""
        ...

    def submit(self, request: JobRequest, *, idempotency_key: str | None = None) -> Sequence[Job]:
        """The jobs of what is asked for, committed and set going."""
        ...

    def follow(self, job_id: str, *, on_progress: OnProgress) -> Job:
        """The job when it rests. On this machine's embedded default this is what works on it."""
        ...

    def works_elsewhere(self) -> bool:
        """Whether a job goes on when nobody follows it."""
        ...

    def job(self, job_id: str) -> Job:
        """A job by its id or an unambiguous prefix."""
        ...

    def jobs(self, *, catalog: str | None = None, limit: int = 20) -> Sequence[Job]:
        """Jobs, newest first."""
        ...

    def activity(self, job_id: str) -> JobActivity:
        """What a job is doing now."""
        ...

    def manifest_problems(self, job_id: str, *, limit: int = 10) -> Sequence[ManifestProblem]:
        """The first manifest rows that a job left out, at most 10."""
        ...

    def failures(self, job_id: str, *, after: str | None = None, limit: int = 1000) -> Sequence[QuarantineRow]:
        """Images that a job left out, by key."""
        ...

    def cancel(self, job_id: str) -> Job:
        """Stop a job after the images in hand."""
        ...

    def pause(self, job_id: str, *, reason: str | None = None) -> Job:
        """Let a job rest."""
        ...

    def resume(self, job_id: str) -> Job:
        """Let a paused job run again."""
        ...

    def confirm(self, job_id: str) -> Job:
        """Allow the deletes that a job waits for."""
        ...

    def prioritise(self, job_id: str, priority: int) -> Job:
        """Let a job be served earlier or later."""
        ...

    def quarantine(
        self, catalog: str, *, reason: str | None = None, after: str | None = None, limit: int = 100
    ) -> Sequence[QuarantineRow]:
        """Images of a catalog that are not searchable, by key."""
        ...

    def workers(self) -> Sequence[Worker]:
        """Who works, by their own word."""
        ...
