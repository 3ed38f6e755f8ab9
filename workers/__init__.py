"""The catalog indexer: pull images, embed them, keep the index true to the catalog, answer queries."""
