"""Enqueueing from a program: `from workers.client import Catalog`.

Every call writes the job's row, under an idempotency key, before anything is published. So when it returns, the job is
safe: should the broker be down at that moment, the workers find the job by themselves within seconds, and the call is no
failure. When it raises, it may be made again with the same key; it makes no second job.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Final

import structlog

from schemas.ids import new_id
from schemas.messages import (
    JobRequest,
    ReindexRequest,
    RetryRequest,
    SyncRequest,
)
from schemas.records import AskedKey, Job, JobState
from workers import dispatch
from workers.bootstrap import Process
from workers.errors import ContractError
from workers.indexing.update import submit_update
from workers.pump import work_off
from workers.settings import Settings, load_settings
from workers.submission import EVERYTHING, submit
from workers.telemetry import configure_logging

DEFAULT_NAME: Final = "default"


class Catalog:
    """A catalog of this deployment, by name; whether it exists shows with the first call.

    Thread-safe. It holds connections: use it as a context, or call `close`. Not to be carried over a fork.
    """

    def __init__(self, name: str = DEFAULT_NAME, *, settings: Settings | None = None) -> None:
        """Settings come from the environment (`CATALOG_*`) unless they are given.

        Raises:
            ConfigurationError: a setting is bad.
        """
        self.name = name
        settings = settings or load_settings()
        if not structlog.is_configured():  # the program's own way of logging stays
            configure_logging(settings.log_level)
        self._process = Process(settings)

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
        self._process.__exit__(None, None, None)

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

    def retry(self, *, idempotency_key: str | None = None) -> Job:
        """Try quarantined and failed images again. Raises JobConflictError."""
        return self._submit(RetryRequest(kind="retry", catalog=self.name), idempotency_key)

    def index_keys(self, keys: Sequence[str], *, idempotency_key: str | None = None) -> Job:
        """Look at these keys, at most 5,000: what is new or changed is indexed, what is gone from the source is deleted.

        Runs beside any other job. Whatever is called here decides nothing: the source does.

        Raises:
            NotFoundError: no such catalog, or it has never been indexed.
            ContractError: no keys, or too many.
        """
        if not keys:
            raise ContractError("no keys to look at")
        asked = [AskedKey(key=key) for key in dict.fromkeys(keys)]
        made = self._process.ledger.create_keys_jobs(
            self.name, asked, options=EVERYTHING, idempotency_key=idempotency_key or new_id()
        )
        self._set_going(made)
        return made[0]

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
        updated = submit_update(
            self.name,
            fields,
            ledger=self._process.ledger,
            keys=keys,
            products=products,
            idempotency_key=idempotency_key or new_id(),
        )
        self._set_going(updated.jobs)
        return updated.jobs

    def job(self, job_id: str) -> Job:
        """A job as it stands, by its id or an unambiguous prefix; NotFoundError where there is none."""
        return self._process.ledger.job(job_id)

    def cancel(self, job_id: str) -> Job:
        """Stop a job after the images in hand."""
        return dispatch.cancel(self._process, self.job(job_id).id)

    def wait(self, job: Job | str, *, timeout_s: float | None = None) -> Job:
        """The job when it rests: final, paused or waiting for a confirmation. Without a broker this process works on it.

        Raises:
            TimeoutError: it did not come to rest in time; it goes on, or waits for the next call that works on it.
            CatalogError: ledger or index do not answer.
        """
        found = job if isinstance(job, Job) else self.job(job)
        deadline = None if timeout_s is None else time.monotonic() + timeout_s

        def watch(_job: Job, _note: str | None) -> None:
            if deadline is not None and time.monotonic() >= deadline:
                raise TimeoutError(f"job {found.id[:8]} did not end within {timeout_s:g} s")

        ended = dispatch.bring_to_end(self._process, found.id, on_progress=watch)
        if ended.state is JobState.DONE and not dispatch.is_distributed(self._process):
            work_off(self._process)  # twins of it, and what crossed with it
        return ended

    def _submit(self, request: JobRequest, idempotency_key: str | None) -> Job:
        made = submit(self._process, request, idempotency_key=idempotency_key or new_id(), from_elsewhere=False)
        self._set_going(made)
        return made[0]

    def _set_going(self, made: Sequence[Job]) -> None:
        for job in made:
            if not job.state.is_final:
                dispatch.set_going(self._process, job)
