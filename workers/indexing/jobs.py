"""A job from its submission to its end. Every step is idempotent and may be repeated by any worker at any time.

    submit -> [scan a slice, publish batches, index them]* -> deletes (guarded) -> done

A person may pause it, and so does the circuit breaker (`breaker`): it rests until it is resumed.

`advance` moves a job one step; it is called when the job is made, after each of its batches, and by whoever finds
the job at rest. What it decides, it reads from the ledger.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Protocol

from schemas.ids import new_id
from schemas.messages import AdvanceJob, IndexBatch
from schemas.payload import Tombstone
from schemas.records import Catalog, Generation, Job, JobKind, JobState, Lane, Lease
from workers.errors import CatalogError, LeaseLostError, NotFoundError
from workers.imaging.decode import DecodeLimits
from workers.indexing.breaker import GUARDED, Breaker, Tally, trip
from workers.indexing.inbox import Publish, take_due, take_inbox
from workers.indexing.pipeline import OnStall, Pace, Services, index_batch
from workers.indexing.plan import exceeds_guard
from workers.indexing.scan import scan
from workers.ports import Embedder, Ledger, ObjectStore, VectorIndex
from workers.telemetry import StageClock, WallClock, log

ASSUMED_RATE: Final = 68.0
"""Images a second of a job whose rate is not known yet: a modest worker, so that its batches come out short."""
SMALLEST_BATCH_ITEMS: Final = 64
LARGEST_BATCH_ITEMS: Final = 8192
DELETE_BATCH_ITEMS: Final = 2048
"""Deletes need no pixels: a batch of them is bounded by the transaction, not by time."""
TOMBSTONE_PAGE: Final = 1000
TAKEN_WITHIN_S: Final = 3.0
"""A worker that has taken a message claims its batch within this time: it only opens store and model first."""
LOST_AFTER_S: Final = 120.0
"""A published batch in a lane that is never empty is published again after so long."""
FULL_LANE_MESSAGES: Final = 1000
"""A lane that nobody works off is left alone: more messages would only fill the broker's memory."""
TASK_LIMIT_S: Final = 240.0
"""No task runs longer (Celery's hard limit, below the broker's visibility timeout of 300 s)."""


