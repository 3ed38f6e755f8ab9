"""The in-memory twin: obstore's memory store behind the same code as Google's and Azure's."""

from __future__ import annotations

from obstore.store import MemoryStore

from workers.adapters.object_store.cloud import CloudObjectStore
from workers.adapters.object_store.faults import Place
from workers.adapters.object_store.keys import check_key


class MemoryObjectStore(CloudObjectStore):
    """A source that lives as long as this object; `put` and `delete` play the owner of the catalog."""

    def __init__(self, name: str = "") -> None:
        self._memory = MemoryStore()
        super().__init__(self._memory, url=f"memory://{name}", place=Place(name=f"the memory store {name!r}"))

    def presign(self, key: str, *, expires_s: float) -> str | None:
        """See the port: None, nobody else reads this memory."""
        check_key(key)
        return None

    def put(self, key: str, data: bytes) -> None:
        """Store or replace an object; its ETag changes even when the bytes do not."""
        self._memory.put(key, data)

    def delete(self, key: str) -> None:
        """Remove an object that exists."""
        self._memory.delete(key)
