"""`VectorIndex` through the process that owns the home's index; the embedded default of every process."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from schemas.collection import CollectionInfo, CollectionSpec
from schemas.payload import PayloadChange, Point, PointRecord, Tombstone
from schemas.query import FacetCount, Filter, Scored, Search
from workers.adapters.vector_index import validation, wire
from workers.adapters.vector_index.carried_errors import error_from_json
from workers.adapters.vector_index.frames import receive_frame, send_frame
from workers.adapters.vector_index.owner_start import connect
from workers.adapters.vector_index.spec_json import spec_to_json
from workers.errors import ContractError, TransientError

POINTS_PER_CALL: Final = 256
"""Points of one frame: 2 MB at 2,048 numbers, acknowledged together."""
ITEMS_PER_CALL: Final = 1_000
"""Ids, changes or tombstones of one frame."""
_ATTEMPTS: Final = 4
_FIRST_PAUSE_S: Final = 0.05


class SocketIndex:
    """Talks to the owner, starting it where there is none and again when it was killed.

    Every call may be repeated without harm, so one that lost its owner is sent to the next. Thread-safe; survives a
    fork. Nothing is opened before the first call.
    """

    def __init__(
        self, home: Path, *, idle_s: float = 30.0, start_timeout_s: float = 10.0, call_timeout_s: float = 60.0
    ) -> None:
        """`idle_s`: how long an owner started from here stays without connections."""
        self._home = home
        self._idle_s = idle_s
        self._start_timeout_s = start_timeout_s
        self._call_timeout_s = call_timeout_s
        self._lock = threading.Lock()
        self._spare: list[socket.socket] = []
        self._pid = os.getpid()
        self._closed = False

    # ------------------------------------------------------------------------------------- collections and aliases

    def create(self, spec: CollectionSpec) -> None:
        """See `VectorIndex.create`."""
        validation.check_spec(spec)
        self._call("create", spec=spec_to_json(spec))

    def collections(self) -> Sequence[CollectionInfo]:
        """See `VectorIndex.collections`."""
        return [wire.info_from_json(info) for info in self._call("collections")[0]]

    def info(self, collection: str) -> CollectionInfo:
        """See `VectorIndex.info`."""
        return wire.info_from_json(self._call("info", collection=collection)[0])

    def drop(self, collection: str) -> None:
        """See `VectorIndex.drop`."""
        self._call("drop", collection=collection)

    def point_alias(self, alias: str, collection: str) -> None:
        """See `VectorIndex.point_alias`."""
        self._call("point_alias", alias=alias, collection=collection)

    def resolve(self, alias: str) -> str | None:
        """See `VectorIndex.resolve`."""
        found: str | None = self._call("resolve", alias=alias)[0]
        return found

    def drop_alias(self, alias: str) -> None:
        """See `VectorIndex.drop_alias`."""
        self._call("drop_alias", alias=alias)

    # ------------------------------------------------------------------------------------------------------ writes

    def upsert(self, collection: str, points: Sequence[Point]) -> None:
        """See `VectorIndex.upsert`. Each part of `POINTS_PER_CALL` points is acknowledged on its own."""
        # judged whole before any part is sent; the owner knows the dimension and judges that
        rows = validation.check_rows(points, points[0].vector.size) if points else []
        for start in range(0, max(len(rows), 1), POINTS_PER_CALL):
            items, block = wire.rows_to_wire(rows[start : start + POINTS_PER_CALL])
            self._call("upsert", block, collection=collection, points=items)

    def change_payload(self, collection: str, changes: Sequence[PayloadChange]) -> None:
        """See `VectorIndex.change_payload`."""
        validation.check_changes(changes)
        for start in range(0, max(len(changes), 1), ITEMS_PER_CALL):
            part = wire.changes_to_json(changes[start : start + ITEMS_PER_CALL])
            self._call("change_payload", collection=collection, changes=part)

    def delete(self, collection: str, tombstones: Sequence[Tombstone]) -> None:
        """See `VectorIndex.delete`."""
        validation.check_tombstones(tombstones)
        for start in range(0, max(len(tombstones), 1), ITEMS_PER_CALL):
            part = wire.tombstones_to_json(tombstones[start : start + ITEMS_PER_CALL])
            self._call("delete", collection=collection, tombstones=part)

    def settle(self, collection: str) -> None:
        """See `VectorIndex.settle`. The owner builds on when this returns."""
        self._call("settle", collection=collection)

    # ------------------------------------------------------------------------------------------------------- reads

    def retrieve(self, collection: str, ids: Sequence[str], *, with_vectors: bool = False) -> Sequence[PointRecord]:
        """See `VectorIndex.retrieve`."""
        unique = list(dict.fromkeys(ids))
        found: list[PointRecord] = []
        for start in range(0, max(len(unique), 1), ITEMS_PER_CALL):
            part = unique[start : start + ITEMS_PER_CALL]
            items, block = self._call("retrieve", collection=collection, ids=part, with_vectors=with_vectors)
            found += wire.records_from_wire(items, block)
        return found

    def count(self, collection: str, where: Filter | None = None) -> int:
        """See `VectorIndex.count`."""
        validation.check_filter(where)
        return int(self._call("count", collection=collection, where=wire.filter_to_json(where))[0])

    def facet(
        self, collection: str, field: str, *, where: Filter | None = None, limit: int = 50
    ) -> Sequence[FacetCount]:
        """See `VectorIndex.facet`."""
        validation.check_filter(where)
        counts, _ = self._call(
            "facet", collection=collection, field=field, where=wire.filter_to_json(where), limit=limit
        )
        return [FacetCount(value=value, count=count) for value, count in counts]

    def scroll(
        self, collection: str, *, where: Filter | None = None, after: str | None = None, limit: int = 1000
    ) -> Sequence[PointRecord]:
        """See `VectorIndex.scroll`."""
        validation.check_filter(where)
        items, block = self._call(
            "scroll", collection=collection, where=wire.filter_to_json(where), after=after, limit=limit
        )
        return wire.records_from_wire(items, block)

    def search(self, collection: str, request: Search) -> Sequence[Scored]:
        """See `VectorIndex.search`."""
        validation.check_search(request, request.vector.size)
        asked, vector = wire.search_to_wire(request)
        return wire.hits_from_wire(*self._call("search", vector, collection=collection, search=asked))

    def close(self) -> None:
        """End the connections; the owner stays for others and leaves when it has been idle."""
        with self._lock:
            self._closed = True
        self._forget_spare()

    # -------------------------------------------------------------------------------------------------- connections

    def _call(self, call: str, block: bytes = b"", **arguments: Any) -> tuple[Any, bytes]:
        request = {"call": call, **arguments}
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                header, answered = self._exchange(request, block)
            except TimeoutError:
                raise TransientError(
                    f"the index' owner did not answer {call} within {self._call_timeout_s:g} s"
                ) from None
            except OSError as error:
                self._forget_spare()
                if attempt == _ATTEMPTS:
                    raise TransientError(f"the index' owner ended {attempt} times during {call}: {error}") from error
                time.sleep(_FIRST_PAUSE_S * 2**attempt)
                continue
            if "error" in header:
                raise error_from_json(header["error"])
            return header["result"], answered
        raise AssertionError("unreachable")

    def _exchange(self, request: dict[str, Any], block: bytes) -> tuple[dict[str, Any], bytes]:
        connection = self._take()
        try:
            send_frame(connection, request, block)
            frame = receive_frame(connection)
            if frame is None:
                raise ConnectionResetError("it ended the connection")
        except ContractError:
            connection.close()
            raise
        except OSError:
            connection.close()
            raise
        self._give_back(connection)
        return frame

    def _take(self) -> socket.socket:
        with self._lock:
            if self._closed:
                raise TransientError("the vector index was closed")
            if self._pid != os.getpid():  # the parent's connections must not carry two conversations
                self._spare, self._pid = [], os.getpid()
            if self._spare:
                return self._spare.pop()
        return connect(
            self._home,
            idle_s=self._idle_s,
            start_timeout_s=self._start_timeout_s,
            call_timeout_s=self._call_timeout_s,
        )

    def _give_back(self, connection: socket.socket) -> None:
        with self._lock:
            if not self._closed:
                self._spare.append(connection)
                return
        connection.close()

    def _forget_spare(self) -> None:
        with self._lock:
            spare, self._spare = self._spare, []
        for connection in spare:
            connection.close()
