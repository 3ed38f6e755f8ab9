"""Paused jobs, priorities, what a job's report keeps, workers, schedules."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

BYTEWISE = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
OPEN_JOBS = "state IN ('running', 'awaiting_confirmation', 'paused')"
OPEN_SCANS = f"{OPEN_JOBS} AND kind <> 'keys'"
DUE = "state = 'due'"


def upgrade() -> None:
    """Add the columns and tables."""
    _jobs()
    op.add_column("batches", sa.Column("planned_at", sa.Double(), nullable=True))
    _failures()
    _workers()
    _schedules()
    _fires()


def _jobs() -> None:
    op.drop_index("uq_jobs_open", table_name="jobs")
    op.add_column("jobs", sa.Column("priority", sa.Integer(), nullable=False, server_default=sa.text("0")))
    for name in ("retry", "reasons", "tripped", "recent"):
        op.add_column("jobs", sa.Column(name, sa.JSON(), nullable=True))
    op.create_index(
        "uq_jobs_open",
        "jobs",
        ["catalog"],
        unique=True,
        sqlite_where=sa.text(OPEN_SCANS),
        postgresql_where=sa.text(OPEN_SCANS),
    )
    op.create_index(
        "ix_jobs_open",
        "jobs",
        ["priority", "sequence"],
        unique=False,
        sqlite_where=sa.text(OPEN_JOBS),
        postgresql_where=sa.text(OPEN_JOBS),
    )


def _failures() -> None:
    op.create_table(
        "failures",
        sa.Column("job_id", BYTEWISE, nullable=False),
        sa.Column("key", BYTEWISE, nullable=False),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=True),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f("fk_failures_job_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("job_id", "key", name=op.f("pk_failures")),
        sqlite_with_rowid=False,
    )


def _workers() -> None:
    op.create_table(
        "workers",
        sa.Column("id", BYTEWISE, nullable=False),
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("pid", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("queues", sa.JSON(), nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("started_at", sa.Double(), nullable=False),
        sa.Column("beat_at", sa.Double(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("job_id", BYTEWISE, nullable=True),
        sa.Column("batch_id", BYTEWISE, nullable=True),
        sa.Column("images_done", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_workers")),
        sqlite_with_rowid=False,
    )


def _schedules() -> None:
    op.create_table(
        "schedules",
        sa.Column("name", BYTEWISE, nullable=False),
        sa.Column("catalog", BYTEWISE, nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("cron", sa.Text(), nullable=False),
        sa.Column("timezone", sa.Text(), nullable=False),
        sa.Column("options", sa.JSON(), nullable=False),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("next_at", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(["catalog"], ["catalogs.name"], name=op.f("fk_schedules_catalog"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_schedules")),
        sqlite_with_rowid=False,
    )


def _fires() -> None:
    op.create_table(
        "fires",
        sa.Column("schedule", BYTEWISE, nullable=False),
        sa.Column("at", sa.Double(), autoincrement=False, nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("job_id", BYTEWISE, nullable=True),
        sa.Column("detail", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["schedule"], ["schedules.name"], name=op.f("fk_fires_schedule"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("schedule", "at", name=op.f("pk_fires")),
        sqlite_with_rowid=False,
    )
    op.create_index(
        "ix_fires_due",
        "fires",
        ["at"],
        unique=False,
        sqlite_where=sa.text(DUE),
        postgresql_where=sa.text(DUE),
    )
