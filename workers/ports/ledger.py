"""The ledger: the truth about catalogs, jobs, batches and what every image became. Messages are hints."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from schemas.extra_field import ExtraField
from schemas.outcomes import Reason
from schemas.records import (
    Catalog,
    Fire,
    FireState,
    Generation,
    Job,
    JobActivity,
    JobKind,
    JobOptions,
    JobState,
    Lease,
    LedgerRow,
    ManifestProblem,
    ManifestRow,
    Outcome,
    Placement,
    PlannedPage,
    Pulse,
    QuarantineRow,
    Schedule,
    StageStat,
    Worker,
)
from workers.ports.api_keys import ApiKeys
from workers.ports.inbox import Inbox


@dataclass(frozen=True, kw_only=True, slots=True)
class Claimed:
    """What a recorded or renewed lease answers: whether to go on."""

    stop_requested: bool
    """The job was cancelled or paused: give the rest of the batch back."""


class Catalogs(Protocol):
    """Catalogs and their generations."""

    def ensure_catalog(self, name: str, *, source_url: str, extra_fields: tuple[ExtraField, ...] = ()) -> Catalog:
        """The catalog of that name, made if there is none. `extra_fields`, when given, replace the stored ones.

        Raises:
            ContractError: the name belongs to another source.
        """
        ...

    def catalog(self, name: str) -> Catalog:
        """The catalog, or NotFoundError naming those there are."""
        ...

    def catalogs(self) -> Sequence[Catalog]:
        """All catalogs by name."""
        ...

    def drop_catalog(self, name: str) -> None:
        """Forget the catalog with everything that hangs on it; an unknown name is harmless. Numbers of generations are not
        given again, even to another catalog of that name: a collection's name never means two things.
        """
        ...

    def add_generation(self, catalog: str, *, model_digest: str) -> Generation:
        """A new generation, numbered one above the highest there ever was under the catalog's name; not active yet."""
        ...

    def generation(self, catalog: str, number: int) -> Generation:
        """One generation, or NotFoundError."""
        ...

    def generations(self, catalog: str) -> Sequence[Generation]:
        """Those that exist, by number."""
        ...

    def activate(self, catalog: str, number: int) -> None:
        """Let this generation answer for the catalog."""
        ...

    def drop_generation(self, catalog: str, number: int) -> None:
        """Forget a generation, its placements, and the keys that no generation holds and no open job has planned; unknown
        ones are harmless. Refused for the active one (ContractError) and for one that an open job fills
        (JobConflictError).
        """
        ...


