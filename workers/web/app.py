"""The HTTP application: `make_app` puts routes, middleware and services together."""

from __future__ import annotations

from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any, Final

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp

from schemas.api import ClassifyRequest, Problem, SearchRequest
from workers.bootstrap import Process
from workers.web import (
    catalogs,
    documented,
    examples,
    health,
    job_stream,
    jobs,
    left,
    metrics,
    page,
    pictures,
    searching,
)
from workers.web.dependencies import Authenticate, Services, as_local_admin
from workers.web.direct import Direct
from workers.web.events import event_routes
from workers.web.fetching import Fetcher, allowed_of
from workers.web.links import Links
from workers.web.metrics import Measured, new_registry
from workers.web.middleware.bodies import BodyBounds
from workers.web.middleware.guard import Guard
from workers.web.middleware.identity import RequestIdentity
from workers.web.options import ServerOptions
from workers.web.problem import answer_with_problems
from workers.web.rates import Rates
from workers.web.rows import CatalogRows
from workers.web.warming import warm_up

THREADS: Final = 16
"""Calls that may block at once: most of their time is the index's or the engine's."""


class CatalogApp(FastAPI):
    """The application within its middleware, which is outermost: even an unexpected error bears a request id."""

    services: Services

    def openapi(self) -> dict[str, Any]:
        """The document, with what routes read and answer by themselves."""
        if self.openapi_schema is None:
            document = super().openapi()
            examples.add_schemas(document, SearchRequest, ClassifyRequest, Problem)
            documented.complete(document)
            self.openapi_schema = document
        return self.openapi_schema

    def build_middleware_stack(self) -> ASGIApp:
        """FastAPI's own stack, wrapped."""
        options, settings = self.services.options, self.services.process.settings
        stack: ASGIApp = BodyBounds(
            Direct(
                super().build_middleware_stack(), self, path=searching.SEARCH_PATH, endpoint=searching.search_directly
            ),
            image_bytes=settings.max_image_bytes,
            budget_bytes=settings.inflight_bytes,
        )
        if options.cors_origins:
            stack = CORSMiddleware(
                stack,
                allow_origins=options.cors_origins,
                allow_methods=("GET", "POST", "DELETE"),
                allow_headers=("Authorization", "Content-Type", "X-Request-Id"),
                expose_headers=("X-Request-Id", "Retry-After"),
            )
        guarded = Measured(Guard(stack, options), self.services.registry)
        return RequestIdentity(guarded, cross_origin=bool(options.cors_origins))


def make_app(
    process: Process,
    options: ServerOptions | None = None,
    *,
    authenticate: Authenticate = as_local_admin,
    fetcher: Fetcher | None = None,
) -> CatalogApp:
    """The application over a process.

    Args:
        process: Its ledger, index, models and settings.
        options: How it is reached.
        authenticate: Says who asks; by default everybody is the local administrator.
        fetcher: Fetches pictures by URL; by default as the settings allow.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        assert isinstance(app, CatalogApp)  # noqa: S101 - the one below
        app.services.threads.submit(warm_up, process)
        yield
        app.services.stopping.set()
        app.services.threads.shutdown(wait=True)

    app = CatalogApp(
        title="Catalog",
        version="1",
        docs_url=None,  # its pages load scripts from elsewhere
        redoc_url=None,
        lifespan=lifespan,
    )
    app.services = Services(
        process=process,
        options=options or ServerOptions(),
        authenticate=authenticate,
        threads=ThreadPoolExecutor(THREADS, thread_name_prefix="serve"),
        links=Links(process),
        fetcher=fetcher or Fetcher(allowed_of(process.settings), max_bytes=process.settings.max_image_bytes),
        rows=CatalogRows(lambda: process.ledger),
        rates=Rates(process.settings.rate_limit),
        registry=new_registry(process),
    )
    app.state.services = app.services
    answer_with_problems(app)
    app.include_router(health.router)
    app.include_router(metrics.router)
    for router in (searching.router, pictures.router, catalogs.router, jobs.router, job_stream.router, left.router):
        app.include_router(router)
    app.include_router(event_routes(process, authenticate))
    app.include_router(page.router)
    return app
