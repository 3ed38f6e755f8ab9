"""The ledger's tables. Only the ledger adapter imports them; everybody else sees `schemas.records`.

They run on SQLite and on Postgres. Three rules hold for both:

- Text that is compared or ordered is ordered by bytes (`Bytewise`), because a listing is merge-joined with it.
- A moment is a float, seconds since 1970 by the *database's* clock; no process's own clock is ever written.
- What hangs on a catalog or a job refers to it with `ON DELETE CASCADE`. Large tables are emptied in bounded
  transactions before; the cascade takes what arrived in between.
"""

from __future__ import annotations

from dataclasses import fields
from typing import Any, Final

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Double,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    text,
)
from sqlalchemy.types import TypeEngine

from schemas.records import Counts

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

Bytewise: Final[TypeEngine[str]] = Text().with_variant(Text(collation="C"), "postgresql")
"""Text in byte order: SQLite compares UTF-8 bytes by itself, Postgres does in collation "C"."""

OPEN_JOBS: Final = "state IN ('running', 'awaiting_confirmation', 'paused')"
BESIDE_SCANS: Final = "keys"
"""The kind of jobs that run beside a scan of their catalog, any number of them."""
OPEN_SCANS: Final = f"{OPEN_JOBS} AND kind <> '{BESIDE_SCANS}'"
SCANS: Final = f"kind <> '{BESIDE_SCANS}'"
KEYS: Final = f"kind = '{BESIDE_SCANS}'"
SEARCHABLE: Final = "outcome IN ('indexed', 'duplicate')"
DUE: Final = "state = 'due'"
LIVE_KEYS: Final = "revoked_at IS NULL"
NOT_SEARCHABLE: Final = "outcome NOT IN ('indexed', 'duplicate')"
"""Conditions of partial indexes. A query has to spell one exactly so for SQLite to use the index."""


def _table(name: str, *parts: Any) -> Table:
    """A table clustered by its primary key (SQLite's WITHOUT ROWID), since every one of them is read in key order."""
    return Table(name, metadata, *parts, sqlite_with_rowid=False)


def _required(name: str, kind: Any, **options: Any) -> Column[Any]:
    return Column(name, kind, nullable=False, **options)


def _catalog(*, primary_key: bool = False) -> Column[Any]:
    reference = ForeignKey("catalogs.name", ondelete="CASCADE")
    return Column("catalog", Bytewise, reference, primary_key=primary_key, nullable=False)


def _job(*, primary_key: bool = False) -> Column[Any]:
    reference = ForeignKey("jobs.id", ondelete="CASCADE")
    return Column("job_id", Bytewise, reference, primary_key=primary_key, nullable=False)


counters = _table(
    "counters",
    Column("name", Bytewise, primary_key=True),
    _required("value", BigInteger, doc="The last number drawn. They only ever grow, and outlive catalogs."),
)

catalogs = _table(
    "catalogs",
    Column("name", Bytewise, primary_key=True),
    _required("source_url", Text),
    _required("extra_fields", JSON, doc="Array of manifest columns."),
    Column("active_generation", Integer),
    _required("created_at", Double),
)

