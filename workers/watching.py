"""A local folder watched: files that appear, change, go or are renamed become keys to look at."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from watchfiles import watch

from schemas.ids import check_key
from schemas.records import AskedKey
from workers.errors import TransientError
from workers.indexing.scope import may_be_image
from workers.ports import Ledger, ObjectStore
from workers.telemetry import log

DEBOUNCE_MS: Final = 800
"""Changes are collected so long at most, while more of them come."""
STEP_MS: Final = 100
"""After so long without another change they are handed on."""
_LOOK_MS: Final = 200
_PAGE: Final = 1000


class FolderWatch:
    """Posts what changes in a catalog's folder, on a thread, for as long as the block runs.

    A file that is still being written is looked at too early and, when it is complete, once more: what it was quarantined
    for is mended by then.
    """

    def __init__(self, folder: Path, *, catalog: str, store: ObjectStore, ledger: Ledger) -> None:
        self._root = Path(os.path.realpath(folder))
        self._catalog = catalog
        self._store = store
        self._ledger = ledger
        self._stop = threading.Event()
        self._begun = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)

    def __enter__(self) -> FolderWatch:
        """Begin; when this returns, no change is missed any more."""
        self._thread.start()
        while not self._begun.wait(0.1) and self._thread.is_alive():
            pass
        return self

    def __exit__(self, *_: object) -> None:
        """End."""
        self._stop.set()
        self._thread.join()

    @property
    def is_alive(self) -> bool:
        """Whether changes are still seen; not any more when the folder itself is gone."""
        return self._thread.is_alive()

    def post(self, paths: Iterable[str]) -> int:
        """Post the keys that changed paths stand for; how many."""
        keys = sorted({key for path in paths for key in self._keys(path)})
        if keys:
            self._ledger.post(self._catalog, [AskedKey(key=key) for key in keys])
        return len(keys)

    def _run(self) -> None:
        missed: set[str] = set()
        changes = watch(
            self._root,
            watch_filter=None,
            debounce=DEBOUNCE_MS,
            step=STEP_MS,
            stop_event=self._stop,
            rust_timeout=_LOOK_MS,
            yield_on_timeout=True,
            raise_interrupt=False,
        )
        for found in changes:
            self._begun.set()
            missed |= {path for _, path in found}
            if not missed:
                continue
            try:
                self.post(missed)
                missed = set()
            except TransientError as error:
                log.warning("changes are kept until the ledger answers", changes=len(missed), error=str(error))

    def _keys(self, path: str) -> Iterator[str]:
        """The keys of a changed path: its own, and where it is or was a folder all below it, since a folder that is moved
        is one change.
        """
        key = os.path.relpath(path, self._root).replace(os.sep, "/")
        if key == ".":
            return
        try:
            check_key(key)
        except ValueError:  # no listing would name it
            return
        if may_be_image(key):
            yield key
        if Path(path).is_dir():
            yield from self._listed_below(f"{key}/")
        elif not Path(path).exists():
            yield from self._known_below(f"{key}/")

    def _listed_below(self, prefix: str) -> Iterator[str]:
        for listed in self._store.list(after=prefix):
            if not listed.key.startswith(prefix):
                return
            yield listed.key

    def _known_below(self, prefix: str) -> Iterator[str]:
        active = self._ledger.catalog(self._catalog).active_generation
        after = prefix
        while active is not None:
            rows = self._ledger.rows(self._catalog, active, job_id=None, after=after, limit=_PAGE)
            for row in rows:
                if not row.key.startswith(prefix):
                    return
                yield row.key
            if not rows:
                return
            after = rows[-1].key
