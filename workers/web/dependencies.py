"""What a route gets: the process, the caller with what it may do, threads for whatever blocks."""

from __future__ import annotations

import asyncio
import contextvars
import math
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Annotated, ParamSpec, TypeVar

from fastapi import Depends, HTTPException, Request
from prometheus_client import CollectorRegistry

from schemas.access import Scope
from workers.bootstrap import Process
from workers.errors import NotFoundError
from workers.imaging.decode import DecodeLimits
from workers.web.fetching import Fetcher
from workers.web.links import Links
from workers.web.options import ServerOptions
from workers.web.rates import Rates
from workers.web.rows import CatalogRows

P = ParamSpec("P")
R = TypeVar("R")


@dataclass(frozen=True, kw_only=True, slots=True)
class Caller:
    """Who asks, and what it may do."""

    name: str
    """Names the key in logs and limits; never the key itself."""
    scopes: frozenset[Scope]
    catalogs: tuple[str, ...] | None = None
    """Catalogs it may use; None: all of them."""

    def may(self, scope: Scope) -> bool:
        """Whether the scope is granted; an administrator has every one."""
        return scope in self.scopes or Scope.ADMIN in self.scopes

    def may_use(self, catalog: str) -> bool:
        """Whether the catalog is granted."""
        return self.catalogs is None or catalog in self.catalogs

    def check_catalog(self, catalog: str) -> str:
        """The catalog's name, when the caller may use it.

        Raises:
            NotFoundError: it may not, whether there is such a catalog or not: names of others' catalogs are not told.
        """
        if not self.may_use(catalog):
            raise NotFoundError(f"there is no catalog {catalog!r} for this API key")
        return catalog


LOCAL_ADMIN = Caller(name="local", scopes=frozenset(Scope))
"""Whoever reaches a loopback address that asks for no key."""

Authenticate = Callable[[Request], Awaitable[Caller]]
"""Who a request comes from. Raises HTTPException 401 with `WWW-Authenticate` for a key that is missing or not valid."""


async def as_local_admin(_: Request) -> Caller:
    """Everybody is this machine's administrator."""
    return LOCAL_ADMIN


@dataclass(kw_only=True)
class Services:
    """What the routes of one server share."""

    process: Process
    options: ServerOptions
    authenticate: Authenticate
    threads: ThreadPoolExecutor
    links: Links
    fetcher: Fetcher
    rows: CatalogRows
    rates: Rates
    registry: CollectorRegistry
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when the server begins to end: streams stop then."""

    @property
    def limits(self) -> DecodeLimits:
        """Bounds on the pictures of queries."""
        return self.process.limits

    @cached_property
    def default_model(self) -> str:
        """Digest of the model that looks at pictures for no catalog."""
        return self.process.chosen_bundle().card.digest

    def count(self, caller: str) -> None:
        """Count a request of a caller. HTTPException 429: it has sent too many."""
        if wait_s := self.rates.take(caller):
            raise HTTPException(429, "too many requests", headers={"Retry-After": str(math.ceil(wait_s))})

    def stop(self) -> None:
        """Begin to end, from whichever thread."""
        self.stopping.set()

    async def run(self, call: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """A call that blocks, on one of the server's threads, with the request's context for logs."""
        work = partial(contextvars.copy_context().run, call, *args, **kwargs)
        return await asyncio.get_running_loop().run_in_executor(self.threads, work)


def services_of(request: Request) -> Services:
    """The services of the application that serves the request."""
    services = request.app.state.services
    assert isinstance(services, Services)  # noqa: S101 - `make_app` put it there
    return services


def client_of(request: Request) -> str:
    """The address that a request comes from."""
    return request.client.host if request.client is not None else "unknown"


def require(scope: Scope) -> Callable[[Request], Awaitable[Caller]]:
    """A dependency that answers the caller, when it has the scope: 401 without a key where one is needed, else 403."""

    async def authorized(request: Request) -> Caller:
        services = services_of(request)
        try:
            caller = await services.authenticate(request)
        except HTTPException:
            services.count(f"from {client_of(request)}")  # whoever guesses keys is slowed down like everybody else
            raise
        services.count(caller.name if caller is not LOCAL_ADMIN else f"from {client_of(request)}")
        if not caller.may(scope):
            raise HTTPException(403, f"this API key has no scope {scope.value!r}")
        request.state.caller = caller
        return caller

    return authorized


async def _services(request: Request) -> Services:
    return services_of(request)


ServicesOf = Annotated[Services, Depends(_services)]
Searcher = Annotated[Caller, Depends(require(Scope.SEARCH))]
Ingester = Annotated[Caller, Depends(require(Scope.INGEST))]
Administrator = Annotated[Caller, Depends(require(Scope.ADMIN))]
