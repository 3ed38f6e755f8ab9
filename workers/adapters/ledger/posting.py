"""Putting keys into the inbox, in the transaction of whoever has a reason to."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from sqlalchemy import Connection, or_, select

from schemas.records import AskedKey, JobKind
from schemas.tables import inbox, job_keys, jobs
from workers.adapters.ledger.database import Database, clock
from workers.adapters.ledger.ending import is_open

_COLUMNS: Final = ("catalog", "key", "look", "force", "posted_at")


def post_keys(database: Database, tx: Connection, catalog: str, asked: Iterable[AskedKey]) -> None:
    """Post keys; one that waits already asks for what either asked for, and keeps its place."""
    together: dict[str, AskedKey] = {}
    for one in asked:
        other = together.get(one.key, one)
        together[one.key] = AskedKey(key=one.key, look=one.look or other.look, force=one.force or other.force)
    if not together:
        return
    now = tx.execute(select(clock())).scalar_one()
    rows = [
        {"catalog": catalog, "key": key, "look": one.look, "force": one.force, "posted_at": now}
        for key, one in sorted(together.items())
    ]
    new = database.insert(inbox)
    both = {"look": or_(inbox.c.look, new.excluded.look), "force": or_(inbox.c.force, new.excluded.force)}
    database.insert_rows(tx, new.on_conflict_do_update(index_elements=["catalog", "key"], set_=both), rows)


def repost_open_keys(database: Database, tx: Connection, catalog: str) -> None:
    """Post once more what open jobs of keys are looking at: a generation that begins now is not among theirs."""
    these = (jobs.c.catalog == catalog, jobs.c.kind == JobKind.KEYS, is_open())
    query = select(jobs.c.catalog, job_keys.c.key, job_keys.c.look, job_keys.c.force, clock())
    new = database.insert(inbox).from_select(_COLUMNS, query.join(jobs, jobs.c.id == job_keys.c.job_id).where(*these))
    tx.execute(new.on_conflict_do_nothing())