class Jobs(Protocol):
    """Jobs, their scans and their batches."""

    def create_job(
        self,
        catalog: str,
        generation: int,
        kind: JobKind,
        options: JobOptions,
        *,
        idempotency_key: str,
        priority: int = 0,
    ) -> Job:
        """A running job; the same idempotency key again answers the job it made before, as it is.

        Raises:
            JobConflictError: another scan of the catalog is not final yet; carries its id. Jobs of keys, which
                `Inbox` makes, are in nobody's way.
            ContractError: a priority out of bounds.
        """
        ...

    def job_by_key(self, catalog: str, idempotency_key: str) -> Job | None:
        """The job that was made under this idempotency key, if any."""
        ...

    def job(self, job_id: str) -> Job:
        """One job by its id or an unambiguous prefix of at least 4 characters, or NotFoundError."""
        ...

    def jobs(self, *, catalog: str | None = None, limit: int = 20) -> Sequence[Job]:
        """Newest first."""
        ...

    def open_jobs(self) -> Sequence[Job]:
        """Jobs that are not final, paused ones included: the highest priority first, then the oldest."""
        ...

    def set_priority(self, job_id: str, priority: int) -> Job:
        """Let the job be served earlier or later from now on; a final one answers as it is. ContractError out of bounds."""
        ...

    def pause_job(self, job_id: str, *, error: str, tripped: Reason | None = None) -> Job:
        """Hand out no batch of a running job any more, and let those in hand be given back; `error` is what a person is
        told. `tripped` is added to the job's `tripped`. A job that does not run answers as it is.
        """
        ...

    def resume_job(self, job_id: str) -> Job:
        """A paused job runs again, and what was published of it counts as lost; a running one answers as it is.

        Raises:
            ContractError: it is final, or waits for a confirmation.
        """
        ...

    def activity(self, job_id: str) -> JobActivity:
        """What the job is doing now."""
        ...

    def failures(self, job_id: str, *, after: str | None = None, limit: int = 1000) -> Sequence[QuarantineRow]:
        """Images that the job quarantined or could not finish, by key, as it was when it recorded them. They are kept for
        the catalog's newest jobs that have any (30 of them); the counts by reason stay for good.
        """
        ...

    def restart_scan(self, job_id: str) -> None:
        """Let the scan begin again at the first key: cursor, scan_complete and the scan's own counts (seen, ignored, new,
        changed, unchanged, manifest_orphans, and retried but for a job that retries) return to nothing, vanished marks of
        this job are lifted. Batches and `confirmed_deletes` stay, whoever scans now loses the right to it.
        """
        ...

    def claim_scan(self, job_id: str, *, token: str, lease_s: float) -> bool:
        """Take the right to scan for a while; False while another token holds it. The same token renews."""
        ...

    def release_scan(self, job_id: str, *, token: str, stages: Sequence[StageStat] = ()) -> None:
        """Give the right back and add what planning took to the job; a token that no longer holds it is harmless."""
        ...

    def plan_page(self, job_id: str, *, token: str, page: PlannedPage) -> str | None:
        """Commit one stretch of the scan in one transaction: items, one batch of its work, marks of vanished keys, counts
        and cursor. Answers the batch's id, or None when the page held no work.

        Raises:
            LeaseLostError: the token no longer holds the scan; nothing was written.
        """
        ...

    def plan_retry(self, job_id: str, *, limit: int) -> int:
        """Put up to `limit` quarantined or failed images that the job's options ask for and that it has not taken yet into a
        batch; how many. 0: all are planned (`scan_complete` is then set on the job), or the job does not run.
        """
        ...

    def vanished(self, job_id: str) -> tuple[int, int]:
        """How many keys this job's scan found vanished, and how many keys the catalog had before the scan."""
        ...

    def plan_deletes(self, job_id: str, *, limit: int) -> int:
        """Put up to `limit` vanished keys that are not planned yet into a batch of deletes; how many. 0: all are planned
        (`deletes_planned` is then set on the job).
        """
        ...

    def confirm_deletes(self, job_id: str) -> Job:
        """A person agrees to what the job has found: awaiting_confirmation becomes running, and `confirmed_deletes` is the
        number of keys that its scan has found vanished by then. `options` stay: more than that number is to be asked again.

        Raises:
            ContractError: the job does not wait for that.
        """
        ...

    def allow_deletes(self, job_id: str) -> Job:
        """Set `options.allow_deletes`, whatever the job was made with; its state stays. A final job answers as it is."""
        ...

    def take_ready(self, job_id: str, *, window: int) -> Sequence[str]:
        """Mark ready batches as queued so that at most `window` of the job are queued or leased; their ids, to publish."""
        ...

    def requeue_queued(self, job_id: str, *, older_than_s: float = 0.0) -> int:
        """Make queued (published, unclaimed) batches ready again that were published at least so long ago, for when their
        messages were lost; how many.
        """
        ...

    def batches_underway(self, job_id: str) -> int:
        """Batches that are queued or leased."""
        ...

    def unfinished_batches(self, job_id: str) -> int:
        """Batches that are ready, queued or leased."""
        ...

    def request_cancel(self, job_id: str) -> Job:
        """Ask the job to stop; a final job answers as it is."""
        ...

    def finish_job(self, job_id: str, state: JobState, *, error: str | None = None) -> Job:
        """Set the state once; a final job stays as it is, and a paused one is only ended. Final states free the job's
        batches and work rows.
        """
        ...


