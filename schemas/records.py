"""Rows of the ledger as frozen values: what the core reads and writes of the truth."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Final

import orjson

from schemas.extra_field import ExtraField
from schemas.outcomes import OutcomeKind, Reason
from schemas.payload import JsonValue

LOWEST_PRIORITY: Final = -9
HIGHEST_PRIORITY: Final = 9
"""Bounds of a job's priority: whatever is higher is handed out first."""


class JobKind(StrEnum):
    """What a job does."""

    SYNC = "sync"
    """Bring the index in line with the source: new, changed and vanished images, changed manifest rows."""
    REINDEX = "reindex"
    """Fill a new generation from the source, then make it the active one."""
    RETRY = "retry"
    """Try quarantined and failed images again, without a scan."""
    KEYS = "keys"
    """Look at named keys, because an event or a person said so. Runs beside whatever else the catalog is doing."""

    @property
    def runs_alone(self) -> bool:
        """Whether a catalog has at most one such job at a time."""
        return self is not JobKind.KEYS


class Lane(StrEnum):
    """Which of the two queues a job's messages take."""

    INTERACTIVE = "interactive"
    """Somebody waits, or an event says that an image has changed: taken before bulk work."""
    BULK = "bulk"


class JobState(StrEnum):
    """Where a job stands."""

    RUNNING = "running"
    AWAITING_CONFIRMATION = "awaiting_confirmation"
    """Everything but the deletes is done; they exceed the guard and wait for a person."""
    PAUSED = "paused"
    """No batch is handed out until a person resumes it; `error` says why it was paused."""
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_final(self) -> bool:
        """Whether the job can no longer change."""
        return self in (JobState.DONE, JobState.FAILED, JobState.CANCELLED)

    @property
    def waits_for_a_person(self) -> bool:
        """Whether the job goes on only when somebody says so; no worker works on it."""
        return self in (JobState.AWAITING_CONFIRMATION, JobState.PAUSED)


class Change(StrEnum):
    """Why an item is in a batch."""

    NEW = "new"
    CHANGED = "changed"
    RETRY = "retry"
    PAYLOAD = "payload"
    """Only its manifest row changed: the payload is updated, nothing is fetched or embedded."""
    DELETE = "delete"

    @property
    def needs_bytes(self) -> bool:
        """Whether the image itself has to be read."""
        return self in (Change.NEW, Change.CHANGED, Change.RETRY)


@dataclass(frozen=True, kw_only=True, slots=True)
class Catalog:
    """A named source and the generation that answers for it."""

    name: str
    source_url: str
    extra_fields: tuple[ExtraField, ...] = ()
    """Manifest columns beyond the standard ones that become payload."""
    active_generation: int | None = None
    created_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class Generation:
    """One collection of a catalog, bound to one model digest for good."""

    catalog: str
    number: int
    """1, 2, 3 ... within the catalog."""
    collection: str
    model_digest: str
    created_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class JobOptions:
    """What the person who enqueued a job asked for."""

    include: tuple[str, ...] = ()
    """Globs of keys in scope; none means all. Keys out of scope are left alone, neither added nor removed."""
    exclude: tuple[str, ...] = ()
    allow_deletes: bool = False
    """Skip the guard on deletes."""
    reasons: tuple[Reason, ...] = ()
    """Of a retry: only images with one of these; none means all."""
    failed_only: bool = False
    """Of a retry: only images whose dependency was down, not the quarantined ones."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Counts:
    """A job's figures. At the end new + changed + retried = indexed + duplicates + quarantined + failed + vanished, but for
    payload changes that failed, which were no new image, and images that were to be deleted and were there again.
    """

    seen: int = 0
    """Images listed (files that are no images by name are `ignored`)."""
    ignored: int = 0
    new: int = 0
    changed: int = 0
    unchanged: int = 0
    retried: int = 0
    vanished: int = 0
    """Planned, but gone from the source before they were read."""
    payload_updated: int = 0
    deleted: int = 0
    indexed: int = 0
    duplicates: int = 0
    quarantined: int = 0
    failed: int = 0
    manifest_orphans: int = 0
    """Manifest rows whose image is not in the source."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StageStat:
    """What one stage of the pipeline spent."""

    stage: str
    busy_s: float
    """Seconds of work, summed over the stage's threads."""
    wait_s: float = 0.0
    """Seconds of the worker's wall time that went to this stage: its indexing thread worked in it or stood still for it.
    Over all stages they add up to the wall time."""
    items: int = 0
    bytes: int = 0
    threads: int = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class ReasonCount:
    """How many images of a job met one fate for one reason."""

    kind: OutcomeKind
    reason: Reason
    count: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """A job's row."""

    id: str
    catalog: str
    generation: int
    kind: JobKind
    state: JobState
    options: JobOptions
    counts: Counts
    planned: int
    """Items put into batches so far."""
    finished: int
    """Items of them that have their outcome."""
    scan_complete: bool
    scan_cursor: str | None
    """Last key the scan has settled."""
    deletes_planned: bool
    cancel_requested: bool
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    error: str | None
    stages: tuple[StageStat, ...] = ()
    wall_s: float = 0.0
    """Seconds spent in batches, summed over workers."""
    manifest_problems: int = 0
    confirmed_deletes: int | None = None
    """How many vanished keys a person has agreed to delete; None: nobody was asked, or nobody has answered."""
    priority: int = 0
    """`LOWEST_PRIORITY` to `HIGHEST_PRIORITY`; of the open jobs the highest is served first."""
    reasons: tuple[ReasonCount, ...] = ()
    """Its quarantined and failed images by reason, the most frequent first."""
    tripped: tuple[Reason, ...] = ()
    """Reasons for which the circuit breaker has paused the job."""

    @property
    def lane(self) -> Lane:
        """The queue of the job's messages."""
        urgent = self.kind is JobKind.KEYS or self.priority > 0
        return Lane.INTERACTIVE if urgent else Lane.BULK


