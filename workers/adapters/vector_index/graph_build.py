"""Building the approximate index (HNSW) off the hot path and moving a collection onto it.

The engine builds it only in a call that blocks for minutes and holds the interpreter lock. So a child process builds on
a copy of the shard while searches and writes go on with the original; ids written meanwhile are noted, replayed into
the copy, and then the collection's pointer moves. Killed at any point, the collection stays what it was or is the new
one; what is left over is removed when it is opened next.
"""

from __future__ import annotations

import logging
import shutil
import subprocess
import threading
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Final

import qdrant_edge as edge

from schemas.collection import VECTOR_NAME
from workers.adapters.vector_index.durable_files import remove_tree
from workers.adapters.vector_index.edge_collection import SLICE, EdgeCollection, slices
from workers.adapters.vector_index.edge_shard import Shard, open_shard
from workers.adapters.vector_index.python_child import module_command, module_environment
from workers.errors import CatalogError, TransientError

_log = logging.getLogger("workers.index_graph")

GRAPH_POINTS: Final = 20_000
"""Points that may be compared one by one: 3.5 ms at 512 numbers (17.6 ms for 100,000), with perfect recall."""
_FEW: Final = 2 * SLICE
"""Noted ids replayed while writes wait: some 20 ms."""
_ROUNDS: Final = 20
"""Replays before writes wait in any case, should they come faster than they can be replayed."""


class GraphBuild:
    """One build in the background; a collection has at most one at a time."""

    def __init__(self, collection: EdgeCollection, *, graph_points: int) -> None:
        """Start it."""
        self._collection = collection
        self._graph_points = graph_points
        self._aborted = threading.Event()
        self._again = threading.Event()
        self._child: subprocess.Popen[bytes] | None = None
        self._thread = threading.Thread(target=self._run, name=f"graph of {collection.spec.name}", daemon=True)
        self._thread.start()

    def is_running(self) -> bool:
        """Whether it is at work."""
        return self._thread.is_alive()

    def follow_up(self) -> None:
        """Look again when this build is done: more was written, and that writing has ended too."""
        self._again.set()

    def abort(self) -> None:
        """End it soon, leaving the collection as it is, and wait for that."""
        self._aborted.set()
        if self._child is not None:
            self._child.kill()
        self._thread.join()

    def _run(self) -> None:
        name = self._collection.spec.name
        try:
            self._build()
            while self._again.is_set() and self._collection.graph_is_due(self._graph_points):
                self._again.clear()
                self._build()
        except (CatalogError, OSError) as error:
            if not self._aborted.is_set():
                _log.warning("no approximate index for %s, searching goes on without: %s", name, error)

    def _build(self) -> None:
        path = self._collection.next_shard_path()
        shard: Shard | None = None
        try:
            self._copy(path)
            self._run_child(path)
            shard = open_shard(path)
            self._move_onto(shard)
            _log.info("collection %s has moved onto its new approximate index", self._collection.spec.name)
        except BaseException:
            if self._collection.current_name() == path.name:
                raise  # the pointer has moved: nothing of the new shard may be taken back
            with self._collection.write_lock:
                self._collection.journal = None
            if shard is not None:
                shard.close()
            remove_tree(path)
            raise

    def _copy(self, path: Path) -> None:
        """Writes wait while the files are copied; searches go on."""
        collection = self._collection
        with collection.write_lock:
            with collection.shard.engine() as engine:
                engine.flush()
            collection.journal = set()
            shutil.copytree(collection.shard.path, path)

    def _run_child(self, path: Path) -> None:
        command = module_command(
            "workers.adapters.vector_index.graph_child",
            str(path),
            str(self._collection.spec.dimension),
            str(self._graph_points),
        )
        self._child = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, cwd="/", env=module_environment()
        )
        if self._aborted.is_set():
            self._child.kill()
        _, said = self._child.communicate()
        if self._child.returncode:
            tail = said.decode(errors="replace").strip()[-500:]
            raise TransientError(f"the building process ended with {self._child.returncode}: {tail}")

    def _move_onto(self, shard: Shard) -> None:
        collection = self._collection
        replayed = 0
        for _ in range(_ROUNDS):
            if self._aborted.is_set():
                raise TransientError("the build was aborted")
            noted = collection.take_journal()
            self._replay(noted, shard)
            replayed += len(noted)
            if len(noted) <= _FEW:
                break
        with shard.engine() as engine:
            engine.flush()  # the bulk of it, while writes go on
        with collection.write_lock:
            rest = collection.journal or set()
            self._replay(rest, shard)
            with shard.engine() as engine:
                engine.flush()
            old = collection.replace_shard(shard, uncovered=replayed + len(rest))
        old.close()
        remove_tree(old.path)

    def _replay(self, ids: Collection[str], target: Shard) -> None:
        """Bring these points of the copy to what the original holds now."""
        for part in slices(sorted(ids)):
            with self._collection.shard.engine() as engine:
                records = engine.retrieve([*part], True, True)
            points = [
                edge.Point(str(record.id), {VECTOR_NAME: record.vector[VECTOR_NAME]}, record.payload)
                for record in records
            ]
            gone = _missing(part, [str(record.id) for record in records])
            with target.engine() as engine:
                if points:
                    engine.update(edge.UpdateOperation.upsert_points(points))
                if gone:
                    engine.update(edge.UpdateOperation.delete_points([*gone]))


def _missing(ids: Sequence[str], found: Sequence[str]) -> list[str]:
    present = set(found)
    return [point_id for point_id in ids if point_id not in present]