class Batches(Protocol):
    """The life of one batch: claimed with a token, recorded as it goes, finished in a fenced transaction."""

    def claim_batch(self, batch_id: str, *, worker: str, lease_s: float) -> Lease | None:
        """Lease a ready or queued batch: draws the version, collects unfinished items and their manifest rows. None when it
        is leased, finished, or its job is cancelled, paused or final: the message was a duplicate, drop it.
        """
        ...

    def record(self, lease: Lease, outcomes: Sequence[Outcome], *, lease_s: float) -> Claimed:
        """Write outcomes, mark items as finished, add to the job's counts and renew the lease, in one transaction.
        Recording an item again is harmless and counts once: its first outcome in the job holds.

        Raises:
            LeaseLostError: the token no longer holds the batch; nothing was written.
            ContractError: an outcome's key is not in the batch; nothing was written.
        """
        ...

    def renew(self, lease: Lease, *, lease_s: float) -> Claimed:
        """Hold the batch for longer; LeaseLostError as for `record`."""
        ...

    def finish_batch(self, lease: Lease, *, stages: Sequence[StageStat], wall_s: float) -> None:
        """All items have outcomes: close the batch and add its stage figures to the job. LeaseLostError as for `record`,
        ContractError while an item has none.
        """
        ...

    def release_batch(self, lease: Lease, *, stages: Sequence[StageStat] = (), wall_s: float = 0.0) -> None:
        """Give unfinished items back without counting a loss: a shutdown, or a dependency that is down. LeaseLostError as
        for `record`.
        """
        ...

    def reap(self, *, worker_prefix: str | None = None) -> Sequence[str]:
        """Take back leases that ran out (with `worker_prefix`: all of such workers, expired or not, because they are known
        to be dead). A batch with several unfinished items is split into two ready halves; an item that was lost alone
        three times is quarantined as ends_worker. Answers the ids of the jobs concerned.
        """
        ...


class Items(Protocol):
    """What is known of every image."""

    def rows(
        self, catalog: str, generation: int, *, job_id: str | None, after: str | None, limit: int
    ) -> Sequence[LedgerRow]:
        """Known keys behind `after` in byte order, with what this generation holds and what the job has planned.

        A key that this generation does not hold, but another one does, is none of this generation's business: it is left
        out unless the job has planned it.
        """
        ...

    def originals(self, catalog: str, generation: int, digests: Sequence[str]) -> Mapping[str, Placement]:
        """For each content digest that an indexed point of the generation has: one such placement."""
        ...

    def placements(
        self, catalog: str, generation: int, *, after: str | None = None, limit: int = 1000
    ) -> Sequence[Placement]:
        """What the generation holds, by key in byte order, tombstones included."""
        ...

    def tombstones(
        self, catalog: str, generation: int, *, older_than_s: float, limit: int = 1000
    ) -> Sequence[Placement]:
        """Placements whose point has to be deleted once more, because an older lease could have written it after the fact:
        those deleted and those quarantined at least that long ago and not dealt with yet, by key.
        """
        ...

    def forget_tombstones(self, catalog: str, generation: int, keys: Sequence[str]) -> None:
        """Deal with them: no older write can arrive any more. Deleted placements go, together with their keys where no
        generation holds them and no open job has planned them; quarantined ones stay and are no tombstones any more,
        until they are written again.
        """
        ...

    def blamed(self, job_id: str) -> Sequence[Placement]:
        """Placements that this job quarantined as ends_worker, by key. No worker lived to delete their points: whoever ends
        the job does.
        """
        ...

    def quarantine(
        self, catalog: str, *, after: str | None = None, limit: int = 100, reason: str | None = None
    ) -> Sequence[QuarantineRow]:
        """Quarantined and failed images of the active generation, by key."""
        ...

    def outcome_counts(self, catalog: str, generation: int) -> Mapping[str, int]:
        """Placements by outcome, and of those with a reason by `<outcome>:<reason>`."""
        ...