class Attendance(Protocol):
    """Who wants to know which batch this process has in hand: its heartbeat."""

    def took(self, lease: Lease) -> None:
        """A batch was claimed."""

    def let_go(self, *, images: int) -> None:
        """It was closed or given back, with so many of its images finished here."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Workshop:
    """Everything that working on jobs needs; built by the composition root."""

    ledger: Ledger
    index: VectorIndex
    open_store: Callable[[str], ObjectStore]
    """The store of a source URL; kept open and shared by the workshop."""
    embedder_for: Callable[[str], Embedder]
    """The engine of a model digest; loaded once."""
    publish: Publish
    limits: DecodeLimits
    pace: Pace
    batch_seconds: float
    window: int
    worker: str
    now: Callable[[], datetime]
    stop: threading.Event
    on_stall: OnStall
    breaker: Breaker = field(default_factory=Breaker)
    attendance: Attendance | None = None


def advance(workshop: Workshop, job_id: str) -> None:
    """Move the job one step: scan a slice if there is room, publish what is ready, plan deletes, or end it."""
    ledger = workshop.ledger
    job = ledger.job(job_id)
    if job.state is not JobState.RUNNING:
        return
    scanned_here = not job.cancel_requested and _plan(workshop, job)
    for batch_id in ledger.take_ready(job.id, window=workshop.window):
        workshop.publish(IndexBatch(batch_id=batch_id, job_id=job.id), job.lane)
    job = ledger.job(job_id)
    unfinished = ledger.unfinished_batches(job.id)
    if job.state is not JobState.RUNNING:  # paused meanwhile
        return
    if job.cancel_requested:
        ledger.finish_job(job.id, JobState.CANCELLED)
    elif job.scan_complete and not unfinished:
        _conclude(workshop, job)
    elif scanned_here and not job.scan_complete and unfinished < workshop.window and not workshop.stop.is_set():
        workshop.publish(AdvanceJob(job_id=job.id), job.lane)


def run_batch(workshop: Workshop, message: IndexBatch) -> None:
    """Claim a batch, index it, close it and let its job go on. A batch somebody else has is left alone.

    Raises:
        TransientError: a dependency stayed down; the batch was given back and cost no attempt.
    """
    ledger, pace = workshop.ledger, workshop.pace
    try:
        job = ledger.job(message.job_id)
    except NotFoundError:
        return
    with suppress(NotFoundError):
        catalog = ledger.catalog(job.catalog)
        # Before the claim: a process that dies while it loads its model must cost no image an attempt.
        opening = StageClock("open")
        with WallClock().working(opening):
            services = Services(
                store=workshop.open_store(catalog.source_url),
                embedder=workshop.embedder_for(ledger.generation(job.catalog, job.generation).model_digest),
                index=workshop.index,
                ledger=ledger,
            )
        lease = ledger.claim_batch(message.batch_id, worker=workshop.worker, lease_s=pace.lease_s)
        if lease is not None:
            _work_off(
                workshop, lease, services, opening, extra_fields=tuple(field.name for field in catalog.extra_fields)
            )
    if not workshop.stop.is_set():
        workshop.publish(AdvanceJob(job_id=job.id), job.lane)


def _work_off(
    workshop: Workshop, lease: Lease, services: Services, opening: StageClock, *, extra_fields: tuple[str, ...]
) -> None:
    ledger = workshop.ledger
    try:
        with _attended(workshop.attendance, lease) as attended, _given_back_on_error(ledger, lease):
            report = index_batch(
                lease,
                services,
                extra_fields=extra_fields,
                limits=workshop.limits,
                pace=workshop.pace,
                now=workshop.now,
                stop=workshop.stop,
                on_stall=workshop.on_stall,
            )
            attended.images = report.tally.settled
            if report.complete:  # before it is closed: nobody may end the job in between
                _pause_on_trip(workshop, lease, report.tally)
            close = ledger.finish_batch if report.complete else ledger.release_batch
            close(lease, stages=(opening.stat(), *report.stages), wall_s=report.wall_s)
    except LeaseLostError:
        log.warning("lease lost, batch left to its new owner", batch=lease.batch_id)


def _pause_on_trip(workshop: Workshop, lease: Lease, tally: Tally) -> None:
    """Pause the job when this batch failed as a whole, so to speak; what is recorded stays recorded."""
    if trip(tally, workshop.breaker, tripped=()) is None:
        return
    job = workshop.ledger.job(lease.job_id)
    tripped = trip(tally, workshop.breaker, tripped=job.tripped)
    if job.kind in GUARDED and tripped is not None:
        log.info("job paused", job=job.id, reason=tripped.reason.value, images=tripped.count)
        workshop.ledger.pause_job(job.id, error=tripped.said(job), tripped=tripped.reason)


@dataclass(kw_only=True, slots=True)
class _Attended:
    images: int = 0


@contextmanager
def _attended(attendance: Attendance | None, lease: Lease) -> Iterator[_Attended]:
    """Tell the heartbeat what is in hand for the block."""
    attended = _Attended()
    if attendance is not None:
        attendance.took(lease)
    try:
        yield attended
    finally:
        if attendance is not None:
            attendance.let_go(images=attended.images)


@contextmanager
def _given_back_on_error(ledger: Ledger, lease: Lease) -> Iterator[None]:
    """An error inside gives the unfinished items back at once, instead of when the lease runs out."""
    try:
        yield
    except LeaseLostError:
        raise
    except BaseException:
        with suppress(CatalogError):
            ledger.release_batch(lease)
        raise


def resume(ledger: Ledger, job: Job) -> None:
    """Take up a job whose workers are gone: what was published is published again, an unfinished scan starts over.

    Starting over finds images that came meanwhile, costs no image that is already indexed, and plans nothing twice.
    """
    ledger.requeue_queued(job.id)
    if job.kind is not JobKind.RETRY and not job.deletes_planned:
        ledger.restart_scan(job.id)


def cancel(ledger: Ledger, job_id: str) -> Job:
    """Stop a job: its workers do so after the images in hand, one that waits for a person ends at once."""
    job = ledger.request_cancel(job_id)
    return ledger.finish_job(job.id, JobState.CANCELLED) if job.state.waits_for_a_person else job


def reconcile(workshop: Workshop, job_id: str) -> None:
    """Set a job in motion again that may have come to rest: lost leases are taken back, lost messages sent again.

    Whatever was not lost after all is claimed by its token or found done, and nothing happens twice.
    """
    workshop.ledger.reap()
    workshop.ledger.requeue_queued(job_id)
    workshop.publish(AdvanceJob(job_id=job_id), workshop.ledger.job(job_id).lane)


def reconcile_all(workshop: Workshop, *, waiting: Callable[[Lane], int]) -> None:
    """Set in motion whatever has come to rest, over all jobs; any number of processes may do so at any time.

    `waiting` says how many messages a lane of the broker holds. A batch that was published while its lane is empty was
    lost with the broker's memory; one in a full lane waits for its turn, and is only published again when that takes
    so long that the message may have died with a worker that had taken it.
    """
    ledger = workshop.ledger
    ledger.reap()
    take_due(ledger, publish=workshop.publish)
    lengths = {lane: waiting(lane) for lane in Lane}
    for job in ledger.open_jobs():
        length = lengths[job.lane]
        if job.state is not JobState.RUNNING or length >= FULL_LANE_MESSAGES:
            continue
        ledger.requeue_queued(job.id, older_than_s=LOST_AFTER_S if length else TAKEN_WITHIN_S)
        if length == 0 or not ledger.batches_underway(job.id):
            workshop.publish(AdvanceJob(job_id=job.id), job.lane)


def _plan(workshop: Workshop, job: Job) -> bool:
    """Plan more work if there is room for it; whether this worker was the one to do so."""
    ledger = workshop.ledger
    room = workshop.window - ledger.unfinished_batches(job.id)
    if job.scan_complete or room <= 0:
        return False
    if job.kind is JobKind.RETRY:
        while room > 0 and ledger.plan_retry(job.id, limit=_batch_items(workshop, job)):
            room -= 1
        return True
    token, clock = new_id(), StageClock("plan")
    if not ledger.claim_scan(job.id, token=token, lease_s=workshop.pace.lease_s):
        return False
    try:
        catalog = ledger.catalog(job.catalog)
        with WallClock().working(clock, items=0):
            seen = scan(
                ledger.job(job.id),
                catalog,
                store=workshop.open_store(catalog.source_url),
                ledger=ledger,
                token=token,
                lease_s=workshop.pace.lease_s,
                batch_items=_batch_items(workshop, job),
                stopped=lambda: workshop.stop.is_set() or _is_stopped(ledger.job(job.id)),
            )
        clock.add(items=seen)
    except LeaseLostError:
        log.warning("scan left to another worker", job=job.id)
        return False
    finally:
        ledger.release_scan(job.id, token=token, stages=(clock.stat(),))
    return True


def _is_stopped(job: Job) -> bool:
    return job.cancel_requested or job.state is not JobState.RUNNING


def _batch_items(workshop: Workshop, job: Job) -> int:
    """As many items as hold `batch_seconds` of work at the job's own rate."""
    rate = job.finished / job.wall_s if job.wall_s >= 1.0 else ASSUMED_RATE
    return max(SMALLEST_BATCH_ITEMS, min(LARGEST_BATCH_ITEMS, int(rate * workshop.batch_seconds)))


