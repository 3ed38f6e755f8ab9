"""Jobs of single keys beside scans, the inbox they come from, and manifest rows that updates change."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

BYTEWISE = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    """Make the tables and columns; products of remembered manifests are found in their fields."""
    _jobs_index("ix_jobs_scans", ["catalog", "sequence"], "kind <> 'keys'")
    _jobs_index("ix_jobs_keys", ["catalog", "state", "finished_at"], "kind = 'keys'")
    _job_keys()
    _inbox()
    _manifests()


def _jobs_index(name: str, columns: list[str], condition: str) -> None:
    where = sa.text(condition)
    op.create_index(name, "jobs", columns, unique=False, sqlite_where=where, postgresql_where=where)


def _job_keys() -> None:
    op.create_table(
        "job_keys",
        sa.Column("job_id", BYTEWISE, nullable=False),
        sa.Column("key", BYTEWISE, nullable=False),
        sa.Column("look", sa.Boolean(), nullable=False),
        sa.Column("force", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f("fk_job_keys_job_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("job_id", "key", name=op.f("pk_job_keys")),
        sqlite_with_rowid=False,
    )


def _inbox() -> None:
    op.create_table(
        "inbox",
        sa.Column("catalog", BYTEWISE, nullable=False),
        sa.Column("key", BYTEWISE, nullable=False),
        sa.Column("look", sa.Boolean(), nullable=False),
        sa.Column("force", sa.Boolean(), nullable=False),
        sa.Column("posted_at", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(["catalog"], ["catalogs.name"], name=op.f("fk_inbox_catalog"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("catalog", "key", name=op.f("pk_inbox")),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_inbox_posted", "inbox", ["catalog", "posted_at"], unique=False)


def _manifests() -> None:
    op.add_column("manifest_staged", sa.Column("product_id", BYTEWISE, nullable=True))
    op.add_column("manifest_rows", sa.Column("product_id", BYTEWISE, nullable=True))
    op.add_column("manifest_rows", sa.Column("base_digest", sa.Text(), nullable=True))
    postgres = op.get_bind().dialect.name == "postgresql"
    product = "fields ->> 'product_id'" if postgres else "json_extract(fields, '$.product_id')"
    for table in ("manifest_staged", "manifest_rows"):
        op.execute(f"UPDATE {table} SET product_id = {product}")  # noqa: S608 - constants
    op.create_index("ix_manifest_rows_product", "manifest_rows", ["catalog", "product_id", "key"], unique=False)
