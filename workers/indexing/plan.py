"""What has to be done: the source's listing, the ledger and the manifest, all in key order, joined in one pass.

Key order is the order of the UTF-8 bytes, which is the order in which Python compares strings, SQLite's BINARY
collation, Postgres's "C" collation and the order S3 lists in. Nothing is held but one page of each side.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from heapq import merge as merge_sorted
from itertools import groupby
from operator import itemgetter
from typing import Final

from schemas.outcomes import OutcomeKind
from schemas.records import Change, Counts, LedgerRow, ManifestRow, PlannedPage, WorkItem
from workers.indexing.scope import Scope
from workers.ports import Ledger, Listed, ObjectStore

PAGE_ROWS: Final = 5000
"""Keys settled in one transaction at most; also the size of the ledger's keyset pages."""
GUARD_SHARE: Final = 0.20
GUARD_ITEMS: Final = 50
"""More deletes than both of these wait for a person: an emptied bucket must not empty the index."""


class Finding(StrEnum):
    """What the join says of one key."""

    NEW = "new"
    CHANGED = "changed"
    RETRY = "retry"
    PAYLOAD = "payload"
    UNCHANGED = "unchanged"
    VANISHED = "vanished"
    IGNORED = "ignored"
    MANIFEST_ORPHAN = "manifest_orphan"


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """One key of the join with its finding; `work` where something is to be done that this job has not planned yet."""

    key: str
    finding: Finding
    work: WorkItem | None = None


def join(
    listing: Iterable[Listed], rows: Iterable[LedgerRow], manifest: Iterable[ManifestRow], *, scope: Scope
) -> Iterator[Entry]:
    """Every key that any side knows, in key order. All three sides must be sorted by key and free of repetitions."""
    tagged: Iterator[tuple[str, int, Listed | LedgerRow | ManifestRow]] = merge_sorted(
        ((listed.key, 0, listed) for listed in listing),
        ((row.key, 1, row) for row in rows),
        ((row.key, 2, row) for row in manifest),
        key=itemgetter(0, 1),
    )
    for key, group in groupby(tagged, key=itemgetter(0)):
        listed: Listed | None = None
        row: LedgerRow | None = None
        described: ManifestRow | None = None
        for _, _, side in group:
            if isinstance(side, Listed):
                listed = side
            elif isinstance(side, LedgerRow):
                row = side
            else:
                described = side
        entry = _find(key, listed, row, described, scope)
        if entry is not None:
            yield entry


def _find(
    key: str, listed: Listed | None, row: LedgerRow | None, described: ManifestRow | None, scope: Scope
) -> Entry | None:
    if key not in scope:
        return Entry(key=key, finding=Finding.IGNORED) if listed is not None else None
    if listed is None:
        if row is not None:
            return Entry(key=key, finding=Finding.VANISHED)
        return Entry(key=key, finding=Finding.MANIFEST_ORPHAN)
    if not scope.takes(key):
        return Entry(key=key, finding=Finding.IGNORED)
    if row is not None and row.work is not None:
        return Entry(key=key, finding=_ALREADY_PLANNED[row.work])
    change = _change(listed, row, described)
    if change is None:
        return Entry(key=key, finding=Finding.UNCHANGED)
    work = WorkItem(key=key, change=change, etag=listed.etag, size=listed.size)
    return Entry(key=key, finding=Finding(change.value), work=work)


_ALREADY_PLANNED: Final = {
    Change.NEW: Finding.NEW,
    Change.CHANGED: Finding.CHANGED,
    Change.RETRY: Finding.RETRY,
    Change.PAYLOAD: Finding.UNCHANGED,
    Change.DELETE: Finding.UNCHANGED,
}


def _change(listed: Listed, row: LedgerRow | None, described: ManifestRow | None) -> Change | None:
    if row is None or row.outcome is None or row.outcome is OutcomeKind.DELETED:
        return Change.NEW
    if row.outcome is OutcomeKind.FAILED:
        return Change.RETRY
    if (row.etag, row.size) != (listed.etag, listed.size):
        return Change.CHANGED
    if row.outcome is OutcomeKind.QUARANTINED:
        return None
    if row.manifest_digest != (described.digest if described is not None else None):
        return Change.PAYLOAD
    return None