@dataclass(frozen=True, kw_only=True, slots=True)
class JobActivity:
    """What a job is doing now, by the database's clock."""

    items_per_s: float | None
    """Items that got their outcome, over the recent past (about a minute); None before there is anything to measure."""
    remaining_s: float | None
    """Items planned and not finished, at that rate. While the scan goes on more may be planned: it is a lower bound."""
    oldest_pending_s: float | None
    """Since the oldest batch that is not finished was planned; None without one."""
    workers: tuple[str, ...]
    """Who holds one of its batches."""


@dataclass(frozen=True, kw_only=True, slots=True)
class WorkItem:
    """One image of a batch, as planned."""

    key: str
    change: Change
    etag: str
    """Of the listing; what is recorded later is the ETag of the GET."""
    size: int
    """Bytes, of the listing; 0 where unknown."""
    losses: int = 0
    """How often a worker died with it in hand while it was alone in its batch."""


def fields_digest(fields: Mapping[str, JsonValue]) -> str:
    """SHA-256 (hexadecimal) over the canonical JSON of a manifest row's fields: UTF-8, sorted names, no blanks."""
    return hashlib.sha256(orjson.dumps(dict(fields), option=orjson.OPT_SORT_KEYS)).hexdigest()


@dataclass(frozen=True, kw_only=True, slots=True)
class ManifestRow:
    """One image's row of the catalog's manifest."""

    key: str
    digest: str
    """SHA-256 over the canonical JSON of `fields`."""
    fields: Mapping[str, JsonValue]
    """Payload fields; `category` is the retailer's own word for it."""
    line: int = 0
    base_digest: str | None = None
    """Digest of the row as a manifest file gave it, where an update has changed it since; "" where no file had it. None:
    the row is as the file gave it."""

    @property
    def file_digest(self) -> str:
        """Digest of the row as a manifest file gave it; "" where no file had it."""
        return self.digest if self.base_digest is None else self.base_digest


