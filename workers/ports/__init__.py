"""The four ports of the system. Adapters implement them; the core knows nothing else of the world outside.

Read with `workers/indexing/pipeline.py`. One contract suite a port in `tests/contract` runs on every implementation.
"""

from workers.ports.embedder import Embedder, Embeddings
from workers.ports.ledger import Claimed, Ledger, Schedules, Workers
from workers.ports.object_store import Fetched, Listed, ObjectStore
from workers.ports.vector_index import VectorIndex

__all__ = [
    "Claimed",
    "Embedder",
    "Embeddings",
    "Fetched",
    "Ledger",
    "Listed",
    "ObjectStore",
    "Schedules",
    "VectorIndex",
    "Workers",
]