def _conclude(workshop: Workshop, job: Job) -> None:
    """All images have their outcome: delete what has vanished, unless that needs a person's word, and end the job."""
    ledger = workshop.ledger
    generation = ledger.generation(job.catalog, job.generation)
    needed = _needs_word(workshop, job, generation)
    if needed is not None:
        ledger.finish_job(job.id, JobState.AWAITING_CONFIRMATION, error=needed)
        return
    if job.kind is JobKind.SYNC and not job.deletes_planned:
        while ledger.plan_deletes(job.id, limit=DELETE_BATCH_ITEMS):
            pass
        if ledger.unfinished_batches(job.id) or _is_stopped(ledger.job(job.id)):  # a stopped job plans nothing
            workshop.publish(AdvanceJob(job_id=job.id), job.lane)
            return
    _bury_blamed(workshop, job, generation)
    reapply_tombstones(workshop, generation)
    workshop.index.settle(generation.collection)
    if job.kind is JobKind.REINDEX:
        switch(ledger, workshop.index, generation)
    ledger.finish_job(job.id, JobState.DONE)
    with suppress(NotFoundError):  # dropped by now
        take_inbox(ledger, job.catalog, publish=workshop.publish)


def _needs_word(workshop: Workshop, job: Job, generation: Generation) -> str | None:
    """What a person has to be asked before images disappear from the index, or None.

    If more has gone since the word was given, it is asked for again.
    """
    if job.kind in (JobKind.RETRY, JobKind.KEYS) or job.deletes_planned or job.options.allow_deletes:
        return None
    if job.kind is JobKind.SYNC:
        gone, known = workshop.ledger.vanished(job.id)
        what = f"{gone} of {known} known images have vanished from the source; none was deleted"
    else:
        active = workshop.ledger.catalog(job.catalog).active_generation
        if active is None or active == job.generation:
            return None
        known = _searchable(workshop.index, workshop.ledger.generation(job.catalog, active))
        gone = known - workshop.index.count(generation.collection)
        what = f"the new index would hold {gone} of {known} images less; the old one still answers"
    # A sync's word covers the number it was given for; a reindex's covers the new index, which is complete by then.
    confirmed = job.confirmed_deletes is not None and (job.kind is JobKind.REINDEX or gone <= job.confirmed_deletes)
    if confirmed or not exceeds_guard(gone, known):
        return None
    return f"{what}. If that is right, run: catalog confirm {job.id[:8]}"


