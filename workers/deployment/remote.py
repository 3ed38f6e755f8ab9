"""A deployment behind a server: every method is a request, and answers what the server's own machine would."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

import httpx

from schemas.api import MAX_LIMIT
from schemas.collection import FieldKind
from schemas.ids import collection_name
from schemas.messages import JobRequest, ReindexRequest, RetryRequest, SyncRequest
from schemas.payload import JsonValue, Payload
from schemas.records import Job, JobActivity, JobOptions, JobState, ManifestProblem, QuarantineRow, Worker
from workers.bootstrap import read_picture
from workers.deployment import calls, requests, values
from workers.deployment.calls import Call
from workers.deployment.http import GIVE_UP_S, TIMEOUT, checked_url, headers_of, parsed, unreachable
from workers.deployment.local import missing_cure
from workers.deployment.port import Browsed, CatalogSummary, OnProgress, Wish
from workers.errors import ConfigurationError, ItemError, TransientError
from workers.imaging.decode import DecodeLimits
from workers.impressions import Impression
from workers.indexing.submit import Submitted
from workers.indexing.update import Updated
from workers.query.question import Answer, Query
from workers.retry import with_retries

T = TypeVar("T")
POLL_S: Final = 0.5
PATIENCE_S: Final = 120.0
"""Following a job outlasts a restart of the server."""
MAX_PAGE: Final = 1000


class RemoteDeployment:
    """Implements `workers.deployment.port.Deployment`. Thread-safe."""

    def __init__(self, url: str, *, api_key: str | None = None, limits: DecodeLimits | None = None) -> None:
        """Nothing is asked yet.

        Raises:
            ConfigurationError: the URL or the key is none, or the key would travel in the clear.
        """
        self._url = checked_url(url, has_key=api_key is not None)
        self._limits = limits or DecodeLimits()
        # Proxies and certificates come from the environment (SSL_CERT_FILE), as for every other client of this machine.
        self._client = httpx.Client(base_url=self._url, headers=headers_of(api_key), timeout=TIMEOUT)

    def close(self) -> None:
        """Close every connection."""
        self._client.close()

    def here(self, what: str) -> Any:
        """Refuse."""
        raise ConfigurationError(
            f"{what} is for the machine itself, and CATALOG_API_URL leads to {self._url}: unset it, or run this there"
        )

    def search(self, catalog: str, query: Query) -> Answer:
        """The images nearest to a query."""
        return self._do(calls.search(catalog, query))

    def classify(
        self, pictures: Iterable[Path], *, model: str | None = None
    ) -> Iterator[tuple[Path, Impression | ItemError]]:
        """What the server's model sees in each picture."""
        if model is not None:
            self.here("--model")
        for path in pictures:
            try:
                yield path, self._do(calls.classify(self.read_picture(path)))
            except ItemError as error:
                yield path, error

    def look_at(self, catalog: str, picture: bytes) -> Impression:
        """What a catalog's model sees in a picture."""
        return self._do(calls.classify(picture, catalog=catalog))

    def read_picture(self, path: Path) -> bytes:
        """The bytes of a picture on this machine."""
        return read_picture(path, self._limits)

    def catalogs(self) -> Sequence[CatalogSummary]:
        """The catalogs that the key is for."""
        return [self._summary(found) for found in self._ask("/v1/catalogs")["catalogs"]]

    def _summary(self, found: dict[str, Any]) -> CatalogSummary:
        name, generation = found["name"], found["generation"]
        lost = generation is not None and found["images"] is None
        try:
            last = next(iter(self.jobs(catalog=name, limit=1)), None)
        except ConfigurationError:  # a key for searching alone sees no jobs
            last = None
        return CatalogSummary(
            catalog=name,
            images=0 if generation is None else found["images"],
            problem=f"index missing; cure: {missing_cure(name)}" if lost else None,
            source=found["source"],
            collection=None if generation is None else collection_name(name, generation),
            model=found["model"],
            last_job=last.id if last is not None else None,
            last_state=last.state if last is not None else None,
            last_finished_at=last.finished_at.isoformat() if last is not None and last.finished_at else None,
        )

    def field_kinds(self, catalog: str) -> Mapping[str, FieldKind]:
        """The fields of a catalog that can be filtered."""
        found = self._ask(f"/v1/catalogs/{requests.segment(catalog)}")["fields"]
        return {one["field"]: one["kind"] for one in found}

    def browse(self, catalog: str, *, categories: Sequence[str] = (), limit: int = 20) -> Browsed:
        """Searchable images, in no particular order."""
        where = [{"field": "category", "any_of": list(categories)}] if categories else []
        given: dict[str, Any] = {"filter": requests.text_of(where)}
        payloads: list[Payload] = []
        while True:
            page = self._ask(
                requests.item_path(catalog),
                params={**given, "limit": min(MAX_LIMIT, limit - len(payloads))},
            )
            payloads += [Payload.from_json(item["payload"]) for item in page["items"]]
            if page["next_cursor"] is None or len(payloads) >= limit:
                return Browsed(payloads=tuple(payloads), total=page["total"])
            given["cursor"] = page["next_cursor"]

    def ingest(self, wish: Wish) -> Submitted:
        """The job that brings a catalog in line with its source, as the server sees it."""
        if wish.manifest is not None:
            self.here("--manifest")
        if wish.extra_fields:
            self.here("--keep-field")
        if wish.model is not None:
            self.here("--model")
        request = SyncRequest(
            kind="sync",
            catalog=wish.catalog,
            source=wish.source,
            include=wish.options.include,
            exclude=wish.options.exclude,
            allow_deletes=wish.options.allow_deletes,
            priority=wish.priority,
        )
        return self._submitted(request)

    def reindex(self, catalog: str, *, model: str | None = None, priority: int | None = None) -> Submitted:
        """The job that indexes a catalog anew with the server's model."""
        if model is not None:
            self.here("--model")
        return self._submitted(ReindexRequest(kind="reindex", catalog=catalog, priority=priority))

    def retry(self, catalog: str, options: JobOptions, *, priority: int | None = None) -> Submitted:
        """The job that tries again what was left out."""
        reasons, failed_only = options.reasons, options.failed_only
        return self._submitted(
            RetryRequest(kind="retry", catalog=catalog, reasons=reasons, failed_only=failed_only, priority=priority)
        )

    def _submitted(self, request: JobRequest) -> Submitted:
        return Submitted(job=self.submit(request)[0], resumed=False)

    def index_keys(self, catalog: str, keys: Sequence[str], *, idempotency_key: str | None = None) -> Job:
        """The job that looks at these keys."""
        return self._do(calls.index_keys(catalog, keys, idempotency_key)).jobs[0]

    def update(
        self,
        catalog: str,
        fields: Mapping[str, JsonValue],
        *,
        keys: Sequence[str] = (),
        products: Sequence[str] = (),
        idempotency_key: str | None = None,
    ) -> Updated:
        """The jobs that set product fields."""
        return self._do(calls.update(catalog, fields, keys, products, idempotency_key))

    def work_off(self) -> None:
        """The server does."""

    def submit(self, request: JobRequest, *, idempotency_key: str | None = None) -> Sequence[Job]:
        """The jobs of what is asked for; made once, however often the request has to be sent."""
        return self._do(calls.submit(request, idempotency_key)).jobs

    def follow(self, job_id: str, *, on_progress: OnProgress) -> Job:
        """Follow a job until it rests; a server that is away for a moment ends no following."""
        away_since: float | None = None
        while True:
            try:
                job, away_since = self.job(job_id), None
                on_progress(job, None)
                if job.state is not JobState.RUNNING:
                    return job
            except TransientError:
                away_since = away_since or time.monotonic()
                if time.monotonic() - away_since > PATIENCE_S:
                    raise
            time.sleep(POLL_S)

    def works_elsewhere(self) -> bool:
        """The server works by itself."""
        return True

    def job(self, job_id: str) -> Job:
        """A job."""
        return self._do(calls.job(job_id))

    def jobs(self, *, catalog: str | None = None, limit: int = 20) -> Sequence[Job]:
        """Jobs, newest first."""
        given = {"limit": limit} | ({} if catalog is None else {"catalog": catalog})
        return [values.job_of(one) for one in self._ask("/v1/jobs", params=given)["jobs"]]

    def activity(self, job_id: str) -> JobActivity:
        """What a job is doing now."""
        return values.activity_of(self._job(job_id))

    def manifest_problems(self, job_id: str, *, limit: int = 10) -> Sequence[ManifestProblem]:
        """The first manifest rows that a job left out."""
        return [values.problem_of(one) for one in self._job(job_id)["problems"][:limit]]

    def failures(self, job_id: str, *, after: str | None = None, limit: int = 1000) -> Sequence[QuarantineRow]:
        """Images that a job left out."""
        return self._left(f"{calls.job_path(job_id)}/failures", {}, after=after, limit=limit)

    def cancel(self, job_id: str) -> Job:
        """Stop a job."""
        return self._do(calls.steer(job_id, "cancel"))

    def pause(self, job_id: str, *, reason: str | None = None) -> Job:
        """Let a job rest."""
        return self._do(calls.steer(job_id, "pause", {"reason": reason}))

    def resume(self, job_id: str) -> Job:
        """Let a paused job run again."""
        return self._do(calls.steer(job_id, "resume"))

    def confirm(self, job_id: str) -> Job:
        """Allow the deletes that a job waits for."""
        return self._do(calls.steer(job_id, "confirm"))

    def prioritise(self, job_id: str, priority: int) -> Job:
        """Let a job be served earlier or later."""
        return self._do(calls.steer(job_id, "priority", {"priority": priority}))

    def quarantine(
        self, catalog: str, *, reason: str | None = None, after: str | None = None, limit: int = 100
    ) -> Sequence[QuarantineRow]:
        """Images of a catalog that are not searchable."""
        given = {"catalog": catalog} | ({} if reason is None else {"reason": reason})
        return self._left("/v1/quarantine", given, after=after, limit=limit)

    def workers(self) -> Sequence[Worker]:
        """Who works."""
        return [values.worker_of(one) for one in self._ask("/v1/workers")["workers"]]

    def _job(self, job_id: str) -> Any:
        return self._ask(calls.job_path(job_id))

    def _left(self, path: str, given: dict[str, Any], *, after: str | None, limit: int) -> Sequence[QuarantineRow]:
        rows: list[QuarantineRow] = []
        while len(rows) < limit:
            cursor = {} if after is None else {"cursor": after}
            page = self._ask(path, params={**given, **cursor, "limit": min(MAX_PAGE, limit - len(rows))})
            rows += [values.left_of(one) for one in page["items"]]
            after = page["next_cursor"]
            if after is None:
                break
        return rows

    def _ask(self, path: str, **body: Any) -> Any:
        """The JSON of a good answer."""
        return self._do(Call(method="GET", path=path, read=lambda answer: answer, body=body, repeatable=True))

    def _do(self, call: Call[T]) -> T:
        """Send a request; again, for a while, where that does no harm."""

        def once() -> T:
            try:
                answer = self._client.request(call.method, call.path, **call.body)
            except httpx.HTTPError as error:
                raise unreachable(self._url, error) from error
            return call.read(parsed(answer))

        return with_retries(once, give_up_after_s=GIVE_UP_S) if call.repeatable else once()