@dataclass(frozen=True, kw_only=True, slots=True)
class ManifestProblem:
    """A manifest row that was left out, and why."""

    line: int
    key: str | None
    problem: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Lease:
    """A claimed batch: everything a worker needs, and the token that fences its writes."""

    batch_id: str
    job_id: str
    catalog: str
    source_url: str
    generation: int
    collection: str
    model_digest: str
    token: str
    version: int
    """Drawn at the claim; every write of this lease carries it."""
    losses: int
    items: tuple[WorkItem, ...]
    """Those of the batch that have no outcome yet."""
    manifest: Mapping[str, ManifestRow] = field(default_factory=dict)
    """Rows for the keys of `items`, where the catalog has them."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """What became of one image."""

    key: str
    kind: OutcomeKind
    etag: str = ""
    """Of the GET that was decoded, or of the listing where nothing was read."""
    size: int = 0
    content_digest: str | None = None
    """SHA-256 of the bytes, hexadecimal."""
    reason: Reason | None = None
    detail: str | None = None
    manifest_digest: str | None = None
    """Digest of the manifest row that the point's payload reflects."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LedgerRow:
    """One key as the ledger knows it, for the merge-join with a listing."""

    key: str
    etag: str | None
    """ETag and size that the placement in this generation holds; None where it has none."""
    size: int | None
    outcome: OutcomeKind | None
    manifest_digest: str | None
    work: Change | None = None
    """Why this job has already put the key into a batch, if it has."""
    work_done: bool = False
    vanished: bool = False
    """This job's scan has marked the key as gone from the source."""
    in_hand: bool = False
    """Another open job has the key in a batch that is not worked off: what stands here is about to change."""


@dataclass(frozen=True, kw_only=True, slots=True)
class AskedKey:
    """A key that somebody asked to look at."""

    key: str
    look: bool = True
    """Look at the object. Otherwise only the payload is brought in line with the manifest, and the store is not asked."""
    force: bool = False
    """Work on it even where nothing seems to have changed: two writes of it have crossed."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PlannedPage:
    """A stretch of the merge-join, committed in one transaction together with the cursor."""

    cursor: str
    """Everything up to and including this key is settled."""
    complete: bool
    """The listing has ended: behind the cursor there is nothing."""
    work: tuple[WorkItem, ...]
    """Becomes one batch, in this order; may be empty."""
    vanished: tuple[str, ...]
    counts: Counts
    """To be added to the job's."""


@dataclass(frozen=True, kw_only=True, slots=True)
class QuarantineRow:
    """An image that is not searchable, for the person who owns the catalog."""

    key: str
    kind: OutcomeKind
    reason: Reason
    detail: str
    attempts: int
    at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class Placement:
    """What a generation's index holds of one key."""

    key: str
    point_id: str
    version: int
    etag: str
    content_digest: str | None
    outcome: OutcomeKind
    reason: Reason | None = None


class WorkerKind(StrEnum):
    """What a process of the fleet is there for."""

    WORKER = "worker"
    BEAT = "beat"
    EMBEDDED = "embedded"
    """A worker inside a command."""


class WorkerState(StrEnum):
    """Whether a worker has a batch in hand."""

    IDLE = "idle"
    BUSY = "busy"


@dataclass(frozen=True, kw_only=True, slots=True)
class Pulse:
    """What a worker says of itself with every beat."""

    id: str
    """Its name in leases, where it takes any."""
    host: str
    pid: int
    kind: WorkerKind
    queues: tuple[str, ...]
    """Those it reads; none for a beat."""
    version: str
    """Of this package."""
    state: WorkerState
    job_id: str | None = None
    batch_id: str | None = None
    images_done: int = 0
    """Since it started."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Worker:
    """A worker as the ledger knows it."""

    pulse: Pulse
    started_at: datetime
    beat_at: datetime
    silent_s: float
    """Since its last beat, by the database's clock."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Schedule:
    """A job that is made again and again."""

    name: str
    catalog: str
    kind: JobKind
    """SYNC or REINDEX."""
    cron: str
    """Five fields: minute, hour, day of month, month, day of week."""
    timezone: str
    """IANA name of the zone in which `cron` is read."""
    options: JobOptions
    model: str | None = None
    """Of a reindex: the bundle to move to; None: the one at hand when it fires."""
    enabled: bool = True
    created_at: datetime
    next_at: datetime
    """When it fires next, while it is enabled."""


class FireState(StrEnum):
    """What became of one time at which a schedule was due."""

    DUE = "due"
    """To be acted on: by whoever looks next."""
    STARTED = "started"
    SKIPPED = "skipped"
    """Another scan of the catalog was not finished."""
    MISSED = "missed"
    """Nobody looked at that time, and a later one was acted on instead."""
    FAILED = "failed"
    """No job could be made; `detail` says why."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Fire:
    """One time at which a schedule was due; at most one job comes of it."""

    schedule: str
    at: datetime
    state: FireState
    job_id: str | None = None
    detail: str | None = None
