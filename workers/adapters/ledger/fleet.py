"""Who is there to work: one row a process, written by its heartbeat."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import Row, delete, select

from schemas.records import Pulse, Worker, WorkerKind, WorkerState
from schemas.tables import workers
from workers.adapters.ledger.database import clock
from workers.adapters.ledger.part import LedgerPart, moment

FORGOTTEN_AFTER_S: Final = 86_400.0
"""A worker silent for a day is no news any more; until then its row says when and where it was last seen."""


class FleetPart(LedgerPart):
    """Implements `workers.ports.ledger.Workers`."""

    def beat(self, pulse: Pulse) -> None:
        """Write down that a worker is alive and what it does; forget those that are silent for a day."""
        said = {
            "host": pulse.host,
            "pid": pulse.pid,
            "kind": pulse.kind,
            "queues": list(pulse.queues),
            "version": pulse.version,
            "state": pulse.state,
            "job_id": pulse.job_id,
            "batch_id": pulse.batch_id,
            "images_done": pulse.images_done,
        }
        new = self._database.insert(workers).values(id=pulse.id, started_at=clock(), beat_at=clock(), **said)
        # Skipping what others delete at the same moment keeps two beats from waiting for each other.
        silent = select(workers.c.id).where(workers.c.beat_at < clock() - FORGOTTEN_AFTER_S, workers.c.id != pulse.id)
        with self._database.write() as tx:
            tx.execute(new.on_conflict_do_update(index_elements=["id"], set_={**said, "beat_at": clock()}))
            tx.execute(delete(workers).where(workers.c.id.in_(silent.with_for_update(skip_locked=True))))

    def workers(self, *, alive_within_s: float | None = None) -> Sequence[Worker]:
        """Those that beat at most so long ago, or all that are known, by id."""
        query = select(workers, (clock() - workers.c.beat_at).label("silent_s")).order_by(workers.c.id)
        if alive_within_s is not None:
            query = query.where(workers.c.beat_at >= clock() - alive_within_s)
        with self._database.read() as tx:
            return [_to_worker(row) for row in tx.execute(query)]

    def forget_worker(self, worker_id: str) -> None:
        """It has ended; an unknown one is harmless."""
        with self._database.write() as tx:
            tx.execute(delete(workers).where(workers.c.id == worker_id))


def _to_worker(row: Row[Any]) -> Worker:
    pulse = Pulse(
        id=row.id,
        host=row.host,
        pid=row.pid,
        kind=WorkerKind(row.kind),
        queues=tuple(row.queues),
        version=row.version,
        state=WorkerState(row.state),
        job_id=row.job_id,
        batch_id=row.batch_id,
        images_done=row.images_done,
    )
    silent_s = max(0.0, row.silent_s)
    return Worker(pulse=pulse, started_at=moment(row.started_at), beat_at=moment(row.beat_at), silent_s=silent_s)
