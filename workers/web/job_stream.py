"""Live progress of jobs as server-sent events. However many watch a job, one task reads the ledger for them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from functools import partial
from typing import Any, Final

import orjson
from fastapi import APIRouter, Request
from starlette.responses import Response, StreamingResponse

from schemas.records import Job, JobState
from workers.errors import CatalogError, NotFoundError
from workers.web.dependencies import Ingester, Services, ServicesOf, services_of
from workers.web.jobs import found_job, whole_json
from workers.web.problem import HttpError

MAX_STREAMS: Final = 200
"""Of one server: each is an open connection."""
READ_S: Final = 0.5
"""How often a watched job is read."""
HEARTBEAT_S: Final = 15.0
"""A comment keeps proxies from closing a stream that has nothing to say."""
_VOLATILE: Final = ("seconds", "oldest_pending_s", "images_per_s", "recent_images_per_s", "remaining_s")
"""Fields that change with the clock alone; they are sent along when something else does, or every few seconds."""
CLOCK_S: Final = 5.0

router = APIRouter(prefix="/v1", tags=["jobs"])


class JobStreams:
    """Watched jobs of one server. For the event loop's thread only."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._watches: dict[str, _Watch] = {}
        self._streams = 0

    async def events(self, job: Job) -> AsyncIterator[bytes]:
        """The job whenever it changes, until it rests, the server ends or the caller goes."""
        watch = self._watches.get(job.id)
        if watch is None or watch.is_over:
            watch = self._watches[job.id] = _Watch(self._services, job)
        self._streams += 1
        watch.watchers += 1
        try:
            async for event in watch.follow():
                yield event
        finally:
            self._streams -= 1
            watch.watchers -= 1
            if not watch.watchers:
                watch.end()
                if self._watches.get(job.id) is watch:
                    del self._watches[job.id]

    def check_room(self) -> None:
        """HttpError 503 where as many streams are open as there may be."""
        if self._streams >= MAX_STREAMS:
            raise HttpError(
                503, f"{MAX_STREAMS} streams are open; ask for the job now and then", headers={"Retry-After": "10"}
            )


class _Watch:
    """One job's reader and what it read last."""

    def __init__(self, services: Services, job: Job) -> None:
        self._services = services
        self._job = job
        self.watchers = 0
        self._number = 0
        self._said: bytes | None = None
        self.is_over = False
        self._changed = asyncio.Condition()
        self._reader = asyncio.create_task(self._read())

    def end(self) -> None:
        """Nobody watches any more."""
        self._reader.cancel()

    async def follow(self) -> AsyncIterator[bytes]:
        seen = 0
        yield b"retry: 2000\n\n"
        while True:
            async with self._changed:
                with suppress(TimeoutError):
                    async with asyncio.timeout(HEARTBEAT_S):
                        await self._changed.wait_for(partial(self._has_news, seen))
                said, number, over = self._said, self._number, self.is_over
            if number > seen and said is not None:
                seen = number
                yield b"id: %d\nevent: job\ndata: %s\n\n" % (number, said)
            elif not over:
                yield b": still here\n\n"
            if over:
                return

    def _has_news(self, seen: int) -> bool:
        return self._number > seen or self.is_over

    async def _read(self) -> None:
        last: dict[str, Any] | None = None
        said_at = 0.0
        clock = asyncio.get_running_loop().time
        try:
            while not self._services.stopping.is_set():
                try:
                    state, now = await self._services.run(self._look)
                except NotFoundError:  # dropped with its catalog
                    return
                except CatalogError:
                    await asyncio.sleep(READ_S)
                    continue
                steady = {name: value for name, value in now.items() if name not in _VOLATILE}
                if steady != last or clock() - said_at >= CLOCK_S:
                    last, said_at = steady, clock()
                    await self._say(orjson.dumps(now))
                if state is not JobState.RUNNING:
                    return
                with suppress(TimeoutError):
                    async with asyncio.timeout(READ_S):
                        await self._services.stopping.wait()
        finally:
            self.is_over = True
            with suppress(asyncio.CancelledError):
                await self._say(None)

    def _look(self) -> tuple[JobState, dict[str, Any]]:
        process = self._services.process
        job = process.ledger.job(self._job.id)
        return job.state, whole_json(process, job)

    async def _say(self, text: bytes | None) -> None:
        async with self._changed:
            if text is not None:
                self._said, self._number = text, self._number + 1
            self._changed.notify_all()


def _streams(request: Request) -> JobStreams:
    """Those of the application that serves the request, made at first use."""
    state = request.app.state
    if not hasattr(state, "job_streams"):
        state.job_streams = JobStreams(services_of(request))
    streams: JobStreams = state.job_streams
    return streams


@router.get(
    "/jobs/{job_id}/events",
    response_class=StreamingResponse,
    responses={200: {"content": {"text/event-stream": {"schema": {"type": "string"}}}}},
)
async def job_events(job_id: str, request: Request, services: ServicesOf, caller: Ingester) -> Response:
    """Server-sent events: `event: job` with the job as JSON, whenever it changes; ends when the job rests.

    Begins with how the job stands now, so a connection that was lost is simply made again; `Last-Event-ID` is not needed.
    """
    streams = _streams(request)
    streams.check_room()
    job = await services.run(found_job, services.process, caller, job_id)
    return StreamingResponse(
        streams.events(job),
        media_type="text/event-stream",
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )
