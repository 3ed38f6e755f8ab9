"""The client for asynchronous programs: `from workers.client import AsyncCatalog`. It speaks to a server."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, TypeVar

import httpx
from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_delay

from schemas.messages import JobRequest, ReindexRequest, RetryRequest, SyncRequest
from schemas.outcomes import Reason
from schemas.records import Job, JobState
from workers.deployment import calls
from workers.deployment.calls import Call
from workers.deployment.http import GIVE_UP_S, TIMEOUT, checked_url, headers_of, parsed, unreachable
from workers.deployment.opening import with_server
from workers.deployment.remote import PATIENCE_S, POLL_S
from workers.errors import ConfigurationError, TransientError
from workers.impressions import Impression
from workers.query.question import Answer, Query
from workers.retry import wait_s
from workers.settings import Settings, load_settings

T = TypeVar("T")


class AsyncCatalog:
    """A catalog behind a server, by name. Its methods are those of `Catalog`, and raise the same.

    It holds connections: use it as a context (`async with`), or await `close`.
    """

    def __init__(
        self,
        name: str = "default",
        *,
        url: str | None = None,
        api_key: str | None = None,
        settings: Settings | None = None,
    ) -> None:
        """Settings come from the environment unless they are given; `url` and `api_key` go before them.

        Raises:
            ConfigurationError: no server is named, or a setting is bad.
        """
        self.name = name
        settings = with_server(settings or load_settings(), url=url, api_key=api_key)
        if settings.api_url is None:
            raise ConfigurationError("the asynchronous client speaks to a server: set CATALOG_API_URL, or give url=")
        key = settings.api_key.get_secret_value() if settings.api_key is not None else None
        self._url = checked_url(settings.api_url, has_key=key is not None)
        self._client = httpx.AsyncClient(base_url=self._url, headers=headers_of(key), timeout=TIMEOUT)

    async def __aenter__(self) -> AsyncCatalog:
        """Use as a context: connections are closed at its end."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close."""
        await self.close()

    async def close(self) -> None:
        """Let go of every connection; closing twice is harmless."""
        await self._client.aclose()

    async def search(self, query: Query | None = None, **asked: Any) -> Answer:
        """The images nearest to a query: `search(image=..., limit=5)` is `search(Query(image=..., limit=5))`."""
        return await self._do(calls.search(self.name, query or Query(**asked)))

    async def classify(self, picture: bytes) -> Impression:
        """What the catalog's model sees in a picture: category, attributes, box, and its vector."""
        return await self._do(calls.classify(picture, catalog=self.name))

    async def sync(
        self,
        *,
        source: str | None = None,
        include: Sequence[str] = (),
        exclude: Sequence[str] = (),
        allow_deletes: bool = False,
        idempotency_key: str | None = None,
    ) -> Job:
        """Bring the catalog in line with its source, as the server sees it."""
        request = SyncRequest(
            kind="sync",
            catalog=self.name,
            source=source,
            include=tuple(include),
            exclude=tuple(exclude),
            allow_deletes=allow_deletes,
        )
        return await self._submit(request, idempotency_key)

    async def reindex(self, *, idempotency_key: str | None = None) -> Job:
        """Index all images anew with the server's model."""
        return await self._submit(ReindexRequest(kind="reindex", catalog=self.name), idempotency_key)

    async def retry(
        self, *, reasons: Sequence[Reason] = (), failed_only: bool = False, idempotency_key: str | None = None
    ) -> Job:
        """Try quarantined and failed images again, all of them or those chosen."""
        request = RetryRequest(kind="retry", catalog=self.name, reasons=tuple(reasons), failed_only=failed_only)
        return await self._submit(request, idempotency_key)

    async def index_keys(self, keys: Sequence[str], *, idempotency_key: str | None = None) -> Job:
        """Look at these keys, at most 1,000."""
        return (await self._do(calls.index_keys(self.name, keys, idempotency_key))).jobs[0]

    async def delete_keys(self, keys: Sequence[str], *, idempotency_key: str | None = None) -> Job:
        """The same as `index_keys`: what is gone from the source is taken out."""
        return await self.index_keys(keys, idempotency_key=idempotency_key)

    async def update(
        self,
        fields: Mapping[str, Any],
        *,
        keys: Sequence[str] = (),
        products: Sequence[str] = (),
        idempotency_key: str | None = None,
    ) -> tuple[Job, ...]:
        """Set product fields (None removes one) on images, by key or by product, without embedding them again."""
        return (await self._do(calls.update(self.name, fields, keys, products, idempotency_key))).jobs

    async def job(self, job_id: str) -> Job:
        """A job as it stands, by its id or an unambiguous prefix."""
        return await self._do(calls.job(job_id))

    async def cancel(self, job_id: str) -> Job:
        """Stop a job after the images in hand."""
        return await self._do(calls.steer(job_id, "cancel"))

    async def wait(self, job: Job | str, *, timeout_s: float | None = None) -> Job:
        """The job when it rests: final, paused or waiting for a confirmation; TimeoutError when it does not in time."""
        job_id = job.id if isinstance(job, Job) else job
        away_since: float | None = None
        async with asyncio.timeout(timeout_s):
            while True:
                try:
                    found, away_since = await self.job(job_id), None
                    if found.state is not JobState.RUNNING:
                        return found
                except TransientError:
                    away_since = away_since or time.monotonic()
                    if time.monotonic() - away_since > PATIENCE_S:
                        raise
                await asyncio.sleep(POLL_S)

    async def _submit(self, request: JobRequest, idempotency_key: str | None) -> Job:
        return (await self._do(calls.submit(request, idempotency_key))).jobs[0]

    async def _do(self, call: Call[T]) -> T:
        """Send a request; again, for a while, where that does no harm."""

        async def once() -> T:
            try:
                answer = await self._client.request(call.method, call.path, **call.body)
            except httpx.HTTPError as error:
                raise unreachable(self._url, error) from error
            return call.read(parsed(answer))

        if not call.repeatable:
            return await once()
        retrying = AsyncRetrying(
            retry=retry_if_exception_type(TransientError),
            wait=wait_s,
            stop=stop_after_delay(GIVE_UP_S),
            reraise=True,
        )
        return await retrying(once)
