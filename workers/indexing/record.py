"""Behind inference: points go to the index, then their outcomes to the ledger, in groups, on a thread of its own.

First the index, then the ledger: what the ledger calls indexed is searchable. A crash between the two repeats the
upsert, which changes nothing.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Final

from schemas.payload import PayloadChange, Point, Tombstone
from schemas.records import Lease
from workers.errors import PointsRefusedError
from workers.indexing.points import Settled, refused
from workers.ports import Ledger, VectorIndex
from workers.retry import with_retries
from workers.telemetry import StageClock

GROUP_ITEMS: Final = 256
"""Qdrant's bulk loading is fastest with batches of 64 to 256 points."""
GROUP_S: Final = 0.5
"""At most so long an outcome waits for company: progress stays visible and little is lost by a crash."""


class Recorder:
    """Takes settled images over a bounded queue. Leaving the block flushes; an error inside is raised at the next call."""

    def __init__(
        self,
        lease: Lease,
        *,
        index: VectorIndex,
        ledger: Ledger,
        lease_s: float,
        give_up_after_s: float,
        upsert_clock: StageClock,
        record_clock: StageClock,
        on_stop: Callable[[], None],
    ) -> None:
        """Bind the recorder to a lease."""
        self._lease = lease
        self._index = index
        self._ledger = ledger
        self._lease_s = lease_s
        self._give_up_after_s = give_up_after_s
        self._upsert_clock = upsert_clock
        self._record_clock = record_clock
        self._on_stop = on_stop
        self._queue: queue.Queue[Settled | None] = queue.Queue(maxsize=2 * GROUP_ITEMS)
        self._failure: BaseException | None = None
        self._ended = False
        self._thread = threading.Thread(target=self._run, name="recorder", daemon=True)

    def __enter__(self) -> Recorder:
        """Start taking."""
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Write what was taken. Also after an error in the block: finished work is not thrown away."""
        self.drain()
        if self._failure is not None and kind is None:
            raise self._failure

    def put(self, settled: Settled) -> None:
        """Hand over one image; waits while the queue is full.

        Raises:
            TransientError, LeaseLostError, ContractError: what writing an earlier group came to.
        """
        while True:
            if self._failure is not None:
                raise self._failure
            try:
                self._queue.put(settled, timeout=0.1)
                return
            except queue.Full:
                continue

    def drain(self) -> None:
        """Write what was taken and take no more; draining twice is harmless."""
        while self._thread.is_alive():
            try:
                self._queue.put(None, timeout=0.1)
                break
            except queue.Full:
                continue
        self._thread.join()

    def _run(self) -> None:
        try:
            while (group := self._gather()) is not None:
                self._write(group)
        except BaseException as error:  # noqa: BLE001 - carried to the indexing thread, which raises it
            self._failure = error

    def _gather(self) -> list[Settled] | None:
        """The next group; None at the end."""
        if self._ended:
            return None
        first = self._queue.get()
        if first is None:
            return None
        group = [first]
        deadline = time.monotonic() + GROUP_S
        while len(group) < GROUP_ITEMS and (left := deadline - time.monotonic()) > 0:
            try:
                settled = self._queue.get(timeout=left)
            except queue.Empty:
                break
            if settled is None:
                self._ended = True
                break
            group.append(settled)
        return group

    def _write(self, group: list[Settled]) -> None:
        writes = [settled.write for settled in group if settled.write is not None]
        with self._upsert_clock.busy(items=len(writes)):
            group = self._index_group(group)
        self._upsert_clock.add(size=sum(write.vector.nbytes for write in writes if isinstance(write, Point)))
        outcomes = [settled.outcome for settled in group]
        with self._record_clock.busy(items=len(outcomes)):
            claimed = with_retries(
                lambda: self._ledger.record(self._lease, outcomes, lease_s=self._lease_s),
                give_up_after_s=self._give_up_after_s,
            )
        if claimed.stop_requested:
            self._on_stop()

    def _index_group(self, group: list[Settled]) -> list[Settled]:
        """Write the group to the index; a point that it can never take becomes its image's quarantine, nobody else's."""
        while True:
            writes = [settled.write for settled in group if settled.write is not None]
            try:
                with_retries(partial(self._to_index, writes), give_up_after_s=self._give_up_after_s)
                return group
            except PointsRefusedError as error:
                known = {write.id for write in writes if not isinstance(write, Tombstone)}
                if not known & error.refused.keys():
                    raise
                group = [refused(settled, error.refused) for settled in group]

    def _to_index(self, writes: list[Point | PayloadChange | Tombstone]) -> None:
        collection = self._lease.collection
        if points := [write for write in writes if isinstance(write, Point)]:
            self._index.upsert(collection, points)
        if changes := [write for write in writes if isinstance(write, PayloadChange)]:
            self._index.change_payload(collection, changes)
        if tombstones := [write for write in writes if isinstance(write, Tombstone)]:
            self._index.delete(collection, tombstones)
