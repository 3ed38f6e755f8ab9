"""From keys that wait to be looked at to jobs that do it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from schemas.messages import AdvanceJob, IndexBatch
from schemas.records import Job, Lane
from workers.ports import Ledger

LINGER_S: Final = 0.5
"""A key waits so long for company: the many events of one upload become few jobs, and one image is searchable in seconds."""

Publish = Callable[[AdvanceJob | IndexBatch, Lane], None]


def take_due(ledger: Ledger, *, publish: Publish, older_than_s: float = LINGER_S) -> Sequence[Job]:
    """Make jobs of the keys of every catalog whose oldest one has waited so long, and set them in motion; the jobs.

    For whoever receives events, each half second, and for a reconciler, each few seconds. Any number may do it at once.
    """
    return [
        job
        for catalog in ledger.inbox_due(older_than_s=older_than_s)
        for job in take_inbox(ledger, catalog, publish=publish)
    ]


def take_inbox(ledger: Ledger, catalog: str, *, publish: Publish) -> Sequence[Job]:
    """Make jobs of everything that waits to be looked at in a catalog, and set them in motion; the jobs."""
    taken: list[Job] = []
    while made := ledger.take_inbox(catalog):
        for job in made:
            publish(AdvanceJob(job_id=job.id), job.lane)
        taken += made
    return taken
