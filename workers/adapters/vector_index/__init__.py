"""The vector index: Qdrant Edge in this process or behind its owner, a Qdrant server, or plain memory."""
