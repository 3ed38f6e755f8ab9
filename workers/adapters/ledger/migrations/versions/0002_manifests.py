"""Manifests: remembered rows, staged rows, problems kept with a job."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

BYTEWISE = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    """Make the tables of the manifests."""
    _manifest_rows()
    _manifest_stages()
    _manifest_problems()
    _manifest_staged()


def _manifest_rows() -> None:
    op.create_table(
        "manifest_rows",
        sa.Column("catalog", BYTEWISE, nullable=False),
        sa.Column("key", BYTEWISE, nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("fields", sa.JSON(), nullable=False),
        sa.Column("line", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["catalog"], ["catalogs.name"], name=op.f("fk_manifest_rows_catalog"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("catalog", "key", name=op.f("pk_manifest_rows")),
        sqlite_with_rowid=False,
    )


def _manifest_stages() -> None:
    op.create_table(
        "manifest_stages",
        sa.Column("stage", BYTEWISE, nullable=False),
        sa.Column("catalog", BYTEWISE, nullable=False),
        sa.Column("adopted", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("stage", name=op.f("pk_manifest_stages")),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_manifest_stages_catalog", "manifest_stages", ["catalog", "created_at"], unique=False)


def _manifest_problems() -> None:
    op.create_table(
        "manifest_problems",
        sa.Column("job_id", BYTEWISE, nullable=False),
        sa.Column("line", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("problem", BYTEWISE, nullable=False),
        sa.Column("key", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f("fk_manifest_problems_job_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("job_id", "line", "problem", name=op.f("pk_manifest_problems")),
        sqlite_with_rowid=False,
    )


def _manifest_staged() -> None:
    op.create_table(
        "manifest_staged",
        sa.Column("stage", BYTEWISE, nullable=False),
        sa.Column("key", BYTEWISE, nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("fields", sa.JSON(), nullable=False),
        sa.Column("line", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["stage"], ["manifest_stages.stage"], name=op.f("fk_manifest_staged_stage"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("stage", "key", name=op.f("pk_manifest_staged")),
        sqlite_with_rowid=False,
    )
