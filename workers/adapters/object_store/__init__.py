"""The object store port on folders, S3 and what speaks it, Google Cloud Storage and Azure; `open_store` picks by URL."""

from workers.adapters.object_store.options import StoreOptions
from workers.adapters.object_store.store import open_store

__all__ = ["StoreOptions", "open_store"]
