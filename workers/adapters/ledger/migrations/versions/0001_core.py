"""Catalogs, generations, jobs, batches, work, items and placements."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

BYTEWISE = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    """Make the first tables."""
    _catalogs()
    _counters()
    _generations()
    _items()
    _jobs()
    _batches()
    _placements()
    _work()


def _catalogs() -> None:
    op.create_table(
        "catalogs",
        sa.Column("name", BYTEWISE, nullable=False),
        sa.Column("source_url", sa.Text(), nullable=False),
        sa.Column("extra_fields", sa.JSON(), nullable=False),
        sa.Column("active_generation", sa.Integer(), nullable=True),
        sa.Column("last_generation", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_catalogs")),
        sqlite_with_rowid=False,
    )


def _counters() -> None:
    op.create_table(
        "counters",
        sa.Column("name", BYTEWISE, nullable=False),
        sa.Column("value", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_counters")),
        sqlite_with_rowid=False,
    )


def _generations() -> None:
    op.create_table(
        "generations",
        sa.Column("catalog", BYTEWISE, nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("collection", sa.Text(), nullable=False),
        sa.Column("model_digest", sa.Text(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(
            ["catalog"], ["catalogs.name"], name=op.f("fk_generations_catalog"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("catalog", "number", name=op.f("pk_generations")),
        sqlite_with_rowid=False,
    )


def _items() -> None:
    op.create_table(
        "items",
        sa.Column("catalog", BYTEWISE, nullable=False),
        sa.Column("key", BYTEWISE, nullable=False),
        sa.Column("etag", sa.Text(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("vanished_by", BYTEWISE, nullable=True),
        sa.ForeignKeyConstraint(["catalog"], ["catalogs.name"], name=op.f("fk_items_catalog"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("catalog", "key", name=op.f("pk_items")),
        sqlite_with_rowid=False,
    )
    op.create_index(
        "ix_items_vanished",
        "items",
        ["vanished_by", "key"],
        unique=False,
        sqlite_where=sa.text("vanished_by IS NOT NULL"),
        postgresql_where=sa.text("vanished_by IS NOT NULL"),
    )


def _jobs() -> None:
    op.create_table(
        "jobs",
        sa.Column("id", BYTEWISE, nullable=False),
        sa.Column("catalog", BYTEWISE, nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.Column("idempotency_key", BYTEWISE, nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("include", sa.JSON(), nullable=False),
        sa.Column("exclude", sa.JSON(), nullable=False),
        sa.Column("allow_deletes", sa.Boolean(), nullable=False),
        sa.Column("n_seen", sa.BigInteger(), nullable=False),
        sa.Column("n_ignored", sa.BigInteger(), nullable=False),
        sa.Column("n_new", sa.BigInteger(), nullable=False),
        sa.Column("n_changed", sa.BigInteger(), nullable=False),
        sa.Column("n_unchanged", sa.BigInteger(), nullable=False),
        sa.Column("n_retried", sa.BigInteger(), nullable=False),
        sa.Column("n_vanished", sa.BigInteger(), nullable=False),
        sa.Column("n_payload_updated", sa.BigInteger(), nullable=False),
        sa.Column("n_deleted", sa.BigInteger(), nullable=False),
        sa.Column("n_indexed", sa.BigInteger(), nullable=False),
        sa.Column("n_duplicates", sa.BigInteger(), nullable=False),
        sa.Column("n_quarantined", sa.BigInteger(), nullable=False),
        sa.Column("n_failed", sa.BigInteger(), nullable=False),
        sa.Column("n_manifest_orphans", sa.BigInteger(), nullable=False),
        sa.Column("planned", sa.BigInteger(), nullable=False),
        sa.Column("finished", sa.BigInteger(), nullable=False),
        sa.Column("known_before", sa.BigInteger(), nullable=False),
        sa.Column("found_vanished", sa.BigInteger(), nullable=False),
        sa.Column("scan_token", BYTEWISE, nullable=True),
        sa.Column("scan_expires_at", sa.Double(), nullable=True),
        sa.Column("scan_cursor", BYTEWISE, nullable=True),
        sa.Column("scan_complete", sa.Boolean(), nullable=False),
        sa.Column("deletes_cursor", BYTEWISE, nullable=True),
        sa.Column("deletes_planned", sa.Boolean(), nullable=False),
        sa.Column("cancel_requested", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("started_at", sa.Double(), nullable=True),
        sa.Column("finished_at", sa.Double(), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("stages", sa.JSON(), nullable=False),
        sa.Column("wall_s", sa.Double(), nullable=False),
        sa.Column("manifest_problems", sa.BigInteger(), nullable=False),
        sa.Column("freed", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(["catalog"], ["catalogs.name"], name=op.f("fk_jobs_catalog"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_jobs")),
        sa.UniqueConstraint("sequence", name=op.f("uq_jobs_sequence")),
        sqlite_with_rowid=False,
    )
    op.create_index(
        "ix_jobs_unfreed",
        "jobs",
        ["state"],
        unique=False,
        sqlite_where=sa.text("freed IS 0"),
        postgresql_where=sa.text("freed IS false"),
    )
    op.create_index("uq_jobs_catalog_idempotency_key", "jobs", ["catalog", "idempotency_key"], unique=True)
    op.create_index(
        "uq_jobs_open",
        "jobs",
        ["catalog"],
        unique=True,
        sqlite_where=sa.text("state IN ('running', 'awaiting_confirmation')"),
        postgresql_where=sa.text("state IN ('running', 'awaiting_confirmation')"),
    )


def _batches() -> None:
    op.create_table(
        "batches",
        sa.Column("id", BYTEWISE, nullable=False),
        sa.Column("job_id", BYTEWISE, nullable=False),
        sa.Column("ordinal", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("token", BYTEWISE, nullable=True),
        sa.Column("worker", sa.Text(), nullable=True),
        sa.Column("lease_expires_at", sa.Double(), nullable=True),
        sa.Column("version", sa.BigInteger(), nullable=True),
        sa.Column("losses", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f("fk_batches_job_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_batches")),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_batches_job_state", "batches", ["job_id", "state", "ordinal"], unique=False)
    op.create_index("ix_batches_lease", "batches", ["state", "lease_expires_at"], unique=False)


def _placements() -> None:
    op.create_table(
        "placements",
        sa.Column("catalog", BYTEWISE, nullable=False),
        sa.Column("generation", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("key", BYTEWISE, nullable=False),
        sa.Column("point_id", BYTEWISE, nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("etag", sa.Text(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("content_digest", BYTEWISE, nullable=True),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("detail", sa.Text(), nullable=True),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("manifest_digest", sa.Text(), nullable=True),
        sa.Column("job_id", BYTEWISE, nullable=False),
        sa.Column("updated_at", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(
            ["catalog", "generation"],
            ["generations.catalog", "generations.number"],
            name=op.f("fk_placements_catalog_generation"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("catalog", "generation", "key", name=op.f("pk_placements")),
        sqlite_with_rowid=False,
    )
    op.create_index(
        "ix_placements_searchable",
        "placements",
        ["catalog", "generation", "outcome", "content_digest"],
        unique=False,
        sqlite_where=sa.text("outcome IN ('indexed', 'duplicate')"),
        postgresql_where=sa.text("outcome IN ('indexed', 'duplicate')"),
    )
    op.create_index(
        "ix_placements_not_searchable",
        "placements",
        ["catalog", "generation", "key", "outcome", "reason", "updated_at"],
        unique=False,
        sqlite_where=sa.text("outcome NOT IN ('indexed', 'duplicate')"),
        postgresql_where=sa.text("outcome NOT IN ('indexed', 'duplicate')"),
    )
    op.create_index("ix_placements_point", "placements", ["point_id"], unique=False)


def _work() -> None:
    op.create_table(
        "work",
        sa.Column("job_id", BYTEWISE, nullable=False),
        sa.Column("key", BYTEWISE, nullable=False),
        sa.Column("batch_id", BYTEWISE, nullable=False),
        sa.Column("ordinal", sa.Integer(), nullable=False),
        sa.Column("change", sa.Text(), nullable=False),
        sa.Column("etag", sa.Text(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("losses", sa.Integer(), nullable=False),
        sa.Column("done", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f("fk_work_job_id"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["batch_id"], ["batches.id"], name=op.f("fk_work_batch_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("job_id", "key", name=op.f("pk_work")),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_work_batch", "work", ["batch_id", "ordinal"], unique=False)
