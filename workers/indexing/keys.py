"""What has to be done about single keys that somebody asked to look at: the plan of a job of keys.

The same merge-join as for a scan, with a look at each object instead of a listing. Nothing is guarded here: an object that
is gone was named by whoever asked.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from typing import Final

from schemas.outcomes import OutcomeKind, Reason
from schemas.records import AskedKey, Catalog, Change, Job, LedgerRow, WorkItem
from workers.errors import ItemError
from workers.indexing.plan import Entry, Finding, join
from workers.indexing.scope import Scope
from workers.ports import Ledger, Listed, ObjectStore

LOOK_KEYS: Final = 500
"""Keys looked at before their page is committed."""
LOOK_THREADS: Final = 16
"""As many as read images: a HEAD takes some 5 ms, so a page takes a fraction of a second."""
_NEVER: Final = datetime.min.replace(tzinfo=UTC)
"""Where nobody looked at the time."""
_SEARCHABLE: Final = (OutcomeKind.INDEXED, OutcomeKind.DUPLICATE)


def key_entries(job: Job, catalog: Catalog, *, store: ObjectStore, ledger: Ledger) -> Iterator[Entry]:
    """The join's entries for the keys of a job behind its cursor, in key order.

    Raises:
        ConfigurationError: the source itself is gone, or cannot be read.
        TransientError: the store does not answer.
    """
    after = job.scan_cursor
    with ThreadPoolExecutor(LOOK_THREADS, thread_name_prefix="look") as pool:
        while asked := ledger.job_keys(job.id, after=after, limit=LOOK_KEYS):
            keys = [one.key for one in asked]
            found = dict(pool.map(lambda key: (key, _stat(store, key)), [one.key for one in asked if one.look]))
            if not all(found.values()):
                next(iter(store.list()), None)  # gone with its whole source, it must not look deleted
            # After the look: a write that was recorded meanwhile is known, one that is not yet is in hand.
            rows = {row.key: row for row in ledger.rows_of(catalog.name, job.generation, keys, job_id=job.id)}
            listing = [seen for one in asked if (seen := found.get(one.key) or _as_known(one, rows.get(one.key)))]
            scope = _HeldScope(job, held={key for key, row in rows.items() if row.outcome in _SEARCHABLE})
            described = ledger.manifest_rows_of(catalog.name, keys)
            entries = {e.key: e for e in join(listing, rows.values(), described, scope=scope)}
            for one in asked:
                if one.look or one.key in {seen.key for seen in listing}:
                    entry = _decided(one, entries.get(one.key), rows.get(one.key), found.get(one.key))
                    if entry is not None:
                        yield entry
            after = keys[-1]


class _HeldScope(Scope):
    """A sync's globs say which images are new to a catalog; what it holds already is kept up to date whatever they say."""

    def __init__(self, job: Job, *, held: set[str]) -> None:
        super().__init__(include=job.options.include, exclude=job.options.exclude)
        self._held = held

    def __contains__(self, key: str) -> bool:
        return key in self._held or super().__contains__(key)

    def takes(self, key: str) -> bool:
        return key in self._held or super().takes(key)


def _stat(store: ObjectStore, key: str) -> Listed | None:
    """The object, or None where there is none. One that must not be read is taken for changed: its reading says why."""
    try:
        return store.stat(key)
    except ItemError as error:
        if error.reason is Reason.VANISHED:
            return None
        return Listed(key=key, etag="", size=0, modified=_NEVER)


def _as_known(one: AskedKey, row: LedgerRow | None) -> Listed | None:
    """An object whose payload alone is asked about, as the ledger knows it; None for one that is not searchable: whoever
    indexes it takes the payload along.
    """
    if one.look or row is None or row.outcome not in _SEARCHABLE:
        return None
    return Listed(key=one.key, etag=row.etag or "", size=row.size or 0, modified=_NEVER)


def _decided(one: AskedKey, entry: Entry | None, row: LedgerRow | None, seen: Listed | None) -> Entry | None:
    """What the join says, but for what only single keys have: deletes without a guard, and work that others have in hand."""
    crossing = one.force or (row is not None and row.in_hand)
    if seen is None and one.look:
        buried = row is None or row.outcome is OutcomeKind.DELETED
        if buried and not crossing:
            return entry
        work = WorkItem(key=one.key, change=Change.DELETE, etag="", size=0)
        return Entry(key=one.key, finding=Finding.VANISHED, work=work)
    if entry is None or seen is None or not crossing or entry.finding not in (Finding.UNCHANGED, Finding.PAYLOAD):
        return entry
    if row is not None and row.work is not None:
        return entry
    work = WorkItem(key=one.key, change=Change.CHANGED, etag=seen.etag, size=seen.size)
    return replace(entry, finding=Finding.CHANGED, work=work)
