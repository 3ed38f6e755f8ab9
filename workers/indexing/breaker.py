"""The circuit breaker: a job that fails over and over for one reason stops and asks, instead of failing to its end."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Final

from schemas.outcomes import OutcomeKind, Reason
from schemas.records import Job, JobKind

GUARDED: Final = (JobKind.SYNC, JobKind.REINDEX)
"""A retry takes images that are known to be bad: it would stop at once."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Breaker:
    """When it trips."""

    share: float = 0.5
    """Of a batch's images, 0 to 1, that may fail for one reason; more of them trip it. 0 switches it off."""
    items: int = 20
    """So many images have to fail for it at least: a batch of three bad files is no pattern."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Tally:
    """What became of a batch's images."""

    settled: int = 0
    troubles: Mapping[tuple[OutcomeKind, Reason], int] = field(default_factory=dict)
    """Quarantined and failed ones, by outcome and reason."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Trip:
    """Why a job is to be paused."""

    reason: Reason
    count: int
    settled: int

    def said(self, job: Job) -> str:
        """What a person is told, with what to do."""
        return (
            f"paused: {self.count:,} of {self.settled:,} images of a batch: {self.reason.value}; "
            f"look at: catalog report {job.id[:8]}, then: catalog resume {job.id[:8]}"
        )


def trip(tally: Tally, breaker: Breaker, *, tripped: Collection[Reason]) -> Trip | None:
    """Whether a batch that came to this is to pause its job, and for which reason.

    `tripped` are the reasons that paused the job before. Whoever resumed it has looked at the images then: one that is
    about images (quarantined) never pauses the job again. One that is about a dependency (failed) does, because a
    store that came back can go away again.
    """
    if not breaker.share:
        return None
    new = {what: count for what, count in tally.troubles.items() if not _accepted(what, tripped)}
    worst = max(new, key=lambda what: new[what], default=None)
    if worst is None or new[worst] < breaker.items or new[worst] <= breaker.share * tally.settled:
        return None
    return Trip(reason=worst[1], count=new[worst], settled=tally.settled)


def _accepted(what: tuple[OutcomeKind, Reason], tripped: Collection[Reason]) -> bool:
    kind, reason = what
    return kind is OutcomeKind.QUARANTINED and reason in tripped
