"""The product in one function: a batch of images becomes searchable points.

    plan -> read -> decode -> embed -> point -> index -> ledger

Reading and decoding run ahead of inference on threads, inference runs in fixed-size batches across the whole lease,
writing runs behind it; every queue is bounded. A bad image becomes an outcome with a reason and never stops its batch.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from threading import Event

from schemas.outcomes import OutcomeKind, Reason
from schemas.records import Change, Lease, StageStat, WorkItem
from workers.flow import Ahead
from workers.imaging.decode import DecodeLimits
from workers.indexing.breaker import Tally
from workers.indexing.embed import Embedding
from workers.indexing.fetch import Fetcher, Read
from workers.indexing.points import Settled, settle, settle_without_images
from workers.indexing.record import Recorder
from workers.indexing.watch import Watch
from workers.ports import Embedder, Ledger, ObjectStore, VectorIndex
from workers.telemetry import StageClock, WallClock

OnStall = Callable[[Lease, Sequence[tuple[WorkItem, ...]]], None]
"""Told which images have been in hand for too long, together those of one inference; expected to end the process."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Pace:
    """How wide and how far ahead the stages run."""

    fetch_threads: int = 16
    decode_threads: int = 2
    inflight_bytes: int = 256 * 1024 * 1024
    """Bound on compressed bytes read ahead of decoding."""
    decoded_ahead: int = 64
    """Decoded images waiting for inference, at least: four engine batches, enough to ride out a slow object. An engine
    that takes several batches at once gets two for each."""
    lease_s: float = 20.0
    stall_s: float = 60.0
    read_pauses_s: tuple[float, ...] = (0.5, 1.0, 2.0)
    """Before an object that could not be read is asked for again."""
    give_up_after_s: float = 60.0
    """How long a dependency may be down before the batch is given back."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Services:
    """The four ports, opened for one lease."""

    store: ObjectStore
    embedder: Embedder
    index: VectorIndex
    ledger: Ledger


@dataclass(frozen=True, kw_only=True, slots=True)
class BatchReport:
    """What a lease came to."""

    complete: bool
    """Every item has its outcome; otherwise the rest was stopped by a cancel, a pause or a shutdown."""
    stages: tuple[StageStat, ...]
    wall_s: float
    tally: Tally
    """Of the items that have their outcome."""


def index_batch(
    lease: Lease,
    services: Services,
    *,
    extra_fields: tuple[str, ...],
    limits: DecodeLimits,
    pace: Pace,
    now: Callable[[], datetime],
    stop: Event,
    on_stall: OnStall,
) -> BatchReport:
    """Give every item of the lease its outcome: in the index first, then in the ledger.

    Raises:
        TransientError: a dependency stayed down; what was finished is recorded, the rest is still the lease's.
        LeaseLostError: somebody else holds the batch now; nothing more was recorded.
    """
    clocks, wall = Clocks(pace, services.embedder), WallClock()
    counted: Counter[tuple[OutcomeKind, Reason | None]] = Counter()
    started = time.perf_counter()
    with (
        _watch(lease, services.ledger, pace, on_stall) as watch,
        ThreadPoolExecutor(pace.fetch_threads, thread_name_prefix="fetch") as readers,
        ThreadPoolExecutor(pace.decode_threads, thread_name_prefix="decode") as decoders,
        ThreadPoolExecutor(services.embedder.parallel, thread_name_prefix="engine") as engine,
        _recorder(lease, services, pace, clocks, on_stop=watch.stop_requested.set) as recorder,
    ):
        fetcher = _fetcher(services, limits, pace, watch, clocks)
        embedding = _embedding(lease, services, engine, watch, wall, clocks)

        def stopped() -> bool:
            if watch.lost is not None:
                raise watch.lost
            return stop.is_set() or watch.stop_requested.is_set()

        def hand_over(settled: Settled) -> None:
            counted[settled.outcome.kind, settled.outcome.reason] += 1
            with wall.on(clocks.upsert):
                recorder.put(settled)

        undecoded = settle_without_images(lease, services.index, extra_fields=extra_fields)
        for settled in wall.waiting(undecoded, clocks.point):
            hand_over(settled)

        # Half the budget waits to be decoded, half to be read. Closing drops what has not begun.
        read = Ahead(
            readers,
            fetcher.read,
            (item for item in lease.items if item.change is not Change.PAYLOAD),
            depth=4 * pace.fetch_threads,
            weigh=lambda item: min(item.size, limits.max_bytes),
            budget=pace.inflight_bytes // 2,
        )
        decoded = Ahead(
            decoders,
            fetcher.decode,
            wall.waiting(read, clocks.fetch),
            depth=max(pace.decoded_ahead, 2 * services.embedder.parallel * services.embedder.batch_size),
            weigh=lambda value: value.object.size if isinstance(value, Read) else 0,
            budget=pace.inflight_bytes // 2,
            ready=read.ready,
        )
        with closing(read), closing(decoded):
            for seen in embedding.run(wall.waiting(decoded, clocks.decode), ready=decoded.ready):
                with wall.working(clocks.point):
                    settled = settle(lease, seen, indexed_at=now())
                hand_over(settled)
                if stopped():  # what was read ahead has no outcome yet and goes back with the batch
                    break
        complete = not stopped()
        with wall.on(clocks.record):
            recorder.drain()
    wall_s = time.perf_counter() - started
    return BatchReport(complete=complete, stages=clocks.stats(), wall_s=wall_s, tally=_tally(counted))


def _tally(counted: Mapping[tuple[OutcomeKind, Reason | None], int]) -> Tally:
    troubles: dict[tuple[OutcomeKind, Reason], int] = {
        (kind, reason): count
        for (kind, reason), count in counted.items()
        if kind in (OutcomeKind.QUARANTINED, OutcomeKind.FAILED) and reason is not None
    }
    return Tally(settled=sum(counted.values()), troubles=troubles)


class Clocks:
    """One clock a stage, in the order of the pipeline."""

    def __init__(self, pace: Pace, embedder: Embedder) -> None:
        """Stages that run on several threads say so, for their utilisation."""
        self.fetch = StageClock("fetch", threads=pace.fetch_threads)
        self.decode = StageClock("decode", threads=pace.decode_threads)
        self.lookup = StageClock("look-up")
        self.embed = StageClock("embed", threads=embedder.parallel)
        self.point = StageClock("point")
        self.upsert = StageClock("upsert")
        self.record = StageClock("record")

    def stats(self) -> tuple[StageStat, ...]:
        """What each stage spent."""
        clocks = (self.fetch, self.decode, self.lookup, self.embed, self.point, self.upsert, self.record)
        return tuple(clock.stat() for clock in clocks)


def _watch(lease: Lease, ledger: Ledger, pace: Pace, on_stall: OnStall) -> Watch:
    tick_s = pace.lease_s / 4
    return Watch(
        tick_s=tick_s,
        stall_ticks=max(1, round(pace.stall_s / tick_s)),
        renew=lambda: ledger.renew(lease, lease_s=pace.lease_s).stop_requested,
        on_stall=lambda groups: on_stall(lease, groups),
    )


def _recorder(lease: Lease, services: Services, pace: Pace, clocks: Clocks, *, on_stop: Callable[[], None]) -> Recorder:
    return Recorder(
        lease,
        index=services.index,
        ledger=services.ledger,
        lease_s=pace.lease_s,
        give_up_after_s=pace.give_up_after_s,
        upsert_clock=clocks.upsert,
        record_clock=clocks.record,
        on_stop=on_stop,
    )


def _fetcher(services: Services, limits: DecodeLimits, pace: Pace, watch: Watch, clocks: Clocks) -> Fetcher:
    return Fetcher(
        services.store,
        preprocessing=services.embedder.card.preprocessing,
        limits=limits,
        watch=watch,
        read_clock=clocks.fetch,
        decode_clock=clocks.decode,
        pauses_s=pace.read_pauses_s,
    )


def _embedding(
    lease: Lease, services: Services, engine: Executor, watch: Watch, wall: WallClock, clocks: Clocks
) -> Embedding:
    return Embedding(
        lease,
        embedder=services.embedder,
        engine=engine,
        index=services.index,
        ledger=services.ledger,
        watch=watch,
        wall=wall,
        embed_clock=clocks.embed,
        lookup_clock=clocks.lookup,
    )
