"""The deployment that this machine's settings lead to: its ledger, its index, its workers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from schemas.collection import FieldKind
from schemas.ids import new_id
from schemas.messages import JobRequest
from schemas.payload import JsonValue
from schemas.query import AnyOf, Filter
from schemas.records import AskedKey, Catalog, Job, JobActivity, JobOptions, ManifestProblem, QuarantineRow, Worker
from workers import dispatch, steering
from workers.bootstrap import Process
from workers.deployment.port import Browsed, CatalogSummary, OnProgress, Wish
from workers.errors import ContractError, ItemError, NotFoundError
from workers.impressions import Impression
from workers.indexing.submit import Submitted, submit_reindex, submit_retry, submit_sync
from workers.indexing.update import Updated, submit_update
from workers.pump import work_off
from workers.query.classify import classify
from workers.query.conditions import field_kinds
from workers.query.question import Answer, Query
from workers.query.search import active_generation, search
from workers.submission import EVERYTHING, submit


class LocalDeployment:
    """Implements `workers.deployment.port.Deployment`."""

    def __init__(self, process: Process) -> None:
        """The process is closed with this."""
        self._process = process

    def close(self) -> None:
        """Close the process."""
        self._process.__exit__(None, None, None)

    def here(self, what: str) -> Process:
        """The process."""
        return self._process

    def search(self, catalog: str, query: Query) -> Answer:
        """The images nearest to a query."""
        process = self._process
        return search(
            catalog,
            query,
            ledger=process.ledger,
            index=process.index,
            embedder_for=process.query_embedder,
            limits=process.limits,
            resolver=process.resolver,
        )

    def classify(
        self, pictures: Iterable[Path], *, model: str | None = None
    ) -> Iterator[tuple[Path, Impression | ItemError]]:
        """What the model sees in each picture."""
        process = self._process
        embedder = process.open_embedder(process.chosen_bundle(model))
        return classify(pictures, embedder=embedder, limits=process.limits, read=process.read_picture)

    def look_at(self, catalog: str, picture: bytes) -> Impression:
        """What a catalog's model sees in a picture."""
        process = self._process
        embedder = process.query_embedder(active_generation(catalog, process.ledger).model_digest)
        ((_, seen),) = classify([picture], embedder=embedder, limits=process.limits, read=lambda data: data)
        if isinstance(seen, ItemError):
            raise seen
        return seen

    def read_picture(self, path: Path) -> bytes:
        """The bytes of a picture."""
        return self._process.read_picture(path)

    def catalogs(self) -> Sequence[CatalogSummary]:
        """All catalogs, by name."""
        return [self._summary(catalog) for catalog in self._process.ledger.catalogs()]

    def _summary(self, catalog: Catalog) -> CatalogSummary:
        ledger, index = self._process.ledger, self._process.index
        active = catalog.active_generation
        generation = ledger.generation(catalog.name, active) if active is not None else None
        images: int | None = 0
        problem = None
        if generation is not None:
            try:
                images = index.count(generation.collection)
            except NotFoundError:
                images, problem = None, f"index missing; cure: {missing_cure(catalog.name)}"
        last = next(iter(ledger.jobs(catalog=catalog.name, limit=1)), None)
        return CatalogSummary(
            catalog=catalog.name,
            images=images,
            problem=problem,
            source=catalog.source_url,
            collection=generation.collection if generation is not None else None,
            model=generation.model_digest if generation is not None else None,
            last_job=last.id if last is not None else None,
            last_state=last.state if last is not None else None,
            last_finished_at=last.finished_at.isoformat() if last is not None and last.finished_at else None,
        )

    def field_kinds(self, catalog: str) -> Mapping[str, FieldKind]:
        """The fields of a catalog that can be filtered."""
        return field_kinds(self._process.resolver.resolve(catalog).spec)

    def browse(self, catalog: str, *, categories: Sequence[str] = (), limit: int = 20) -> Browsed:
        """Searchable images, in no particular order."""
        where = Filter(conditions=(AnyOf(field="category", values=tuple(categories)),)) if categories else None
        index, collection = self._process.index, active_generation(catalog, self._process.ledger).collection
        points = index.scroll(collection, where=where, limit=limit)
        return Browsed(payloads=tuple(point.payload for point in points), total=index.count(collection, where))

    def ingest(self, wish: Wish) -> Submitted:
        """The job that brings a catalog in line with its source."""
        process = self._process
        store, bundle = process.open_source(wish.source), process.chosen_bundle(wish.model)
        return submit_sync(
            wish.catalog,
            store=store,
            ledger=process.ledger,
            index=process.index,
            card=bundle.card,
            keep_bundle=lambda: process.keep_bundle(bundle),
            options=wish.options,
            manifest=wish.manifest,
            extra_fields=wish.extra_fields,
            priority=wish.priority,
        )

    def reindex(self, catalog: str, *, model: str | None = None, priority: int | None = None) -> Submitted:
        """The job that indexes a catalog anew."""
        process = self._process
        bundle = process.chosen_bundle(model)
        return submit_reindex(
            catalog,
            ledger=process.ledger,
            index=process.index,
            card=bundle.card,
            keep_bundle=lambda: process.keep_bundle(bundle),
            priority=priority,
        )

    def retry(self, catalog: str, options: JobOptions, *, priority: int | None = None) -> Submitted:
        """The job that tries again what was left out."""
        return submit_retry(catalog, ledger=self._process.ledger, options=options, priority=priority)

    def index_keys(self, catalog: str, keys: Sequence[str], *, idempotency_key: str | None = None) -> Job:
        """The job that looks at these keys."""
        if not keys:
            raise ContractError("no keys to look at")
        asked = [AskedKey(key=key) for key in dict.fromkeys(keys)]
        made = self._process.ledger.create_keys_jobs(
            catalog, asked, options=EVERYTHING, idempotency_key=idempotency_key or new_id()
        )
        self._set_going(made)
        return made[0]

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
        updated = submit_update(
            catalog,
            fields,
            ledger=self._process.ledger,
            keys=keys,
            products=products,
            idempotency_key=idempotency_key or new_id(),
        )
        self._set_going(updated.jobs)
        return updated

    def work_off(self) -> None:
        """Work on what came up beside the jobs that were followed."""
        if not dispatch.is_distributed(self._process):
            work_off(self._process)

    def submit(self, request: JobRequest, *, idempotency_key: str | None = None) -> Sequence[Job]:
        """The jobs of what is asked for."""
        made = submit(self._process, request, idempotency_key=idempotency_key or new_id(), from_elsewhere=False)
        self._set_going(made)
        return made

    def _set_going(self, made: Sequence[Job]) -> None:
        for job in made:
            if not job.state.is_final:
                dispatch.set_going(self._process, job)

    def follow(self, job_id: str, *, on_progress: OnProgress) -> Job:
        """Work on a job, or follow those that do, until it rests."""
        return dispatch.bring_to_end(self._process, job_id, on_progress=on_progress)

    def works_elsewhere(self) -> bool:
        """With a broker, or where another process is this home's worker."""
        return dispatch.somebody_works(self._process)

    def job(self, job_id: str) -> Job:
        """A job."""
        return self._process.ledger.job(job_id)

    def jobs(self, *, catalog: str | None = None, limit: int = 20) -> Sequence[Job]:
        """Jobs, newest first."""
        return self._process.ledger.jobs(catalog=catalog, limit=limit)

    def activity(self, job_id: str) -> JobActivity:
        """What a job is doing now."""
        return self._process.ledger.activity(job_id)

    def manifest_problems(self, job_id: str, *, limit: int = 10) -> Sequence[ManifestProblem]:
        """Manifest rows that a job left out."""
        return self._process.ledger.manifest_problems(job_id, limit=limit)

    def failures(self, job_id: str, *, after: str | None = None, limit: int = 1000) -> Sequence[QuarantineRow]:
        """Images that a job left out."""
        return self._process.ledger.failures(job_id, after=after, limit=limit)

    def cancel(self, job_id: str) -> Job:
        """Stop a job."""
        return dispatch.cancel(self._process, self.job(job_id).id)

    def pause(self, job_id: str, *, reason: str | None = None) -> Job:
        """Let a job rest."""
        return steering.pause(self._process, job_id, reason=reason)

    def resume(self, job_id: str) -> Job:
        """Let a paused job run again."""
        return steering.resume(self._process, job_id)

    def confirm(self, job_id: str) -> Job:
        """Allow the deletes that a job waits for."""
        return steering.confirm(self._process, job_id)

    def prioritise(self, job_id: str, priority: int) -> Job:
        """Let a job be served earlier or later."""
        return steering.prioritise(self._process, job_id, priority)

    def quarantine(
        self, catalog: str, *, reason: str | None = None, after: str | None = None, limit: int = 100
    ) -> Sequence[QuarantineRow]:
        """Images of a catalog that are not searchable."""
        self._process.ledger.catalog(catalog)
        return self._process.ledger.quarantine(catalog, after=after, limit=limit, reason=reason)

    def workers(self) -> Sequence[Worker]:
        """Who works."""
        return self._process.ledger.workers()


def missing_cure(name: str) -> str:
    """What to do when a catalog's collection has gone: nothing can be read from it any more."""
    return f"catalog reindex --name {name}"
