"""Keys that wait to be looked at, set in motion: by workers elsewhere, or by this process on the embedded default."""

from __future__ import annotations

import threading
from types import TracebackType
from typing import Final

from schemas.messages import AdvanceJob, IndexBatch
from schemas.records import Job, JobKind, JobState, Lane
from workers.bootstrap import Process
from workers.dispatch import bring_to_end, is_distributed, set_going
from workers.errors import CatalogError
from workers.indexing.inbox import LINGER_S, take_due
from workers.telemetry import log

PUMP_S: Final = 0.25
LONGEST_PAUSE_S: Final = 10.0


class Pump:
    """Takes the inbox again and again on a thread, for as long as the block runs."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="pump", daemon=True)

    def __enter__(self) -> Pump:
        """Begin."""
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End after the images in hand; what waits goes on waiting in the ledger."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        pause_s = PUMP_S
        while not self._stop.wait(pause_s):
            try:
                work_off(self._process, older_than_s=LINGER_S, stop=self._stop)
                pause_s = PUMP_S
            except CatalogError as error:
                log.warning("what waits could not be worked off", error=str(error))
                pause_s = min(LONGEST_PAUSE_S, 2 * pause_s)


class _StoppedError(Exception):
    pass


def work_off(process: Process, *, older_than_s: float = 0.0, stop: threading.Event | None = None) -> None:
    """Make jobs of the keys that have waited so long. Workers elsewhere are told of them; without any, this process works
    on them and on whatever jobs of keys were left unfinished, until none is left or `stop` is set.

    Raises:
        CatalogError: ledger or index do not answer.
    """
    made = take_due(process.ledger, publish=_nothing, older_than_s=older_than_s)
    if is_distributed(process):
        for job in made:
            set_going(process, job)
        return

    def watch(_job: Job, _note: str | None) -> None:
        if stop is not None and stop.is_set():
            raise _StoppedError

    for job in process.ledger.open_jobs():
        if job.kind is JobKind.KEYS and job.state is JobState.RUNNING:
            try:
                bring_to_end(process, job.id, on_progress=watch)
            except _StoppedError:
                return


def _nothing(_message: AdvanceJob | IndexBatch, _lane: Lane) -> None:
    """Jobs are set going once they are all made."""
