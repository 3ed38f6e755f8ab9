"""A job as programs see it: what `catalog status --json` prints is what the HTTP interface answers."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from schemas.records import Job, JobActivity, ManifestProblem, QuarantineRow, Worker
from workers.heartbeat import SILENT_AFTER_S
from workers.telemetry import bottleneck


def job_json(job: Job) -> dict[str, Any]:
    """The object `ingest --json` ends with, also given by `status`, `jobs` and `report`.

    `seconds` is from the job's start to its end (or to now), with all the time nobody worked on it: after a crash, in a
    queue, before a confirmation. `images_per_s` is the images indexed, duplicates included, over the seconds worked; see
    `worked_s`.
    """
    counts = job.counts
    seconds, worked = elapsed_s(job), worked_s(job)
    slowest = bottleneck(job.stages, job.wall_s)
    return {
        "job": job.id,
        "catalog": job.catalog,
        "kind": job.kind.value,
        "state": job.state.value,
        "priority": job.priority,
        "seen": counts.seen,
        "ignored": counts.ignored,
        "new": counts.new,
        "changed": counts.changed,
        "unchanged": counts.unchanged,
        "retried": counts.retried,
        "vanished": counts.vanished,
        "deleted": counts.deleted,
        "payload_updated": counts.payload_updated,
        "indexed": counts.indexed,
        "duplicates": counts.duplicates,
        "quarantined": counts.quarantined,
        "failed": counts.failed,
        "manifest_orphans": counts.manifest_orphans,
        "manifest_problems": job.manifest_problems,
        "reasons": [
            {
                "outcome": one.kind.value,
                "reason": one.reason.value,
                "images": one.count,
                "advice": one.reason.advice,
            }
            for one in job.reasons
        ],
        "scan_complete": job.scan_complete,
        "planned": job.planned,
        "finished": job.finished,
        "seconds": round(seconds, 3),
        "images_per_s": round(images_done(job) / worked, 2) if worked > 0 else 0.0,
        "bottleneck": slowest.stage if slowest is not None else None,
        "stages": [
            {
                "stage": s.stage,
                "busy_s": s.busy_s,
                "wait_s": s.wait_s,
                "threads": s.threads,
                "items": s.items,
                "bytes": s.bytes,
            }
            for s in job.stages
        ],
        "wall_s": job.wall_s,
        "created_at": job.created_at.isoformat(),
        "finished_at": job.finished_at.isoformat() if job.finished_at is not None else None,
        "error": job.error,
    }


def elapsed_s(job: Job) -> float:
    """Seconds from the job's start to its end, or to now."""
    began = job.started_at or job.created_at
    return max(0.0, ((job.finished_at or datetime.now(UTC)) - began).total_seconds())


def worked_s(job: Job) -> float:
    """Seconds in which somebody worked on the job's images: those in batches, or `elapsed_s` where that is less (several
    workers at once) or all there is (no batch has ended).

    The time in a batch that ended with its process is lost, while images of it are recorded. So the known time is taken
    to grow with them: times the images finished, over those whose recording is in the known time.
    """
    elapsed = elapsed_s(job)
    timed = sum(stage.items for stage in job.stages if stage.stage == "record")
    if job.wall_s <= 0 or timed <= 0:
        return elapsed
    return min(elapsed, job.wall_s * max(1.0, job.finished / timed))


def images_done(job: Job) -> int:
    """Images that came into the index, duplicates included."""
    return job.counts.indexed + job.counts.duplicates


def activity_json(activity: JobActivity) -> dict[str, Any]:
    """What `status` adds to `job_json`: how fast it goes now, not over its whole life."""
    rate, remaining, oldest = activity.items_per_s, activity.remaining_s, activity.oldest_pending_s
    return {
        "recent_images_per_s": None if rate is None else round(rate, 2),
        "remaining_s": None if remaining is None else round(remaining, 1),
        "oldest_pending_s": None if oldest is None else round(oldest, 1),
        "workers": list(activity.workers),
    }


def details_json(job: Job) -> dict[str, Any]:
    """What `report` adds to `job_json`: what was asked for, and what it came to beside images."""
    options = job.options
    return {
        "generation": job.generation,
        "started_at": job.started_at.isoformat() if job.started_at is not None else None,
        "options": {
            "include": list(options.include),
            "exclude": list(options.exclude),
            "allow_deletes": options.allow_deletes,
            "reasons": [reason.value for reason in options.reasons],
            "failed_only": options.failed_only,
        },
        "cancel_requested": job.cancel_requested,
        "confirmed_deletes": job.confirmed_deletes,
        "tripped": [reason.value for reason in job.tripped],
    }


def problems_json(problems: Sequence[ManifestProblem]) -> list[dict[str, Any]]:
    """Manifest rows that were left out."""
    return [{"line": one.line, "key": one.key, "problem": one.problem} for one in problems]


def left_json(row: QuarantineRow) -> dict[str, Any]:
    """An image that is not searchable."""
    return {
        "key": row.key,
        "outcome": row.kind.value,
        "reason": row.reason.value,
        "detail": row.detail,
        "advice": row.reason.advice,
        "attempts": row.attempts,
        "at": row.at.isoformat(),
    }


def worker_json(worker: Worker) -> dict[str, Any]:
    """A worker, as `catalog workers --json` prints it."""
    pulse = worker.pulse
    return {
        "worker": pulse.id,
        "kind": pulse.kind.value,
        "host": pulse.host,
        "pid": pulse.pid,
        "state": pulse.state.value if worker.silent_s <= SILENT_AFTER_S else "silent",
        "job": pulse.job_id,
        "batch": pulse.batch_id,
        "images_done": pulse.images_done,
        "queues": list(pulse.queues),
        "version": pulse.version,
        "started_at": worker.started_at.isoformat(),
        "beat_at": worker.beat_at.isoformat(),
        "silent_s": round(worker.silent_s, 1),
    }
