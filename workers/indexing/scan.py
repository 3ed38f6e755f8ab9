"""Carrying a job's scan on: one slice of the merge-join, committed page by page."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Final

from schemas.records import Catalog, Job, JobKind, LedgerRow
from workers.errors import LeaseLostError
from workers.indexing.keys import key_entries
from workers.indexing.plan import Entry, join, ledger_rows, manifest_rows, paged
from workers.indexing.scope import Scope
from workers.ports import Ledger, Listed, ObjectStore

SLICE_S: Final = 2.0
"""A scan gives way to indexing after so long: most catalogs are planned, and their size known, within one slice, and
a listing of millions keeps no worker from hearing a cancel."""


def scan(
    job: Job,
    catalog: Catalog,
    *,
    store: ObjectStore,
    ledger: Ledger,
    token: str,
    lease_s: float,
    batch_items: int,
    stopped: Callable[[], bool],
) -> int:
    """Plan from the job's cursor on for a slice of time, or to the end of the listing; how many images were seen.

    Each page is committed with its cursor in one transaction, so a scan that is cut off goes on where it was. A reindex
    takes exactly the images that the active generation knows, whatever globs once chose them; a job of keys looks at those.

    Raises:
        LeaseLostError: another worker holds the scan.
    """
    after = job.scan_cursor
    if job.kind is JobKind.KEYS:
        entries = key_entries(job, catalog, store=store, ledger=ledger)
    else:
        entries = _listed_entries(job, catalog, store=store, ledger=ledger)
    started, skipped, seen = time.monotonic(), 0, 0
    for page in paged(entries, cursor=after or "", batch_items=batch_items):
        # What the store cannot name or will not follow (links, special files) is ignored, too, and counted.
        skips = sum(store.skipped.values()) - skipped
        skipped += skips
        counts = replace(page.counts, ignored=page.counts.ignored + skips)
        if not ledger.claim_scan(job.id, token=token, lease_s=lease_s):
            raise LeaseLostError(f"the scan of job {job.id} belongs to another worker")
        ledger.plan_page(job.id, token=token, page=replace(page, counts=counts))
        seen += counts.seen
        if time.monotonic() - started >= SLICE_S or stopped():
            break
    return seen


def _listed_entries(job: Job, catalog: Catalog, *, store: ObjectStore, ledger: Ledger) -> Iterator[Entry]:
    after = job.scan_cursor
    listing: Iterable[Listed] = store.list(after=after)
    scope = Scope(include=job.options.include, exclude=job.options.exclude)
    if job.kind is JobKind.REINDEX and catalog.active_generation is not None:
        known = ledger_rows(ledger, catalog.name, catalog.active_generation, job_id=None, after=after)
        listing, scope = only_known(listing, known), Scope(include=("**",))
    rows = ledger_rows(ledger, catalog.name, job.generation, job_id=job.id, after=after)
    return join(listing, rows, manifest_rows(ledger, catalog.name, after=after), scope=scope)


def only_known(listing: Iterable[Listed], rows: Iterable[LedgerRow]) -> Iterator[Listed]:
    """The listed objects that the ledger has rows for; both sides in key order."""
    known = iter(rows)
    row = next(known, None)
    for listed in listing:
        while row is not None and row.key < listed.key:
            row = next(known, None)
        if row is None:
            return
        if row.key == listed.key:
            yield listed
