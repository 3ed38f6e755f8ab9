"""The `catalog` command on a made-up source whose images nobody reads: everything real but fetch, model and upsert.

A batch is claimed, every item gets the outcome "indexed" in the pipeline's groups, and the batch is closed; the job's
planning, publishing and ending are the product's own. A pool process is a fresh interpreter that runs its worker's main
module again, so what is exchanged below is exchanged in it as well.
"""

from __future__ import annotations

import hashlib
import os
from typing import Final

from benchmarks.ledger_rates import GeneratedStore
from schemas.messages import AdvanceJob, IndexBatch
from schemas.outcomes import OutcomeKind
from schemas.records import Outcome, WorkItem
from workers import bootstrap, tasks
from workers.adapters.object_store import StoreOptions, open_store
from workers.indexing.jobs import Workshop
from workers.indexing.record import GROUP_ITEMS
from workers.ports import ObjectStore

SOURCE: Final = "s3://made-up"
IMAGES_VARIABLE: Final = "BENCHMARK_IMAGES"


def _open_store(url: str, options: StoreOptions) -> ObjectStore:
    if url.partition("?")[0].rstrip("/") == SOURCE:
        return _MadeUp(int(os.environ[IMAGES_VARIABLE]))
    return open_store(url, options)


class _MadeUp(GeneratedStore):
    @property
    def url(self) -> str:
        return SOURCE


def _run_batch(workshop: Workshop, message: IndexBatch) -> None:
    ledger = workshop.ledger
    lease = ledger.claim_batch(message.batch_id, worker=workshop.worker, lease_s=workshop.pace.lease_s)
    if lease is None:
        return
    for start in range(0, len(lease.items), GROUP_ITEMS):
        outcomes = [_indexed(item) for item in lease.items[start : start + GROUP_ITEMS]]
        ledger.record(lease, outcomes, lease_s=workshop.pace.lease_s)
    ledger.finish_batch(lease, stages=(), wall_s=0.0)
    workshop.publish(AdvanceJob(job_id=message.job_id), ledger.job(message.job_id).lane)


def _indexed(item: WorkItem) -> Outcome:
    digest = hashlib.sha256(item.key.encode()).hexdigest()
    return Outcome(key=item.key, kind=OutcomeKind.INDEXED, etag=item.etag, size=item.size, content_digest=digest)


bootstrap.open_store = _open_store  # type: ignore[attr-defined, assignment]
tasks.run_batch = _run_batch  # type: ignore[attr-defined]

if __name__ == "__main__":
    from workers.cli import main

    main()
