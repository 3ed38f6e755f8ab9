"""`VectorIndex` on Qdrant Edge, in this process. One process at a time owns a folder; others use `SocketIndex`.

<folder>/owner.lock          held while an EdgeIndex is open
<folder>/aliases.json        alias -> collection, replaced atomically
<folder>/collections/NAME/   see `edge_collection`
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import orjson

from schemas.collection import CollectionInfo, CollectionSpec
from schemas.payload import PayloadChange, Point, PointRecord, Tombstone
from schemas.query import FacetCount, Filter, Scored, Search
from workers.adapters.vector_index import edge_reads, validation
from workers.adapters.vector_index.durable_files import remove_tree, sync_folder, write_atomically
from workers.adapters.vector_index.edge_collection import EdgeCollection, create_collection
from workers.adapters.vector_index.facets import check_facet
from workers.adapters.vector_index.graph_build import GRAPH_POINTS, GraphBuild
from workers.errors import ContractError, NotFoundError, TransientError


class EdgeIndex:
    """Collections under one folder. Thread-safe."""

    def __init__(self, folder: Path, *, graph_points: int = GRAPH_POINTS) -> None:
        """Take the folder, removing what an interrupted creation or removal left.

        `graph_points`: points that a search may compare one by one, before `settle` has an approximate index built.

        Raises:
            TransientError: another process owns the folder.
        """
        self._root = folder / "collections"
        self._aliases_file = folder / "aliases.json"
        self._lock = threading.RLock()
        self._open: dict[str, EdgeCollection] = {}
        self._graph_points = graph_points
        self._builds: dict[str, GraphBuild] = {}
        self._root.mkdir(parents=True, exist_ok=True)
        self._owner_lock = _take_ownership(folder / "owner.lock")
        for entry in self._root.iterdir():
            if entry.name.startswith("."):
                remove_tree(entry)

    # ------------------------------------------------------------------------------------- collections and aliases

    def create(self, spec: CollectionSpec) -> None:
        """See `VectorIndex.create`."""
        validation.check_spec(spec)
        folder = self._root / spec.name
        with self._lock:
            if not folder.exists():
                create_collection(folder, spec)
            elif self._collection(spec.name).spec != spec:
                raise ContractError(f"collection {spec.name} exists with another description")

    def collections(self) -> Sequence[CollectionInfo]:
        """See `VectorIndex.collections`."""
        with self._lock:
            names = sorted(entry.name for entry in self._root.iterdir() if not entry.name.startswith("."))
        found: list[CollectionInfo] = []
        for name in names:
            with contextlib.suppress(NotFoundError):  # dropped since
                found.append(self.info(name))
        return found

    def info(self, collection: str) -> CollectionInfo:
        """See `VectorIndex.info`."""
        return self._collection(collection).info()

    def drop(self, collection: str) -> None:
        """See `VectorIndex.drop`."""
        with self._lock:
            try:
                target = self._collection(collection)
            except NotFoundError:
                return
            self._end_build(collection)
            target.close()
            del self._open[collection]
            aliases = self._aliases()
            kept = {alias: name for alias, name in aliases.items() if name != collection}
            if kept != aliases:
                write_atomically(self._aliases_file, orjson.dumps(kept))
            dropped = self._root / f".dropped-{collection}"
            (self._root / collection).rename(dropped)
            sync_folder(self._root)
            remove_tree(dropped)

    def point_alias(self, alias: str, collection: str) -> None:
        """See `VectorIndex.point_alias`."""
        validation.check_alias(alias)
        with self._lock:
            self._collection(collection)
            if (self._root / alias).exists():
                raise ContractError(f"alias {alias!r} is the name of a collection")
            write_atomically(self._aliases_file, orjson.dumps({**self._aliases(), alias: collection}))

    def resolve(self, alias: str) -> str | None:
        """See `VectorIndex.resolve`."""
        return self._aliases().get(alias)

    def drop_alias(self, alias: str) -> None:
        """See `VectorIndex.drop_alias`."""
        with self._lock:
            aliases = self._aliases()
            if aliases.pop(alias, None) is not None:
                write_atomically(self._aliases_file, orjson.dumps(aliases))

    # ------------------------------------------------------------------------------------------------------ writes

    def upsert(self, collection: str, points: Sequence[Point]) -> None:
        """See `VectorIndex.upsert`."""
        target = self._collection(collection)
        target.upsert(validation.check_rows(points, target.spec.dimension))

    def change_payload(self, collection: str, changes: Sequence[PayloadChange]) -> None:
        """See `VectorIndex.change_payload`."""
        validation.check_changes(changes)
        self._collection(collection).change_payload(changes)

    def delete(self, collection: str, tombstones: Sequence[Tombstone]) -> None:
        """See `VectorIndex.delete`."""
        validation.check_tombstones(tombstones)
        self._collection(collection).delete(tombstones)

    def settle(self, collection: str) -> None:
        """See `VectorIndex.settle`. Flushes; where many points lie outside the approximate index, its building begins
        in the background."""
        target = self._collection(collection)
        target.flush()
        with self._lock:
            build = self._builds.get(collection)
            if build is not None and build.is_running():
                build.follow_up()
            elif target.graph_is_due(self._graph_points):
                self._builds[collection] = GraphBuild(target, graph_points=self._graph_points)

    def is_building(self) -> bool:
        """Whether an approximate index is being built in the background."""
        return any(build.is_running() for build in list(self._builds.values()))

    # ------------------------------------------------------------------------------------------------------- reads

    def retrieve(self, collection: str, ids: Sequence[str], *, with_vectors: bool = False) -> Sequence[PointRecord]:
        """See `VectorIndex.retrieve`."""
        validation.check_ids(ids)
        return edge_reads.retrieve(self._collection(collection), ids, with_vectors=with_vectors)

    def count(self, collection: str, where: Filter | None = None) -> int:
        """See `VectorIndex.count`."""
        target = self._collection(collection)
        validation.check_filter(where, target.spec)
        return edge_reads.count(target, where)

    def facet(
        self, collection: str, field: str, *, where: Filter | None = None, limit: int = 50
    ) -> Sequence[FacetCount]:
        """See `VectorIndex.facet`."""
        target = self._collection(collection)
        validation.check_filter(where, target.spec)
        check_facet(target.spec, field, limit)
        return edge_reads.facet(target, field, where, limit)

    def scroll(
        self, collection: str, *, where: Filter | None = None, after: str | None = None, limit: int = 1000
    ) -> Sequence[PointRecord]:
        """See `VectorIndex.scroll`."""
        validation.check_limit(limit)
        validation.check_ids(() if after is None else (after,))
        target = self._collection(collection)
        validation.check_filter(where, target.spec)
        return edge_reads.scroll(target, where, after, limit)

    def search(self, collection: str, request: Search) -> Sequence[Scored]:
        """See `VectorIndex.search`."""
        target = self._collection(collection)
        return edge_reads.search(target, request, validation.check_search(request, target.spec.dimension, target.spec))

    def close(self) -> None:
        """Flush, close every collection and give the folder up."""
        with self._lock:
            for name, collection in self._open.items():
                self._end_build(name)
                collection.close()
            self._open.clear()
            if self._owner_lock is not None:
                os.close(self._owner_lock)
                self._owner_lock = None

    # ---------------------------------------------------------------------------------------------------- internals

    def _collection(self, name: str) -> EdgeCollection:
        found = self._open.get(name)
        if found is not None:
            return found
        with self._lock:
            if self._owner_lock is None:
                raise TransientError("the vector index was closed")
            if name not in self._open:
                folder = self._root / name
                if name.startswith(".") or "/" in name or not (folder / "collection.json").exists():
                    raise NotFoundError(f"there is no collection {name!r}")
                self._open[name] = EdgeCollection(folder)
            return self._open[name]

    def _end_build(self, name: str) -> None:
        build = self._builds.pop(name, None)
        if build is not None:
            build.abort()

    def _aliases(self) -> dict[str, str]:
        try:
            found: dict[str, Any] = orjson.loads(self._aliases_file.read_bytes())
        except FileNotFoundError:
            return {}
        return {str(alias): str(collection) for alias, collection in found.items()}


def _take_ownership(path: Path) -> int | None:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise TransientError(f"the vector index at {path.parent} is open in another process") from None
    os.ftruncate(descriptor, 0)
    os.write(descriptor, str(os.getpid()).encode())
    return descriptor
