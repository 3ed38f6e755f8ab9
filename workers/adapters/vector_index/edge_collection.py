"""One collection on Qdrant Edge: its folder, its writes (newer wins, durable) and its reads.

    <folder>/collection.json     the description, model digest included; never changes
    <folder>/CURRENT             which shard folder holds the data; replaced atomically
    <folder>/state.json          points written since the approximate index was built (a hint, may lag after a crash)
    <folder>/shard-000001/       the engine's files

Everything else in the folder is a left-over of something interrupted and is removed when the collection is opened.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

import orjson
import qdrant_edge as edge

from schemas.collection import VECTOR_NAME, CollectionInfo, CollectionSpec
from schemas.payload import PayloadChange, Tombstone
from workers.adapters.vector_index.durable_files import bytes_on_disk, remove_tree, sync_folder, write_atomically
from workers.adapters.vector_index.edge_shard import Shard, ShardClosedError, create_shard, open_shard
from workers.adapters.vector_index.newer_wins import changed_payloads, deletable, winning_rows
from workers.adapters.vector_index.spec_json import spec_from_json, spec_to_json
from workers.adapters.vector_index.validation import Row

SLICE: Final = 32
"""Points of one engine call, which holds the interpreter lock: about 5 ms, so searches come between."""
FLUSH_AFTER: Final = 10_000
"""Points written between two flushes of the engine. A flush takes 0.1 to 0.6 s; until then the log, which replays
20,000 points a second, restores them."""

UNCOVERED_SHARE: Final = 0.2
"""Share of a large collection that may lie outside the approximate index; Qdrant vacuums at the same share."""

_T = TypeVar("_T")


def create_collection(folder: Path, spec: CollectionSpec) -> None:
    """Make a collection's folder: built aside under a name that is swept at start, then renamed into place."""
    aside = folder.with_name(f".new-{spec.name}")
    remove_tree(aside)
    create_shard(aside / "shard-000001", spec)
    write_atomically(aside / "collection.json", orjson.dumps(spec_to_json(spec)))
    write_atomically(aside / "CURRENT", b"shard-000001")
    aside.rename(folder)
    sync_folder(folder.parent)


def read_spec(folder: Path) -> CollectionSpec:
    """The description of the collection in this folder."""
    return spec_from_json(orjson.loads((folder / "collection.json").read_bytes()))


