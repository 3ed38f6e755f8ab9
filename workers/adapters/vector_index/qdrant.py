"""`VectorIndex` on a Qdrant server (or cluster) through qdrant-client.

Every write is guarded on the server by the version it would replace, so several workers may write at once. The
collection's description is kept in Qdrant's collection metadata; how it is laid out is said in `qdrant_layout`.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, Final

import orjson
from qdrant_client import QdrantClient, models

from schemas.collection import CollectionInfo, CollectionSpec
from schemas.payload import PayloadChange, Point, PointRecord, Tombstone
from schemas.query import FacetCount, Filter, Scored, Search
from workers.adapters.vector_index import qdrant_reads, qdrant_writes, validation
from workers.adapters.vector_index.facets import check_facet
from workers.adapters.vector_index.newer_wins import winning_rows
from workers.adapters.vector_index.qdrant_connection import Connection, ServerOptions, open_client
from workers.adapters.vector_index.qdrant_layout import LayoutOptions, collection_arguments, index_parameters
from workers.adapters.vector_index.spec_json import spec_from_json, spec_to_json
from workers.errors import ConfigurationError, ContractError, NotFoundError

_METADATA: Final = "catalog_collection"


class QdrantIndex:
    """Collections on a Qdrant server. As thread-safe as the client it is given: local mode is not."""

    def __init__(
        self, client: QdrantClient | str, *, server: ServerOptions | None = None, layout: LayoutOptions | None = None
    ) -> None:
        """`client`: a client, which stays the caller's to configure, or the server's URL. Nothing is sent yet.

        Raises:
            ConfigurationError: the URL, the key or the layout cannot be used.
        """
        server = server or ServerOptions()
        self._layout = layout or LayoutOptions()
        if self._layout.acknowledging_replicas > self._layout.replicas:
            raise ConfigurationError("CATALOG_INDEX_WRITE_CONSISTENCY is higher than CATALOG_INDEX_REPLICAS")
        self._connection = Connection(open_client(client, server) if isinstance(client, str) else client, server)
        self._place = client if isinstance(client, str) else "local mode"
        self._client = self._connection.client
        self._specs: dict[str, CollectionSpec] = {}

    def server_version(self) -> str:
        """The server's version; ConfigurationError where it is too old."""
        return self._connection.version(f"connecting to {self._place}")

    # ------------------------------------------------------------------------------------- collections and aliases

    def create(self, spec: CollectionSpec) -> None:
        """See `VectorIndex.create`. A creation that was interrupted, or that another process began, is completed."""
        validation.check_spec(spec)
        self._specs.pop(spec.name, None)
        if not self._exists(spec.name):
            self._create(spec)
        if self._spec(spec.name) != spec:
            raise ContractError(f"collection {spec.name} exists with another description")
        action = f"indexing the payload of {spec.name}"
        present = self._connection.call(action, partial(self._client.get_collection, spec.name)).payload_schema
        for index in spec.indexes:
            if index.field not in present:
                request = partial(
                    self._client.create_payload_index, spec.name, index.field, index_parameters(index), wait=True
                )
                self._connection.call(action, request, write=True)

    def collections(self) -> Sequence[CollectionInfo]:
        """See `VectorIndex.collections`. Collections that others keep on the same server are left out."""
        found = self._connection.call("listing collections", self._client.get_collections).collections
        infos = (self._info_of_ours(name) for name in sorted(description.name for description in found))
        return [info for info in infos if info is not None]

    def info(self, collection: str) -> CollectionInfo:
        """See `VectorIndex.info`."""
        spec = self._spec(collection)
        action = f"looking at {collection}"
        state = self._connection.call(action, partial(self._client.get_collection, collection))
        points = qdrant_reads.count(self._connection, spec, None)
        return CollectionInfo(spec=spec, points=points, indexed_points=min(points, state.indexed_vectors_count or 0))

    def drop(self, collection: str) -> None:
        """See `VectorIndex.drop`."""
        self._specs.pop(collection, None)
        try:
            self._connection.call(
                f"dropping {collection}", partial(self._client.delete_collection, collection), write=True
            )
        except NotFoundError:
            return

    def point_alias(self, alias: str, collection: str) -> None:
        """See `VectorIndex.point_alias`. One request, so that the alias names a collection at every moment."""
        validation.check_alias(alias)
        self._spec(collection)
        create = models.CreateAlias(collection_name=collection, alias_name=alias)
        operations: list[Any] = [models.CreateAliasOperation(create_alias=create)]
        if self.resolve(alias) is not None:
            operations.insert(0, _delete_alias(alias))
        self._change_aliases(f"pointing {alias} to {collection}", operations)

    def resolve(self, alias: str) -> str | None:
        """See `VectorIndex.resolve`."""
        known = self._connection.call(f"resolving {alias}", self._client.get_aliases).aliases
        return next((found.collection_name for found in known if found.alias_name == alias), None)

    def drop_alias(self, alias: str) -> None:
        """See `VectorIndex.drop_alias`."""
        if self.resolve(alias) is not None:
            try:
                self._change_aliases(f"dropping alias {alias}", [_delete_alias(alias)])
            except NotFoundError:  # gone meanwhile, or by an attempt whose answer was lost
                return

    # ------------------------------------------------------------------------------------------------------ writes

    def upsert(self, collection: str, points: Sequence[Point]) -> None:
        """See `VectorIndex.upsert`."""
        rows = winning_rows(validation.check_rows(points, self._spec(collection).dimension), {})
        qdrant_writes.upsert(self._connection, collection, rows)

    def change_payload(self, collection: str, changes: Sequence[PayloadChange]) -> None:
        """See `VectorIndex.change_payload`."""
        validation.check_changes(changes)
        self._spec(collection)
        qdrant_writes.change_payload(self._connection, collection, changes)

    def delete(self, collection: str, tombstones: Sequence[Tombstone]) -> None:
        """See `VectorIndex.delete`."""
        validation.check_tombstones(tombstones)
        self._spec(collection)
        qdrant_writes.delete(self._connection, collection, tombstones)

    def settle(self, collection: str) -> None:
        """See `VectorIndex.settle`. The server optimises by itself."""
        self._spec(collection)

    # ------------------------------------------------------------------------------------------------------- reads

    def retrieve(self, collection: str, ids: Sequence[str], *, with_vectors: bool = False) -> Sequence[PointRecord]:
        """See `VectorIndex.retrieve`."""
        validation.check_ids(ids)
        self._spec(collection)
        return qdrant_reads.retrieve(self._connection, collection, ids, with_vectors=with_vectors)

    def count(self, collection: str, where: Filter | None = None) -> int:
        """See `VectorIndex.count`."""
        spec = self._spec(collection)
        validation.check_filter(where, spec)
        return qdrant_reads.count(self._connection, spec, where)

    def facet(
        self, collection: str, field: str, *, where: Filter | None = None, limit: int = 50
    ) -> Sequence[FacetCount]:
        """See `VectorIndex.facet`."""
        spec = self._spec(collection)
        validation.check_filter(where, spec)
        check_facet(spec, field, limit)
        return qdrant_reads.facet(self._connection, spec, field, where, limit)

    def scroll(
        self, collection: str, *, where: Filter | None = None, after: str | None = None, limit: int = 1000
    ) -> Sequence[PointRecord]:
        """See `VectorIndex.scroll`."""
        validation.check_limit(limit)
        validation.check_ids(() if after is None else (after,))
        spec = self._spec(collection)
        validation.check_filter(where, spec)
        return qdrant_reads.scroll(self._connection, spec, where, after, limit)

    def search(self, collection: str, request: Search) -> Sequence[Scored]:
        """See `VectorIndex.search`."""
        spec = self._spec(collection)
        query = validation.check_search(request, spec.dimension, spec)
        return qdrant_reads.search(self._connection, spec, request, query)

    def close(self) -> None:
        """Close the client's connections; closing twice is harmless."""
        self._connection.close()

    # ---------------------------------------------------------------------------------------------------- internals

    def _create(self, spec: CollectionSpec) -> None:
        arguments = collection_arguments(spec, self._layout, turbo=self._connection.has_turbo())
        described = orjson.loads(orjson.dumps(spec_to_json(spec)))  # lists for tuples, which gRPC knows no form of
        request = partial(self._client.create_collection, spec.name, metadata={_METADATA: described}, **arguments)
        try:
            self._connection.call(f"creating {spec.name}", request, write=True)
        except ContractError:
            if not self._exists(spec.name):
                raise  # otherwise another process was quicker, or an attempt whose answer was lost

    def _exists(self, collection: str) -> bool:
        return self._connection.call(f"looking at {collection}", partial(self._client.collection_exists, collection))

    def _spec(self, collection: str) -> CollectionSpec:
        """The collection's description, remembered: a name never changes what it means."""
        if collection not in self._specs:
            if not self._exists(collection):
                raise NotFoundError(f"there is no collection {collection!r}")
            action = f"looking at {collection}"
            state = self._connection.call(action, partial(self._client.get_collection, collection))
            metadata = state.config.metadata or {}
            if _METADATA not in metadata:
                raise ContractError(f"collection {collection!r} on this Qdrant server was not made by this program")
            self._specs[collection] = spec_from_json(metadata[_METADATA])
        return self._specs[collection]

    def _info_of_ours(self, collection: str) -> CollectionInfo | None:
        try:
            self._spec(collection)
        except ContractError:  # somebody else's, or dropped since it was listed
            return None
        try:
            return self.info(collection)
        except NotFoundError:
            return None

    def _change_aliases(self, action: str, operations: list[Any]) -> None:
        self._connection.call(action, partial(self._client.update_collection_aliases, operations), write=True)


def _delete_alias(alias: str) -> models.DeleteAliasOperation:
    return models.DeleteAliasOperation(delete_alias=models.DeleteAlias(alias_name=alias))
