"""Writing to a collection on a Qdrant server: upserts, payload changes and deletes, all guarded by version there.

Every write may be sent again, whether or not it was applied before, wholly or in part: an equal version applies again
and changes nothing. The server answers when it is applied (`wait`), on the replicas that the collection asks for.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Any, Final

from qdrant_client import models

from schemas.collection import VECTOR_NAME
from schemas.payload import PayloadChange, Tombstone
from workers.adapters.vector_index.newer_wins import changed_payloads
from workers.adapters.vector_index.qdrant_connection import Connection
from workers.adapters.vector_index.qdrant_errors import RequestRefusedError
from workers.adapters.vector_index.qdrant_filters import version_at_most, version_is
from workers.adapters.vector_index.qdrant_layout import BATCH_POINTS
from workers.adapters.vector_index.validation import Row
from workers.errors import ContractError, PointsRefusedError, TransientError

_CHANGE_ROUNDS: Final = 5
"""Attempts at payload changes that other writers keep overtaking."""
_SUSPICIOUS: Final = 8
"""So many points of a request refused and none taken: the request or the server may be at fault, not the points."""
_ORDERING: Final = models.WriteOrdering.MEDIUM
"""In a cluster one node orders the writes of a shard, so that every replica judges a guard by the same predecessor."""


def upsert(connection: Connection, collection: str, rows: Sequence[Row]) -> None:
    """Store checked rows, at most one an id.

    Raises:
        PointsRefusedError: the server refuses these points; all others are stored.
        ContractError: it refuses every point.
    """
    refused: dict[str, str] = {}
    for version, same in groupby(sorted(rows, key=_version), key=_version):
        group = list(same)
        for start in range(0, len(group), BATCH_POINTS):
            batch = group[start : start + BATCH_POINTS]
            refused |= _Bisection(connection, collection, version).put(batch)
    if refused:
        raise PointsRefusedError(refused)


class _Bisection:
    """One batch on its way: refused as a whole it is halved, until the points at fault are alone."""

    def __init__(self, connection: Connection, collection: str, version: int) -> None:
        self._connection = connection
        self._collection = collection
        self._guard = version_at_most(version)
        self._batch: Sequence[Row] = ()
        self._taken = 0
        self._refused: dict[str, str] = {}

    def put(self, batch: Sequence[Row]) -> dict[str, str]:
        """Why points were refused, by id."""
        self._batch = batch
        self._put(batch)
        if len(self._refused) == len(batch) > 1:
            raise self._blanket(self._refused[batch[0].id])
        return self._refused

    def _put(self, rows: Sequence[Row]) -> None:
        try:
            self._send(rows)
        except RequestRefusedError as error:
            if len(rows) > 1:
                self._put(rows[: len(rows) // 2])
                self._put(rows[len(rows) // 2 :])
                return
            self._refused[rows[0].id] = f"point {rows[0].id}: {error}"
            if len(self._refused) == _SUSPICIOUS and not self._taken:
                self._probe(str(error))

    def _probe(self, why: str) -> None:
        """Nothing was taken yet: if the last point is refused too, the search for innocent ones ends here."""
        try:
            self._send(self._batch[-1:])
        except RequestRefusedError as error:
            raise self._blanket(why) from error

    def _send(self, rows: Sequence[Row]) -> None:
        action = f"writing to {self._collection}"

        def request() -> None:
            answer = self._connection.client.upsert(
                self._collection,
                [_struct(row) for row in rows],
                update_filter=self._guard,
                ordering=_ORDERING,
                wait=True,
            )
            _check_applied(answer, action)

        self._connection.call(action, request, write=True)
        self._taken += len(rows)

    def _blanket(self, why: str) -> ContractError:
        return ContractError(f"the server refuses every point written to {self._collection}: {why}")


def delete(connection: Connection, collection: str, tombstones: Sequence[Tombstone]) -> None:
    """Remove points whose version is not higher than their tombstone's."""
    action = f"deleting from {collection}"
    for version, same in groupby(sorted(tombstones, key=_version), key=_version):
        ids = [tombstone.id for tombstone in same]
        for start in range(0, len(ids), BATCH_POINTS):
            selector = models.FilterSelector(filter=version_at_most(version, ids[start : start + BATCH_POINTS]))

            def request(selector: models.FilterSelector = selector) -> None:
                answer = connection.client.delete(collection, selector, ordering=_ORDERING, wait=True)
                _check_applied(answer, action)

            connection.call(action, request, write=True)


def change_payload(connection: Connection, collection: str, changes: Sequence[PayloadChange]) -> None:
    """Apply changes; a payload is replaced only while it still is the one that was read."""
    for start in range(0, len(changes), BATCH_POINTS):
        part = changes[start : start + BATCH_POINTS]
        for _ in range(_CHANGE_ROUNDS):
            part = _change(connection, collection, part)
            if not part:
                break
        else:
            raise TransientError(f"payload changes in {collection} were overtaken {_CHANGE_ROUNDS} times")


def _change(connection: Connection, collection: str, changes: Sequence[PayloadChange]) -> list[PayloadChange]:
    """Apply what applies; the changes that another writer overtook meanwhile and that still apply."""
    ids = list(dict.fromkeys(change.id for change in changes))
    stored = _payloads(connection, collection, ids)
    payloads = changed_payloads(changes, stored)
    if not payloads:
        return []
    operations: list[Any] = [
        models.OverwritePayloadOperation(
            overwrite_payload=models.SetPayload(
                payload=payload, filter=version_is(stored[point_id]["version"], [point_id])
            )
        )
        for point_id, payload in payloads.items()
    ]
    action = f"changing payloads in {collection}"

    def request() -> None:
        for answer in connection.client.batch_update_points(collection, operations, ordering=_ORDERING, wait=True):
            _check_applied(answer, action)

    connection.call(action, request, write=True)
    now = _payloads(connection, collection, list(payloads))
    behind = {i for i in now if now[i]["version"] < payloads[i]["version"]}
    return [change for change in changes if change.id in behind]


def _payloads(connection: Connection, collection: str, ids: Sequence[str]) -> dict[str, dict[str, Any]]:
    records = connection.call(
        f"reading from {collection}",
        lambda: connection.client.retrieve(collection, list(ids), with_payload=True),
        write=True,  # a part of the change: as patient as that
    )
    return {str(record.id): record.payload or {} for record in records}


def _check_applied(answer: models.UpdateResult | None, action: str) -> None:
    """Qdrant answers 200 also to a write that waits in its log when it stopped waiting for it."""
    if answer is not None and answer.status is not models.UpdateStatus.COMPLETED:
        raise TransientError(f"{action}: Qdrant has noted it ({answer.status}) but not applied it yet")


def _version(item: Row | Tombstone) -> int:
    return item.version


def _struct(row: Row) -> models.PointStruct:
    return models.PointStruct(id=row.id, vector={VECTOR_NAME: row.vector.tolist()}, payload=row.payload)
