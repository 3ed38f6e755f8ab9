"""Asking and enqueueing from a program: `from workers.client import Catalog`.

Where CATALOG_API_URL names a server (or `url` does) every call is a request to it, else it goes to this machine's own
ledger, index and model. What is answered and what is raised are the same. `workers.async_client` has the asynchronous one.

Every call that makes a job writes its row, under an idempotency key, before anything is published. So when it returns,
the job is safe: should the broker be down at that moment, the workers find the job by themselves within seconds, and the
call is no failure. When it raises, it may be made again with the same key; it makes no second job.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final

import structlog

from schemas.messages import JobRequest, ReindexRequest, RetryRequest, SyncRequest
from schemas.outcomes import Reason
from schemas.records import Job, JobState
from workers.async_client import AsyncCatalog
from workers.deployment.opening import open_by, with_server
from workers.impressions import Impression
from workers.query.question import Answer, Query
from workers.settings import Settings, load_settings
from workers.telemetry import configure_logging

__all__ = ["AsyncCatalog", "Catalog"]

DEFAULT_NAME: Final = "default"


class Catalog:
    """A catalog by name; whether it exists shows with the first call.

    Thread-safe. It holds connections: use it as a context, or call `close`. Not to be carried over a fork.
    """

    def __init__(
        self,
        name: str = DEFAULT_NAME,
        *,
        url: str | None = None,
        api_key: str | None = None,
        settings: Settings | None = None,
    ) -> None:
        """Settings come from the environment (`CATALOG_*`) unless they are given; `url` and `api_key` go before them.

        Raises:
            ConfigurationError: a setting is bad, or the key would travel in the clear.
        """
        self.name = name
        settings = with_server(settings or load_settings(), url=url, api_key=api_key)
        if not structlog.is_configured():  # the program's own way of logging stays
            configure_logging(settings.log_level)
        self._there = open_by(settings)

    def __enter__(self) -> Catalog:
        """Use as a context: connections are closed at its end."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close."""
        self.close()

    def close(self) -> None:
        """Let go of every connection; closing twice is harmless."""
        self._there.close()

    def search(self, query: Query | None = None, **asked: Any) -> Answer:
        """The images nearest to a query: `search(image=..., limit=5)` is `search(Query(image=..., limit=5))`.

        Raises:
            ContractError: the query is not one.
            NotFoundError: no such catalog, nothing indexed yet, or a key or product the index does not hold.
            ItemError: the picture cannot be used; the reason says why.
        """
        return self._there.search(self.name, query or Query(**asked))

    def classify(self, picture: bytes | Path) -> Impression:
        """What the catalog's model sees in a picture: category, attributes, box, and its vector.

        Raises:
            NotFoundError: no such catalog, or nothing indexed yet.
            ItemError: the picture cannot be used; the reason says why.
        """
        data = self._there.read_picture(picture) if isinstance(picture, Path) else picture
        return self._there.look_at(self.name, data)

    def sync(
        self,
        *,
        source: str | None = None,
        include: Sequence[str] = (),
        exclude: Sequence[str] = (),
        allow_deletes: bool = False,
        idempotency_key: str | None = None,
    ) -> Job:
        """Bring the catalog in line with its source. `source` is needed the first time; the globs are those of this run.

        Raises:
            ContractError: the source is another one than the catalog's, or none that CATALOG_SOURCES allows.
            JobConflictError: another job of the catalog is not finished; carries its id.
        """
        request = SyncRequest(
            kind="sync",
            catalog=self.name,
            source=source,
            include=tuple(include),
            exclude=tuple(exclude),
            allow_deletes=allow_deletes,
        )
        return self._submit(request, idempotency_key)

    def reindex(self, *, idempotency_key: str | None = None) -> Job:
        """Index all images anew with the model at hand; the old index answers meanwhile. Raises JobConflictError."""
        return self._submit(ReindexRequest(kind="reindex", catalog=self.name), idempotency_key)

    def retry(
        self, *, reasons: Sequence[Reason] = (), failed_only: bool = False, idempotency_key: str | None = None
    ) -> Job:
        """Try quarantined and failed images again, all of them or those chosen. Raises JobConflictError."""
        request = RetryRequest(kind="retry", catalog=self.name, reasons=tuple(reasons), failed_only=failed_only)
        return self._submit(request, idempotency_key)

    def index_keys(self, keys: Sequence[str], *, idempotency_key: str | None = None) -> Job:
        """Look at these keys, at most 5,000 (through a server 1,000): what is new or changed is indexed, what is gone from
        the source is deleted.

        Runs beside any other job. Whatever is called here decides nothing: the source does.

        Raises:
            NotFoundError: no such catalog, or it has never been indexed.
            ContractError: no keys, or too many.
        """
        return self._there.index_keys(self.name, keys, idempotency_key=idempotency_key)

    def delete_keys(self, keys: Sequence[str], *, idempotency_key: str | None = None) -> Job:
        """Take images out of the index that are gone from the source. One that is still there stays: delete it there first,
        or the next sync would bring it back. The same as `index_keys`, for whom that name says it better.
        """
        return self.index_keys(keys, idempotency_key=idempotency_key)

    def update(
        self,
        fields: Mapping[str, Any],
        *,
        keys: Sequence[str] = (),
        products: Sequence[str] = (),
        idempotency_key: str | None = None,
    ) -> tuple[Job, ...]:
        """Set product fields (None removes one) on images, by key or by product, without embedding them again.

        One job for every 5,000 images. Syncs keep what was set until a manifest file says something new of the image.

        Raises:
            NotFoundError: no such catalog, or it has never been indexed.
            ContractError: a field, value, key or product that the catalog does not know.
        """
        updated = self._there.update(self.name, fields, keys=keys, products=products, idempotency_key=idempotency_key)
        return updated.jobs

    def job(self, job_id: str) -> Job:
        """A job as it stands, by its id or an unambiguous prefix; NotFoundError where there is none."""
        return self._there.job(job_id)

    def cancel(self, job_id: str) -> Job:
        """Stop a job after the images in hand."""
        return self._there.cancel(job_id)

    def wait(self, job: Job | str, *, timeout_s: float | None = None) -> Job:
        """The job when it rests: final, paused or waiting for a confirmation. Without a broker and without a server this
        process works on it.

        Raises:
            TimeoutError: it did not come to rest in time; it goes on, or waits for the next call that works on it.
            CatalogError: ledger or index do not answer.
        """
        found = job if isinstance(job, Job) else self.job(job)
        deadline = None if timeout_s is None else time.monotonic() + timeout_s

        def watch(_job: Job, _note: str | None) -> None:
            if deadline is not None and time.monotonic() >= deadline:
                raise TimeoutError(f"job {found.id[:8]} did not end within {timeout_s:g} s")

        ended = self._there.follow(found.id, on_progress=watch)
        if ended.state is JobState.DONE:
            self._there.work_off()  # twins of it, and what crossed with it
        return ended

    def _submit(self, request: JobRequest, idempotency_key: str | None) -> Job:
        return self._there.submit(request, idempotency_key=idempotency_key)[0]