def _searchable(index: VectorIndex, generation: Generation) -> int:
    """Points of a generation; none when the index has lost its collection, which is what a reindex may be there to mend."""
    try:
        return index.count(generation.collection)
    except NotFoundError:
        return 0


def _bury_blamed(workshop: Workshop, job: Job, generation: Generation) -> None:
    """Take images out of the index that ended their worker: whoever recorded that could not reach the index any more."""
    blamed = workshop.ledger.blamed(job.id)
    if blamed:
        tombstones = [Tombstone(id=placement.point_id, version=placement.version) for placement in blamed]
        workshop.index.delete(generation.collection, tombstones)


def reapply_tombstones(workshop: Workshop, generation: Generation, *, task_limit_s: float = TASK_LIMIT_S) -> None:
    """Delete once more what was deleted or refused, after every older lease and the task limit have passed, then forget it.

    Until then a worker that claimed before could still have written an older version of the point.
    """
    older_than_s = task_limit_s + workshop.pace.lease_s
    while due := workshop.ledger.tombstones(
        generation.catalog, generation.number, older_than_s=older_than_s, limit=TOMBSTONE_PAGE
    ):
        workshop.index.delete(
            generation.collection,
            [Tombstone(id=placement.point_id, version=placement.version) for placement in due],
        )
        workshop.ledger.forget_tombstones(generation.catalog, generation.number, [p.key for p in due])


def switch(ledger: Ledger, index: VectorIndex, generation: Generation) -> None:
    """Let a generation answer for its catalog: in the ledger, which is the truth, then by alias. The others are dropped."""
    ledger.activate(generation.catalog, generation.number)
    index.point_alias(generation.catalog, generation.collection)
    for other in ledger.generations(generation.catalog):
        if other.number != generation.number:
            index.drop(other.collection)
            ledger.drop_generation(generation.catalog, other.number)


def repair_alias(ledger: Ledger, index: VectorIndex, catalog: Catalog) -> None:
    """Make the index's alias agree with the ledger, which is authoritative, after a crash between the two."""
    if catalog.active_generation is None:
        return
    active = ledger.generation(catalog.name, catalog.active_generation)
    if index.resolve(catalog.name) != active.collection:
        index.point_alias(catalog.name, active.collection)