generations = _table(
    "generations",
    _catalog(primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    _required("collection", Text),
    _required("model_digest", Text),
    _required("created_at", Double),
)

jobs = _table(
    "jobs",
    Column("id", Bytewise, primary_key=True),
    _catalog(),
    _required("sequence", BigInteger, unique=True, doc="Order of creation; two jobs may share a millisecond."),
    _required("idempotency_key", Bytewise),
    _required("generation", Integer, doc="No reference: a job's report outlives the generation it filled."),
    _required("kind", Text),
    _required("state", Text),
    _required("include", JSON, doc="Array of globs."),
    _required("exclude", JSON, doc="Array of globs."),
    _required("allow_deletes", Boolean),
    *(_required(f"n_{field.name}", BigInteger, default=0) for field in fields(Counts)),
    _required("planned", BigInteger, default=0),
    _required("finished", BigInteger, default=0),
    _required("known_before", BigInteger, default=0, doc="Items the catalog had before the scan."),
    _required("found_vanished", BigInteger, default=0, doc="Keys marked by the scan; unlike the marks it stays."),
    Column("scan_token", Bytewise),
    Column("scan_expires_at", Double),
    Column("scan_cursor", Bytewise, doc="Last key the scan (or the planning of a retry) has settled."),
    _required("scan_complete", Boolean, default=False),
    Column("deletes_cursor", Bytewise, doc="Last vanished key that was looked at for a batch of deletes."),
    _required("deletes_planned", Boolean, default=False),
    _required("cancel_requested", Boolean, default=False),
    _required("created_at", Double),
    Column("started_at", Double),
    Column("finished_at", Double),
    Column("error", Text),
    _required("stages", JSON, doc="Array of objects, one a stage: the fields of `StageStat`."),
    _required("wall_s", Double, default=0.0),
    _required("manifest_problems", BigInteger, default=0),
    Index("uq_jobs_catalog_idempotency_key", "catalog", "idempotency_key", unique=True),
    _required("freed", Boolean, default=False, doc="Final, and its work, marks and batches are gone."),
    Column("confirmed_deletes", BigInteger, doc="Vanished keys that a person has agreed to delete."),
    Column("priority", Integer, nullable=False, server_default=text("0"), doc="Higher ones are handed out first."),
    Column("retry", JSON, doc="Of a retry: object of `reasons` and `failed_only`; null: everything."),
    Column("reasons", JSON, doc="Object: quarantined and failed images by `<outcome>:<reason>`."),
    Column("tripped", JSON, doc="Array of the reasons for which the circuit breaker has paused it."),
    Column("recent", JSON, doc="Array of [moment, finished] pairs, oldest first: the rate of the last minute."),
    Index("uq_jobs_open", "catalog", unique=True, sqlite_where=text(OPEN_SCANS), postgresql_where=text(OPEN_SCANS)),
    Index("ix_jobs_open", "priority", "sequence", sqlite_where=text(OPEN_JOBS), postgresql_where=text(OPEN_JOBS)),
    Index("ix_jobs_unfreed", "state", sqlite_where=text("freed IS 0"), postgresql_where=text("freed IS false")),
    Index("ix_jobs_scans", "catalog", "sequence", sqlite_where=text(SCANS), postgresql_where=text(SCANS)),
    Index("ix_jobs_keys", "catalog", "state", "finished_at", sqlite_where=text(KEYS), postgresql_where=text(KEYS)),
)

batches = _table(
    "batches",
    Column("id", Bytewise, primary_key=True),
    _job(),
    _required("ordinal", BigInteger, doc="Items of the job planned before it: batches are worked off in this order."),
    _required("state", Text, doc="ready -> queued -> leased -> done; back to ready when it is released or lost."),
    Column("token", Bytewise, doc="Of the lease that holds it; every write of the lease is fenced on it."),
    Column("worker", Text),
    Column("lease_expires_at", Double),
    Column("version", BigInteger, doc="Drawn at the last claim."),
    _required("losses", Integer, default=0, doc="How often a worker died with it or with what it was split off."),
    Column("queued_at", Double, doc="When it was last published."),
    Column("planned_at", Double, doc="Null for batches of an older release."),
    Index("ix_batches_job_state", "job_id", "state", "ordinal"),
    Index("ix_batches_lease", "state", "lease_expires_at"),
)

work = _table(
    "work",
    _job(primary_key=True),
    Column("key", Bytewise, primary_key=True),
    Column("batch_id", Bytewise, ForeignKey("batches.id", ondelete="CASCADE"), nullable=False),
    _required("ordinal", Integer, doc="Place within the batch as planned."),
    _required("change", Text),
    _required("etag", Text),
    _required("size", BigInteger),
    _required("losses", Integer, default=0),
    _required("done", Boolean, default=False),
    Index("ix_work_batch", "batch_id", "ordinal"),
)

job_keys = _table(
    "job_keys",
    _job(primary_key=True),
    Column("key", Bytewise, primary_key=True),
    _required("look", Boolean, doc="Look at the object; otherwise only at its manifest row."),
    _required("force", Boolean, doc="Work on it even where nothing seems to have changed."),
)

inbox = _table(
    "inbox",
    _catalog(primary_key=True),
    Column("key", Bytewise, primary_key=True),
    _required("look", Boolean),
    _required("force", Boolean),
    _required("posted_at", Double, doc="When it was asked for first."),
    Index("ix_inbox_posted", "catalog", "posted_at"),
)

items = _table(
    "items",
    _catalog(primary_key=True),
    Column("key", Bytewise, primary_key=True),
    _required("etag", Text, doc="Of the listing."),
    _required("size", BigInteger),
    Column("vanished_by", Bytewise, doc="The job whose scan missed it; a mark means nothing to any other job."),
    Index(
        "ix_items_vanished",
        "vanished_by",
        "key",
        sqlite_where=text("vanished_by IS NOT NULL"),
        postgresql_where=text("vanished_by IS NOT NULL"),
    ),
)

placements = _table(
    "placements",
    Column("catalog", Bytewise, primary_key=True),
    Column("generation", Integer, primary_key=True, autoincrement=False),
    Column("key", Bytewise, primary_key=True),
    _required("point_id", Bytewise),
    _required("version", BigInteger, doc="Of the lease that wrote it; only a higher or equal one writes over it."),
    _required("etag", Text, doc="Of the GET that was decoded."),
    _required("size", BigInteger),
    Column("content_digest", Bytewise),
    _required("outcome", Text, doc="`deleted` is a tombstone."),
    Column("reason", Text),
    Column("detail", Text),
    _required("attempts", Integer, doc="How often in a row it was quarantined or failed."),
    Column("manifest_digest", Text, doc="Of the manifest row that the payload reflects."),
    _required("job_id", Bytewise, doc="No reference: jobs are forgotten before placements."),
    _required("updated_at", Double),
    Column("buried_at", Double, doc="When the point of a quarantined image was deleted for good; a write resets it."),
    ForeignKeyConstraint(["catalog", "generation"], ["generations.catalog", "generations.number"], ondelete="CASCADE"),
    Index("ix_placements_point", "point_id"),
    # Nearly all rows are in the first; the second is what people look at, and stays small. It holds every column that
    # such a query filters by: without statistics SQLite prefers the whole table to an index that does not cover.
    Index(
        "ix_placements_searchable",
        "catalog",
        "generation",
        "outcome",
        "content_digest",
        sqlite_where=text(SEARCHABLE),
        postgresql_where=text(SEARCHABLE),
    ),
    Index(
        "ix_placements_not_searchable",
        "catalog",
        "generation",
        "key",
        "outcome",
        "reason",
        "updated_at",
        "buried_at",
        sqlite_where=text(NOT_SEARCHABLE),
        postgresql_where=text(NOT_SEARCHABLE),
    ),
)

manifest_stages = _table(
    "manifest_stages",
    Column("stage", Bytewise, primary_key=True),
    _required("catalog", Bytewise, doc="No reference: a plan can be asked for before there is a catalog."),
    _required("adopted", Boolean, default=False),
    _required("created_at", Double),
    Index("ix_manifest_stages_catalog", "catalog", "created_at"),
)

manifest_staged = _table(
    "manifest_staged",
    Column("stage", Bytewise, ForeignKey("manifest_stages.stage", ondelete="CASCADE"), primary_key=True),
    Column("key", Bytewise, primary_key=True),
    _required("digest", Text),
    _required("fields", JSON),
    _required("line", BigInteger),
    Column("product_id", Bytewise, doc="As in `fields`."),
)

manifest_rows = _table(
    "manifest_rows",
    _catalog(primary_key=True),
    Column("key", Bytewise, primary_key=True),
    _required("digest", Text),
    _required("fields", JSON, doc="Object of payload fields."),
    _required("line", BigInteger),
    Column("product_id", Bytewise, doc="As in `fields`."),
    Column(
        "base_digest", Text, doc="Of the file's row where an update has changed it; empty where no file has the key."
    ),
    Index("ix_manifest_rows_product", "catalog", "product_id", "key"),
)

manifest_problems = _table(
    "manifest_problems",
    _job(primary_key=True),
    Column("line", BigInteger, primary_key=True, autoincrement=False),
    Column("problem", Bytewise, primary_key=True),
    Column("key", Text),
)

failures = _table(
    "failures",
    _job(primary_key=True),
    Column("key", Bytewise, primary_key=True),
    _required("outcome", Text),
    _required("reason", Text),
    Column("detail", Text),
    _required("attempts", Integer, doc="How often in a row by then."),
    _required("at", Double),
)

workers = _table(
    "workers",
    Column("id", Bytewise, primary_key=True),
    _required("host", Text),
    _required("pid", BigInteger),
    _required("kind", Text),
    _required("queues", JSON, doc="Array of names."),
    _required("version", Text),
    _required("started_at", Double),
    _required("beat_at", Double),
    _required("state", Text),
    Column("job_id", Bytewise, doc="No reference: a beat must not fail because a job was dropped."),
    Column("batch_id", Bytewise),
    _required("images_done", BigInteger),
)

schedules = _table(
    "schedules",
    Column("name", Bytewise, primary_key=True),
    _catalog(),
    _required("kind", Text),
    _required("cron", Text),
    _required("timezone", Text),
    _required("options", JSON, doc="Object: include, exclude, allow_deletes, model."),
    _required("enabled", Boolean),
    _required("created_at", Double),
    _required("next_at", Double),
)

fires = _table(
    "fires",
    Column("schedule", Bytewise, ForeignKey("schedules.name", ondelete="CASCADE"), primary_key=True),
    Column("at", Double, primary_key=True, autoincrement=False),
    _required("state", Text),
    Column("job_id", Bytewise, doc="No reference: the row goes with its schedule, which goes with the catalog."),
    Column("detail", Text),
    Index("ix_fires_due", "at", sqlite_where=text(DUE), postgresql_where=text(DUE)),
)

api_keys = _table(
    "api_keys",
    Column("id", Bytewise, primary_key=True),
    _required("name", Bytewise),
    _required("digest", Text, doc="SHA-256 of the secret, hexadecimal."),
    _required("scopes", JSON, doc="Array of names."),
    _required("all_catalogs", Boolean),
    _required("catalogs", JSON, doc="Array of names, without references: a key may be there before its catalog."),
    _required("created_at", Double),
    Column("expires_at", Double),
    Column("revoked_at", Double),
    Column("last_used_at", Double),
    Index("ix_api_keys_live", "name", unique=True, sqlite_where=text(LIVE_KEYS), postgresql_where=text(LIVE_KEYS)),
)
