"""Alembic's entry. The connection comes with the configuration, in a transaction of the caller's."""

from __future__ import annotations

from alembic import context

from schemas.tables import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
context.run_migrations()