class Manifests(Protocol):
    """The catalog's remembered manifest, and the staging of a new one."""

    def stage_manifest(self, catalog: str, stage: str, rows: Iterable[ManifestRow]) -> Sequence[ManifestProblem]:
        """Write rows under a stage id in bounded transactions, for a catalog that need not exist yet. A key that comes
        twice is answered as a problem with both lines named; the first row counts. Staging again begins again.
        """
        ...

    def adopt_manifest(self, catalog: str, stage: str) -> int:
        """Make the staged rows the catalog's manifest in one transaction; how many rows it has now. Adopting a stage again
        changes nothing; NotFoundError for an unknown stage or catalog.
        """
        ...

    def discard_manifest(self, stage: str) -> None:
        """Forget staged rows; an unknown stage is harmless."""
        ...

    def manifest_rows(
        self, catalog: str, *, stage: str | None = None, after: str | None = None, limit: int = 5000
    ) -> Sequence[ManifestRow]:
        """Rows of the adopted (or the staged) manifest by key in byte order."""
        ...

    def note_manifest_problems(self, job_id: str, problems: Sequence[ManifestProblem]) -> None:
        """Keep the problems with the job, for its report."""
        ...

    def manifest_problems(self, job_id: str, *, limit: int = 1000) -> Sequence[ManifestProblem]:
        """Problems kept with the job, by line."""
        ...


class Workers(Protocol):
    """Who is there to work, by their own word."""

    def beat(self, pulse: Pulse) -> None:
        """Write down that a worker is alive and what it does. Workers silent for a day are forgotten on the way."""
        ...

    def workers(self, *, alive_within_s: float | None = None) -> Sequence[Worker]:
        """Those that beat at most so long ago, or all that are known, by id."""
        ...

    def forget_worker(self, worker_id: str) -> None:
        """It has ended; an unknown one is harmless."""
        ...


class Schedules(Protocol):
    """Jobs that are made again and again, and the times at which they were."""

    def add_schedule(self, schedule: Schedule) -> Schedule:
        """Keep a new schedule; `created_at` is the database's.

        Raises:
            NotFoundError: no such catalog.
            ContractError: the name is taken.
        """
        ...

    def schedule(self, name: str) -> Schedule:
        """One schedule, or NotFoundError naming those there are."""
        ...

    def schedules(self) -> Sequence[Schedule]:
        """All of them, by name."""
        ...

    def remove_schedule(self, name: str) -> None:
        """Forget a schedule and its fires; its jobs stay. NotFoundError for an unknown one."""
        ...

    def enable_schedule(self, name: str, *, enabled: bool, next_at: datetime) -> Schedule:
        """Let it fire from `next_at` on, or not at all."""
        ...

    def move_schedule(self, schedule: Schedule, *, next_at: datetime, fires: Sequence[Fire]) -> bool:
        """Note what became of the times up to now and when it fires next, in one transaction. Only the first that moves
        on from `schedule.next_at` does; False for everybody else, who writes nothing. A fire that is known stays as it is.
        """
        ...

    def add_fire(self, fire: Fire) -> None:
        """Note one fire out of turn; one that is known stays as it is."""
        ...

    def due_fires(self) -> Sequence[Fire]:
        """Fires that nobody has settled yet, oldest first."""
        ...

    def settle_fire(
        self, schedule: str, at: datetime, *, state: FireState, job_id: str | None, detail: str | None
    ) -> Fire:
        """Say what became of a due fire; one that is settled answers as it is. NotFoundError for an unknown one."""
        ...

    def fires(self, schedule: str, *, limit: int = 5) -> Sequence[Fire]:
        """The last fires, newest first. They are kept for some months."""
        ...


class Ledger(Catalogs, Jobs, Batches, Items, Manifests, Inbox, Workers, Schedules, ApiKeys, Protocol):
    """All of it. Every method raises `TransientError` when the database does not answer."""

    def close(self) -> None:
        """Release connections; closing twice is harmless."""
        ...


__all__ = [
    "ApiKeys",
    "Batches",
    "Catalogs",
    "Claimed",
    "Inbox",
    "Items",
    "Jobs",
    "Ledger",
    "Manifests",
    "Schedules",
    "Workers",
]