def ledger_rows(
    ledger: Ledger, catalog: str, generation: int, *, job_id: str | None, after: str | None
) -> Iterator[LedgerRow]:
    """The ledger's side of the join, by keyset pages: no cursor stays open between them."""
    while page := ledger.rows(catalog, generation, job_id=job_id, after=after, limit=PAGE_ROWS):
        yield from page
        after = page[-1].key


def manifest_rows(
    ledger: Ledger, catalog: str, *, stage: str | None = None, after: str | None = None
) -> Iterator[ManifestRow]:
    """The manifest's side of the join: what the catalog remembers, or a stage that is not adopted yet."""
    while page := ledger.manifest_rows(catalog, stage=stage, after=after, limit=PAGE_ROWS):
        yield from page
        after = page[-1].key


def paged(entries: Iterable[Entry], *, cursor: str, batch_items: int) -> Iterator[PlannedPage]:
    """Cut the join into pages of at most one batch of work and `PAGE_ROWS` keys; the last one is marked complete."""
    work: list[WorkItem] = []
    vanished: list[str] = []
    tally: dict[Finding, int] = {}
    keys = 0
    for entry in entries:
        cursor = entry.key
        keys += 1
        tally[entry.finding] = tally.get(entry.finding, 0) + 1
        if entry.work is not None:
            work.append(entry.work)
        elif entry.finding is Finding.VANISHED:
            vanished.append(entry.key)
        if len(work) >= batch_items or keys >= PAGE_ROWS:
            yield _page(cursor, work, vanished, tally, complete=False)
            work, vanished, tally, keys = [], [], {}, 0
    yield _page(cursor, work, vanished, tally, complete=True)


def _page(
    cursor: str, work: Sequence[WorkItem], vanished: Sequence[str], tally: dict[Finding, int], *, complete: bool
) -> PlannedPage:
    return PlannedPage(
        cursor=cursor, complete=complete, work=tuple(work), vanished=tuple(vanished), counts=count(tally)
    )


def count(tally: dict[Finding, int]) -> Counts:
    """A scan's counts from its findings. A payload update is an unchanged image; vanished keys are counted when deleted."""
    images = (Finding.NEW, Finding.CHANGED, Finding.RETRY, Finding.PAYLOAD, Finding.UNCHANGED)
    return Counts(
        seen=sum(tally.get(finding, 0) for finding in images),
        ignored=tally.get(Finding.IGNORED, 0),
        new=tally.get(Finding.NEW, 0),
        changed=tally.get(Finding.CHANGED, 0),
        retried=tally.get(Finding.RETRY, 0),
        unchanged=tally.get(Finding.UNCHANGED, 0) + tally.get(Finding.PAYLOAD, 0),
        manifest_orphans=tally.get(Finding.MANIFEST_ORPHAN, 0),
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Forecast:
    """What a run would do, without doing it."""

    counts: Counts
    payload_updates: int
    vanished: int
    known: int
    """Keys the ledger knew before."""

    @property
    def needs_confirmation(self) -> bool:
        """Whether the deletes would wait for a person."""
        return exceeds_guard(self.vanished, self.known)


def forecast(
    catalog: str,
    generation: int,
    *,
    store: ObjectStore,
    ledger: Ledger,
    scope: Scope,
    stage: str | None = None,
    on_key: Callable[[Entry], None] | None = None,
) -> Forecast:
    """Run the join and only count; nothing is written. `on_key` is called for each entry."""
    known = 0

    def counted(rows: Iterator[LedgerRow]) -> Iterator[LedgerRow]:
        nonlocal known
        for row in rows:
            known += 1
            yield row

    tally: dict[Finding, int] = {}
    rows = counted(ledger_rows(ledger, catalog, generation, job_id=None, after=None))
    for entry in join(store.list(), rows, manifest_rows(ledger, catalog, stage=stage), scope=scope):
        tally[entry.finding] = tally.get(entry.finding, 0) + 1
        if on_key is not None:
            on_key(entry)
    counts = count(tally)
    return Forecast(
        counts=replace(counts, ignored=counts.ignored + sum(store.skipped.values())),
        payload_updates=tally.get(Finding.PAYLOAD, 0),
        vanished=tally.get(Finding.VANISHED, 0),
        known=known,
    )


def exceeds_guard(vanished: int, known: int) -> bool:
    """Whether so many deletes need a person's word: more than 50 items and more than 20 % of what was known."""
    return vanished > GUARD_ITEMS and vanished > GUARD_SHARE * known
