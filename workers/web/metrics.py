"""Figures for Prometheus: counted as requests pass, and read from ledger and index when somebody asks."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from typing import Final

from fastapi import APIRouter
from prometheus_client import CollectorRegistry, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from workers.bootstrap import Process
from workers.errors import CatalogError
from workers.telemetry import log
from workers.web.dependencies import Administrator, ServicesOf
from workers.web.documented import problems

SECONDS: Final = (0.002, 0.005, 0.01, 0.02, 0.03, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"

router = APIRouter(tags=["health"])


class Measured:
    """A middleware that counts requests by route, method and status, and times them by route."""

    def __init__(self, app: ASGIApp, registry: CollectorRegistry) -> None:
        self._app = app
        self._took = Histogram(
            "catalog_http_request_seconds",
            "From the head of a request to the end of its answer.",
            ("route", "method", "status"),
            buckets=SECONDS,
            registry=registry,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on and count it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        status = 500

        async def noted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, noted)
        finally:
            # The template, not the path: a label for every key would fill any memory.
            route = getattr(scope.get("route"), "path", "other")
            method = scope["method"] if scope["method"] in ("GET", "POST", "DELETE", "HEAD", "OPTIONS") else "other"
            self._took.labels(route, method, str(status)).observe(time.perf_counter() - started)


class State(Collector):
    """Jobs, quarantine, collections and batches as they are when they are asked for."""

    def __init__(self, process: Process) -> None:
        self._process = process

    def collect(self) -> Iterator[Metric]:
        """See prometheus_client; what does not answer is left out, the rest is told."""
        for part in (self._jobs, self._items, self._collections, self._batches):
            try:
                yield from part()
            except CatalogError as error:
                log.warning("figures are missing", error=str(error))

    def describe(self) -> Iterator[Metric]:
        """Nothing is asked of ledger and index when the collector is registered."""
        return iter(())

    def _jobs(self) -> Iterator[Metric]:
        jobs = GaugeMetricFamily("catalog_open_jobs", "Jobs that are not final, by state.", labels=("kind", "state"))
        counts = Counter((job.kind.value, job.state.value) for job in self._process.ledger.open_jobs())
        for labels, count in counts.items():
            jobs.add_metric(labels, count)
        yield jobs

    def _items(self) -> Iterator[Metric]:
        items = GaugeMetricFamily(
            "catalog_items", "Images by what became of them.", labels=("catalog", "outcome", "reason")
        )
        for row in self._process.ledger.catalogs():
            if row.active_generation is None:
                continue
            counts = self._process.ledger.outcome_counts(row.name, row.active_generation)
            split = {tuple(name.split(":")) for name in counts if ":" in name}
            with_reason = Counter({kind: sum(counts[f"{k}:{r}"] for k, r in split if k == kind) for kind, _ in split})
            for name, count in counts.items():
                kind, _, reason = name.partition(":")
                rest = count if reason else count - with_reason[kind]
                if rest:
                    items.add_metric((row.name, kind, reason), rest)
        yield items

    def _collections(self) -> Iterator[Metric]:
        points = GaugeMetricFamily("catalog_points", "Points of a collection.", labels=("collection",))
        covered = GaugeMetricFamily("catalog_indexed_points", "Of them, covered by HNSW.", labels=("collection",))
        for info in self._process.index.collections():
            points.add_metric((info.spec.name,), info.points)
            covered.add_metric((info.spec.name,), info.indexed_points)
        yield points
        yield covered

    def _batches(self) -> Iterator[Metric]:
        batches = CounterMetricFamily(
            "catalog_query_batches", "Runs of the query engine, by the images they held.", labels=("images",)
        )
        for images, count in sorted(self._process.query_batches().items()):
            batches.add_metric((str(images),), count)
        yield batches


def new_registry(process: Process) -> CollectorRegistry:
    """A registry of one application."""
    registry = CollectorRegistry()
    registry.register(State(process))
    return registry


@router.get(
    "/metrics",
    response_class=Response,
    responses={
        200: {"description": "Prometheus's text format.", "content": {"text/plain": {"schema": {"type": "string"}}}},
        **problems(401, 403, 429),
    },
)
async def metrics(services: ServicesOf, _: Administrator) -> Response:
    """Figures for Prometheus."""
    return Response(await services.run(generate_latest, services.registry), headers={"Content-Type": _TYPE})
