"""A whole indexer in one process, on the in-memory twins: for tests of behaviour from the source to the index."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import simplejpeg

from schemas.extra_field import ExtraField
from schemas.ids import new_id, point_id
from schemas.messages import AdvanceJob, IndexBatch
from schemas.records import AskedKey, Job, JobOptions, JobState
from workers.adapters.ledger import SqlLedger, open_ledger
from workers.adapters.memory import ColourGridEmbedder
from workers.adapters.object_store.memory import MemoryObjectStore
from workers.adapters.vector_index.memory import MemoryIndex
from workers.imaging.decode import DecodeLimits
from workers.indexing.breaker import Breaker
from workers.indexing.jobs import Workshop, advance, resume, run_batch
from workers.indexing.pipeline import Pace
from workers.indexing.schedules import Desk, OfferedModel
from workers.indexing.submit import Submitted, submit_reindex, submit_retry, submit_sync
from workers.ports import VectorIndex


def picture(seed: int, *, side: int = 48) -> bytes:
    """A small JPEG that no other seed gives."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (4, 4, 3), dtype=np.uint8)
    return bytes(
        simplejpeg.encode_jpeg(np.kron(coarse, np.ones((side // 4, side // 4, 1), dtype=np.uint8)), quality=95)
    )


@dataclass
class Indexer:
    """Source, ledger, index and model in memory, and a broker that is a list."""

    store: MemoryObjectStore = field(default_factory=lambda: MemoryObjectStore("source"))
    ledger: SqlLedger = field(default_factory=lambda: open_ledger("sqlite://"))
    index: VectorIndex = field(default_factory=MemoryIndex)
    embedder: ColourGridEmbedder = field(default_factory=ColourGridEmbedder)
    messages: deque[AdvanceJob | IndexBatch] = field(default_factory=deque)
    stop: threading.Event = field(default_factory=threading.Event)
    limits: DecodeLimits = field(default_factory=DecodeLimits)
    breaker: Breaker = field(default_factory=Breaker)
    name: str = "shop"

    @property
    def workshop(self) -> Workshop:
        return Workshop(
            ledger=self.ledger,
            index=self.index,
            open_store=lambda _: self.store,
            embedder_for=lambda _: self.embedder,
            publish=lambda message, _lane: self.messages.append(message),
            limits=self.limits,
            pace=Pace(fetch_threads=4, decode_threads=2, give_up_after_s=0.2, read_pauses_s=(0.01, 0.01, 0.01)),
            batch_seconds=15.0,
            window=4,
            worker="test",
            now=lambda: datetime.now(UTC),
            stop=self.stop,
            on_stall=lambda lease, groups: None,
            breaker=self.breaker,
        )

    def submit(
        self,
        *,
        manifest: Path | None = None,
        options: JobOptions | None = None,
        extra_fields: tuple[str, ...] = (),  # as `--keep-field` takes them
        priority: int | None = None,
    ) -> Submitted:
        return submit_sync(
            self.name,
            store=self.store,
            ledger=self.ledger,
            index=self.index,
            card=self.embedder.card,
            keep_bundle=lambda: None,
            options=options or JobOptions(),
            manifest=manifest,
            extra_fields=tuple(map(ExtraField.parse, extra_fields)),
            priority=priority,
        )

    def sync(self, **arguments: object) -> Job:
        """Submit a job and work on it until it rests."""
        return self.work(self.submit(**arguments).job)  # type: ignore[arg-type]

    def reindex(self, embedder: ColourGridEmbedder | None = None) -> Job:
        """Index anew, with another model where one is given."""
        self.embedder = embedder or self.embedder
        return self.work(self.submit_reindex().job)

    def submit_reindex(self) -> Submitted:
        return submit_reindex(
            self.name, ledger=self.ledger, index=self.index, card=self.embedder.card, keep_bundle=lambda: None
        )

    def look_at(self, *keys: str, idempotency_key: str | None = None) -> list[Job]:
        """Look at keys, in every generation concerned, and work until nothing is left."""
        asked = [AskedKey(key=key) for key in keys]
        made = self.ledger.create_keys_jobs(
            self.name, asked, options=JobOptions(), idempotency_key=idempotency_key or new_id()
        )
        return [self.work(job) for job in made]

    def take_inbox(self) -> list[Job]:
        """Work off what waits to be looked at."""
        done: list[Job] = []
        while made := self.ledger.take_inbox(self.name):
            done += [self.work(job) for job in made]
        return done

    def retry(self, options: JobOptions | None = None) -> Job:
        return self.work(submit_retry(self.name, ledger=self.ledger, options=options).job)

    def desk(self, start: Callable[[Job], None] = lambda job: None) -> Desk:
        """What schedules need to make their jobs."""
        return Desk(
            ledger=self.ledger,
            index=self.index,
            open_store=lambda _: self.store,
            open_model=lambda _: OfferedModel(card=self.embedder.card, keep=lambda: None),
            start=start,
        )

    def work(self, job: Job, *, steps: int | None = None) -> Job:
        """Deliver messages until none is left (or so many were), as a worker would."""
        workshop = self.workshop
        self.messages.append(AdvanceJob(job_id=job.id))
        while self.messages and steps != 0:
            message = self.messages.popleft()
            if isinstance(message, IndexBatch):
                run_batch(workshop, message)
            else:
                advance(workshop, message.job_id)
            steps = None if steps is None else steps - 1
        return self.ledger.job(job.id)

    def lose_everything_in_flight(self, job: Job) -> Job:
        """The worker died: messages are gone, leases have no owner; a new one takes the job up."""
        self.messages.clear()
        self.ledger.reap(worker_prefix="test")
        resume(self.ledger, job)
        return self.work(self.ledger.job(job.id))

    @property
    def collection(self) -> str:
        catalog = self.ledger.catalog(self.name)
        assert catalog.active_generation is not None
        return self.ledger.generation(self.name, catalog.active_generation).collection

    def indexed_keys(self) -> list[str]:
        return sorted(point.payload.key for point in self.index.scroll(self.collection, limit=10_000))

    def payload(self, key: str) -> dict[str, object]:
        (point,) = self.index.retrieve(self.collection, [point_id(self.name, key)])
        return point.payload.to_json()


def settled(job: Job) -> Job:
    """The job itself, when it is done and its counts add up."""
    assert job.state is JobState.DONE, f"{job.state}: {job.error}"
    counts = job.counts
    planned = counts.new + counts.changed + counts.retried
    assert planned == counts.indexed + counts.duplicates + counts.quarantined + counts.failed + counts.vanished, counts
    assert job.finished == job.planned
    return job