class EdgeCollection:
    """An open collection. Thread-safe: writes follow one another, reads come between their slices."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.spec = read_spec(folder)
        current = self.current_name()
        for entry in folder.iterdir():
            if entry.name not in {"collection.json", "CURRENT", "state.json", current}:
                remove_tree(entry)
        self.shard = open_shard(folder / current)
        self.write_lock = threading.Lock()
        self.journal: set[str] | None = None
        """Ids written since a copy of the shard was taken, while the approximate index is built on that copy."""
        self._unflushed = 0
        self._uncovered = self._read_uncovered()

    # ------------------------------------------------------------------------------------------------------ writes

    def upsert(self, rows: Sequence[Row]) -> None:
        """Store the rows that win over what is stored; durable when it returns."""
        for part in slices(rows):
            with self.write_lock, self.shard.engine() as engine:
                winners = winning_rows(part, _versions(engine, (row.id for row in part)))
                if winners:
                    engine.update(edge.UpdateOperation.upsert_points([_edge_point(row) for row in winners]))
                self._note_written([row.id for row in winners])
        self._make_durable()

    def change_payload(self, changes: Sequence[PayloadChange]) -> None:
        """Apply the changes that win over what is stored; durable when it returns."""
        for part in slices(changes):
            with self.write_lock, self.shard.engine() as engine:
                records = engine.retrieve([change.id for change in part], True, False)
                payloads = changed_payloads(part, {str(record.id): record.payload for record in records})
                for point_id, payload in payloads.items():
                    engine.update(edge.UpdateOperation.overwrite_payload([point_id], payload))
                self._note_written(payloads)
        self._make_durable()

    def delete(self, tombstones: Sequence[Tombstone]) -> None:
        """Remove the points that the tombstones win over; durable when it returns."""
        for part in slices(tombstones):
            with self.write_lock, self.shard.engine() as engine:
                ids = deletable(part, _versions(engine, (tombstone.id for tombstone in part)))
                if ids:
                    engine.update(edge.UpdateOperation.delete_points([*ids]))
                self._note_written(ids, uncovered=0)
        self._make_durable()

    def flush(self) -> None:
        """Write everything to the segments' files and shorten the log."""
        self._on_shard(lambda _, shard: shard.write_back())
        with self.write_lock, self.shard.engine() as engine:
            engine.flush()
            self._unflushed = 0
            self._keep_uncovered()

    def take_journal(self) -> set[str]:
        """The ids noted so far; the journal begins anew."""
        with self.write_lock:
            taken, self.journal = self.journal or set(), set()
            return taken

    def replace_shard(self, shard: Shard, *, uncovered: int) -> Shard:
        """Move the pointer to another shard of this collection's folder; the old one, for the caller to remove.

        The caller holds `write_lock` and has flushed the new shard.
        """
        try:
            write_atomically(self.folder / "CURRENT", shard.path.name.encode())
        except OSError:
            if self.current_name() != shard.path.name:
                raise
        old, self.shard = self.shard, shard
        self.journal = None
        self._unflushed = 0
        self._uncovered = uncovered
        self._keep_uncovered()
        return old

    def current_name(self) -> str:
        """The shard folder that the pointer on disk names."""
        return (self.folder / "CURRENT").read_text().strip()

    def next_shard_path(self) -> Path:
        """A folder for a successor of the present shard."""
        return self.folder / f"shard-{int(self.shard.path.name.removeprefix('shard-')) + 1:06}"

    def close(self) -> None:
        """Flush and let go; closing twice is harmless."""
        try:
            self.flush()
        except ShardClosedError:
            return
        self.shard.close()

    def _note_written(self, ids: Iterable[str], *, uncovered: int | None = None) -> None:
        written = list(ids)
        self._unflushed += len(written)
        self._uncovered += len(written) if uncovered is None else uncovered
        if self.journal is not None:
            self.journal.update(written)

    def _make_durable(self) -> None:
        if self._unflushed >= FLUSH_AFTER:
            self.flush()
        else:
            self._on_shard(lambda _, shard: shard.sync_log())

    # ------------------------------------------------------------------------------------------------------- reads

    def read(self, call: Callable[[Any], _T]) -> _T:
        """Run a call on the engine; when the shard is replaced in that moment, on its successor."""
        return self._on_shard(lambda engine, _: call(engine))

    def _on_shard(self, call: Callable[[Any, Shard], _T]) -> _T:
        while True:
            shard = self.shard
            try:
                with shard.engine() as engine:
                    return call(engine, shard)
            except ShardClosedError:
                if shard is self.shard:
                    raise ShardClosedError(f"collection {self.spec.name} was closed") from None

    def graph_is_due(self, graph_points: int) -> bool:
        """Whether the approximate index should be built (again)."""
        points = self.read(lambda engine: engine.info().points_count)
        return (
            self._uncovered > 0
            and points >= graph_points
            and (self._uncovered > graph_points or self._uncovered > UNCOVERED_SHARE * points)
        )

    def info(self) -> CollectionInfo:
        """Points and how many of them the approximate index covers."""
        state = self.read(lambda engine: engine.info())
        covered = max(0, state.points_count - self._uncovered) if state.indexed_vectors_count else 0
        return CollectionInfo(
            spec=self.spec,
            points=state.points_count,
            indexed_points=covered,
            bytes_on_disk=bytes_on_disk(self.folder),
        )

    # ------------------------------------------------------------------------------------------------------- state

    def _read_uncovered(self) -> int:
        try:
            return int(orjson.loads((self.folder / "state.json").read_bytes())["uncovered"])
        except (FileNotFoundError, KeyError, TypeError, ValueError):
            return int(self.read(lambda engine: engine.info().points_count))

    def _keep_uncovered(self) -> None:
        write_atomically(self.folder / "state.json", orjson.dumps({"uncovered": self._uncovered}))


def slices(items: Sequence[_T]) -> Iterator[Sequence[_T]]:
    """The items in parts of at most `SLICE`."""
    for start in range(0, len(items), SLICE):
        yield items[start : start + SLICE]


def _versions(engine: Any, ids: Iterable[str]) -> dict[str, int]:
    records = engine.retrieve(list(ids), ["version"], False)
    return {str(record.id): record.payload["version"] for record in records}


def _edge_point(row: Row) -> Any:
    return edge.Point(row.id, {VECTOR_NAME: row.vector.tolist()}, row.payload)
