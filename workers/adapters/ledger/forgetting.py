"""Which keys are forgotten: those that no generation holds and that nobody is about to index."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from sqlalchemy import ColumnElement, Connection, Select, delete, exists, select

from schemas.outcomes import OutcomeKind
from schemas.tables import catalogs, generations, items, jobs, placements, work
from workers.adapters.ledger.database import Database, slices
from workers.adapters.ledger.ending import is_open

_ROWS: Final = 5000
"""Keys a transaction looks at: some 30 ms of SQLite's one writer."""
_PLACED: Final = placements.alias("placed")
"""A name of its own, so that the condition also fits into a query that reads `placements`."""


def is_held(tx: Connection, catalog: str) -> ColumnElement[bool]:
    """Condition on `items` of a catalog: some generation holds the key. A tombstone holds nothing.

    The generations are looked up here: joined in, SQLite would begin with all placements of the catalog for every key.
    """
    numbers = tx.execute(select(generations.c.number).where(generations.c.catalog == catalog)).scalars()
    return exists().where(
        _PLACED.c.catalog == items.c.catalog,
        _PLACED.c.generation.in_(numbers.all()),
        _PLACED.c.key == items.c.key,
        _PLACED.c.outcome != OutcomeKind.DELETED,
    )


def forget_keys(tx: Connection, catalog: str, keys: Sequence[str]) -> None:
    """Forget those of the keys that no generation holds and no open job is about to index."""
    if not keys:
        return
    held = is_held(tx, catalog)
    for some in slices(sorted(keys)):
        these = (items.c.catalog == catalog, items.c.key.in_(some))
        # Locked first: whoever plans one of them meanwhile has written its row before its work, and is seen below.
        tx.execute(select(items.c.key).where(*these).order_by(items.c.key).with_for_update())
        planned = _is_planned(tx.execute(_open_jobs(catalog)).scalars().all())
        tx.execute(delete(items).where(*these, ~held, ~planned))


def forget_unplanned(tx: Connection, catalog: str, *which: ColumnElement[bool]) -> None:
    """Forget the chosen keys that no generation holds and no open job of the catalog is about to index."""
    planned = _is_planned(_hold_planning(tx, catalog))
    tx.execute(delete(items).where(items.c.catalog == catalog, *which, ~is_held(tx, catalog), ~planned))


def sweep(database: Database, catalog: str) -> None:
    """Forget every such key of a catalog, stretch by stretch."""
    mine, start = items.c.catalog == catalog, ""
    while True:
        behind = select(items.c.key).where(mine, items.c.key >= start).order_by(items.c.key).offset(_ROWS).limit(1)
        with database.write() as tx:
            end = tx.execute(behind).scalar_one_or_none()
            forget_unplanned(tx, catalog, items.c.key >= start, *(() if end is None else (items.c.key < end,)))
        if end is None:
            return
        start = end


def _hold_planning(tx: Connection, catalog: str) -> Sequence[str]:
    """The ids of the catalog's open jobs. Neither they nor one that is about to be made plan anything until the transaction
    ends: what they planned meanwhile would lose its row in `items`.
    """
    tx.execute(select(catalogs.c.name).where(catalogs.c.name == catalog).with_for_update(key_share=True))
    return tx.execute(_open_jobs(catalog).order_by(jobs.c.id).with_for_update(key_share=True)).scalars().all()


def _open_jobs(catalog: str) -> Select[str]:
    return select(jobs.c.id).where(jobs.c.catalog == catalog, is_open())


def _is_planned(job_ids: Sequence[str]) -> ColumnElement[bool]:
    """Condition on `items`: one of the jobs has the key as work that is not done."""
    return exists().where(work.c.job_id.in_(job_ids), work.c.key == items.c.key, work.c.done.is_(False))
