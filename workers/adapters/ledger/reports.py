"""What a job's report keeps beyond its counts: failures one by one and by reason, and how fast it goes just now."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final

from sqlalchemy import Connection, Row, func, select

from schemas.outcomes import OutcomeKind, Reason
from schemas.records import JobActivity, JobState, Outcome, QuarantineRow, ReasonCount
from schemas.tables import batches, failures, placements
from workers.adapters.ledger.database import Database, clock, slices
from workers.adapters.ledger.part import BatchState, LedgerPart, find_job, moment

SAMPLE_S: Final = 5.0
"""A job's progress is noted at most so often: twelve pairs in its row, whatever its size."""
WINDOW_S: Final = 60.0
"""What "recent" means: four batches of 15 s, so that neither a batch's end nor one slow object sets the rate."""
SHORTEST_S: Final = 1.0
"""Over less time a rate would be noise: outcomes are recorded in groups of up to half a second."""


class ReportsPart(LedgerPart):
    """Implements the part of `workers.ports.ledger.Jobs` that reports."""

    def failures(self, job_id: str, *, after: str | None = None, limit: int = 1000) -> Sequence[QuarantineRow]:
        """Images that the job quarantined or could not finish, by key, as it was when it recorded them."""
        query = select(failures).where(failures.c.job_id == job_id, failures.c.key > (after or ""))
        with self._database.read() as tx:
            find_job(tx, job_id)
            return [_to_failure(row) for row in tx.execute(query.order_by(failures.c.key).limit(limit))]

    def activity(self, job_id: str) -> JobActivity:
        """What the job is doing now."""
        unfinished = (batches.c.job_id == job_id, batches.c.state != BatchState.DONE)
        oldest = select(func.count(), func.min(batches.c.planned_at)).where(*unfinished)
        held = select(batches.c.worker).where(batches.c.job_id == job_id, batches.c.state == BatchState.LEASED)
        with self._database.read() as tx:
            job = find_job(tx, job_id)
            now: float = tx.execute(select(clock())).scalar_one()
            pending, planned_at = tx.execute(oldest).one()
            workers = tx.execute(held.distinct().order_by(batches.c.worker)).scalars().all()
        rate = _recent_rate(job, now) if job.state == JobState.RUNNING else None
        return JobActivity(
            items_per_s=rate,
            remaining_s=(job.planned - job.finished) / rate if rate else None,
            oldest_pending_s=max(0.0, now - (planned_at or job.created_at)) if pending else None,
            workers=tuple(workers),
        )


def to_reasons(stored: Mapping[str, int]) -> tuple[ReasonCount, ...]:
    """A job's counts by reason, the most frequent first."""
    counts = []
    for name, count in stored.items():
        kind, _, reason = name.partition(":")
        counts.append(ReasonCount(kind=OutcomeKind(kind), reason=Reason(reason), count=count))
    return tuple(sorted(counts, key=lambda one: (-one.count, one.kind, one.reason)))


def keep_failures(
    database: Database, tx: Connection, job: Row[Any], outcomes: Sequence[Outcome], *, now: float
) -> dict[str, Any]:
    """Write quarantined and failed images down with the job; answers what changes in its row. Placements are written
    before: how often an image was tried comes from there.
    """
    if not outcomes:
        return {}
    attempts = _attempts(tx, job, [outcome.key for outcome in outcomes])
    rows = [
        {
            "job_id": job.id,
            "key": outcome.key,
            "outcome": outcome.kind,
            "reason": outcome.reason,
            "detail": outcome.detail,
            "attempts": max(1, attempts.get(outcome.key, 1)),
            "at": now,
        }
        for outcome in outcomes
        if outcome.reason is not None
    ]
    if not rows:
        return {}
    database.insert_rows(tx, database.insert(failures).on_conflict_do_nothing(), rows)
    counts = Counter(job.reasons or {})
    counts.update(f"{row['outcome']}:{row['reason']}" for row in rows)
    return {"reasons": dict(counts)}


def sampled(job: Row[Any], *, finished: int, now: float) -> dict[str, Any]:
    """What changes in the job's row so that its recent rate can be told: a sample every few seconds of a minute."""
    samples: list[list[float]] = list(job.recent or [])
    if samples and now - samples[-1][0] < SAMPLE_S:
        return {}
    samples = [sample for sample in samples if sample[0] >= now - WINDOW_S]
    return {"recent": [*samples, [now, finished]]}


def _recent_rate(job: Row[Any], now: float) -> float | None:
    """Items a second since the oldest sample of the window, or since the last one when nothing came for longer."""
    samples = job.recent or []
    if not samples:
        return None
    at, finished = next((sample for sample in samples if sample[0] >= now - WINDOW_S), samples[-1])
    return (job.finished - finished) / (now - at) if now - at >= SHORTEST_S else None


def _attempts(tx: Connection, job: Row[Any], keys: Sequence[str]) -> dict[str, int]:
    found: dict[str, int] = {}
    here = (placements.c.catalog == job.catalog, placements.c.generation == job.generation)
    for some in slices(keys):
        query = select(placements.c.key, placements.c.attempts).where(*here, placements.c.key.in_(some))
        found |= {row.key: row.attempts for row in tx.execute(query)}
    return found


def _to_failure(row: Row[Any]) -> QuarantineRow:
    return QuarantineRow(
        key=row.key,
        kind=OutcomeKind(row.outcome),
        reason=Reason(row.reason),
        detail=row.detail or "",
        attempts=row.attempts,
        at=moment(row.at),
    )
