"""Confirmed deletes, buried quarantines, times of publishing, and numbers of generations that outlive their catalog."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

INDEX = "ix_placements_not_searchable"
CONDITION = "outcome NOT IN ('indexed', 'duplicate')"


def upgrade() -> None:
    """Add the columns, and draw numbers of generations from the counters."""
    op.add_column("jobs", sa.Column("confirmed_deletes", sa.BigInteger(), nullable=True))
    op.add_column("batches", sa.Column("queued_at", sa.Double(), nullable=True))
    op.execute(
        "INSERT INTO counters (name, value) "
        "SELECT 'generation/' || name, last_generation FROM catalogs WHERE last_generation > 0"
    )
    op.drop_column("catalogs", "last_generation")
    _placements()


def _placements() -> None:
    op.drop_index(INDEX, table_name="placements")
    op.add_column("placements", sa.Column("buried_at", sa.Double(), nullable=True))
    op.create_index(
        INDEX,
        "placements",
        ["catalog", "generation", "key", "outcome", "reason", "updated_at", "buried_at"],
        unique=False,
        sqlite_where=sa.text(CONDITION),
        postgresql_where=sa.text(CONDITION),
    )
