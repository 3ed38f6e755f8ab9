"""Jobs of single keys, and the inbox they are made from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from sqlalchemy import Connection, delete, exists, insert, select, text

from schemas.ids import new_id
from schemas.payload import JsonValue
from schemas.records import AskedKey, Job, JobKind, JobOptions, JobState, LedgerRow, ManifestRow, fields_digest
from schemas.tables import KEYS, SCANS, catalogs, inbox, items, job_keys, jobs, manifest_rows, work
from workers.adapters.ledger.catalogs import find_catalog
from workers.adapters.ledger.database import clock, slices
from workers.adapters.ledger.ending import is_open
from workers.adapters.ledger.items import known_items, to_ledger_row
from workers.adapters.ledger.jobs import add_job, made_by_key
from workers.adapters.ledger.manifests import product_of, to_manifest_row
from workers.adapters.ledger.part import LedgerPart
from workers.adapters.ledger.posting import post_keys
from workers.errors import ContractError, NotFoundError
from workers.ports.inbox import MAX_JOB_KEYS

_KEPT_S: Final = 86_400.0
"""How long jobs of keys are remembered that came to their end: a busy catalog makes one a second."""
_FORGOTTEN_AT_ONCE: Final = 200


class KeysPart(LedgerPart):
    """Implements `workers.ports.inbox.Inbox`."""

    def post(self, catalog: str, asked: Sequence[AskedKey]) -> None:
        """Put keys into the inbox."""
        with self._database.write() as tx:
            find_catalog(tx, catalog)
            post_keys(self._database, tx, catalog, asked)

    def inbox_due(self, *, older_than_s: float) -> Sequence[str]:
        """Catalogs whose oldest waiting key has waited at least so long, by name."""
        due = exists().where(inbox.c.catalog == catalogs.c.name, inbox.c.posted_at <= clock() - older_than_s)
        with self._database.read() as tx:
            return tx.execute(select(catalogs.c.name).where(due).order_by(catalogs.c.name)).scalars().all()

    def take_inbox(self, catalog: str, *, limit: int = MAX_JOB_KEYS) -> Sequence[Job]:
        """Turn the keys that wait longest into jobs, one for each generation concerned."""
        with self._database.write() as tx:
            if find_catalog(tx, catalog, lock=True).active_generation is None:
                return []
            waiting = select(inbox.c.key).where(inbox.c.catalog == catalog)
            keys = tx.execute(waiting.order_by(inbox.c.posted_at).limit(min(limit, MAX_JOB_KEYS))).scalars().all()
            if not keys:
                return []
            taken = delete(inbox).where(inbox.c.catalog == catalog).returning(inbox.c.key, inbox.c.look, inbox.c.force)
            asked = [_to_asked(row) for some in slices(keys) for row in tx.execute(taken.where(inbox.c.key.in_(some)))]
            _forget_finished(tx, catalog)
            return self._make(tx, catalog, asked, options=_latest_scope(tx, catalog), idempotency_key=new_id())

    def create_keys_jobs(
        self, catalog: str, asked: Sequence[AskedKey], *, options: JobOptions, idempotency_key: str
    ) -> Sequence[Job]:
        """Jobs of these keys, one for each generation concerned; the same idempotency key again answers the same jobs."""
        with self._database.write() as tx:
            find_catalog(tx, catalog, lock=True)
            known = _made_before(tx, catalog, idempotency_key)
            return known or self._make(tx, catalog, asked, options=options, idempotency_key=idempotency_key)

    def job_keys(self, job_id: str, *, after: str | None = None, limit: int = 1000) -> Sequence[AskedKey]:
        """What an open job was asked to look at, by key in byte order."""
        query = select(job_keys).where(job_keys.c.job_id == job_id, job_keys.c.key > (after or ""))
        with self._database.read() as tx:
            return [_to_asked(row) for row in tx.execute(query.order_by(job_keys.c.key).limit(limit))]

    def rows_of(self, catalog: str, generation: int, keys: Sequence[str], *, job_id: str) -> Sequence[LedgerRow]:
        """What is known of these keys, in byte order, and whether another open job is at work on them."""
        others = (jobs.c.catalog == catalog, jobs.c.generation == generation, jobs.c.id != job_id, is_open())
        found: list[LedgerRow] = []
        with self._database.read() as tx:
            at_work = tx.execute(select(jobs.c.id).where(*others)).scalars().all()
            busy = work.alias("busy")
            in_hand = exists().where(busy.c.job_id.in_(at_work), busy.c.key == items.c.key, busy.c.done.is_(False))
            query = known_items(catalog, generation, job_id).add_columns(in_hand)
            for some in slices(sorted(set(keys))):
                rows = tx.execute(query.where(items.c.key.in_(some)).order_by(items.c.key))
                found += [to_ledger_row(*row) for row in rows]
        return found

    def manifest_rows_of(self, catalog: str, keys: Sequence[str]) -> Sequence[ManifestRow]:
        """The adopted manifest's rows of these keys, in byte order."""
        with self._database.read() as tx:
            return _manifest_rows(tx, catalog, keys)

    def product_keys(
        self, catalog: str, product_id: str, *, after: str | None = None, limit: int = 5000
    ) -> Sequence[str]:
        """Keys whose manifest row names this product, in byte order."""
        this = (manifest_rows.c.catalog == catalog, manifest_rows.c.product_id == product_id)
        query = select(manifest_rows.c.key).where(*this, manifest_rows.c.key > (after or ""))
        with self._database.read() as tx:
            return tx.execute(query.order_by(manifest_rows.c.key).limit(limit)).scalars().all()

    def change_manifest(
        self, catalog: str, changes: Mapping[str, Mapping[str, JsonValue]], *, idempotency_key: str
    ) -> Sequence[Job]:
        """Change fields of manifest rows and make the jobs that bring the payloads in line."""
        asked = [AskedKey(key=key, look=False) for key in changes]
        with self._database.write() as tx:
            find_catalog(tx, catalog, lock=True)  # one change at a time: each reads what the one before it wrote
            known = _made_before(tx, catalog, idempotency_key)
            if known:
                return known
            everything = JobOptions(include=("**",))
            made = self._make(tx, catalog, asked, options=everything, idempotency_key=idempotency_key)
            stored = {row.key: row for row in _manifest_rows(tx, catalog, list(changes))}
            new = self._database.insert(manifest_rows)
            names = ("digest", "fields", "product_id", "base_digest")
            rows = [_changed(catalog, key, stored.get(key), change) for key, change in sorted(changes.items())]
            upsert = new.on_conflict_do_update(
                index_elements=["catalog", "key"], set_={name: new.excluded[name] for name in names}
            )
            if rows:
                tx.execute(upsert, rows)
        return made

    def _make(
        self, tx: Connection, catalog: str, asked: Sequence[AskedKey], *, options: JobOptions, idempotency_key: str
    ) -> Sequence[Job]:
        """The caller holds the catalog's row: neither the active generation nor the open reindex changes meanwhile."""
        if len(asked) > MAX_JOB_KEYS:
            raise ContractError(f"{len(asked):,} keys are too many for one job: give at most {MAX_JOB_KEYS:,}")
        made: list[Job] = []
        for number in _generations(tx, catalog):
            key = idempotency_key if not made else _twin_key(idempotency_key, number)
            job = add_job(
                self._database, tx, catalog, number, JobKind.KEYS, options, idempotency_key=key, known_before=0
            )
            rows = [{"job_id": job.id, "key": one.key, "look": one.look, "force": one.force} for one in asked]
            if rows:
                tx.execute(insert(job_keys), rows)
            made.append(job)
        return made


def _generations(tx: Connection, catalog: str) -> list[int]:
    """Those that a change of the source concerns: the active one first, then the one that a reindex fills."""
    active = tx.execute(select(catalogs.c.active_generation).where(catalogs.c.name == catalog)).scalar_one()
    if active is None:
        raise NotFoundError(f"the catalog {catalog!r} has not been indexed yet: ingest it first")
    filling = select(jobs.c.generation).where(jobs.c.catalog == catalog, jobs.c.kind == JobKind.REINDEX, is_open())
    return list(dict.fromkeys([active, *tx.execute(filling).scalars()]))


def _made_before(tx: Connection, catalog: str, idempotency_key: str) -> Sequence[Job]:
    first = made_by_key(tx, catalog, idempotency_key)
    if first is None:
        return []
    if first.kind is not JobKind.KEYS:
        raise ContractError(
            f"the idempotency key {idempotency_key!r} belongs to the {first.kind.value} job {first.id[:8]}"
        )
    twins = (made_by_key(tx, catalog, _twin_key(idempotency_key, number)) for number in _generations(tx, catalog))
    return [first, *(twin for twin in twins if twin is not None)]


def _twin_key(idempotency_key: str, generation: int) -> str:
    return f"{idempotency_key}/generation-{generation}"


def _latest_scope(tx: Connection, catalog: str) -> JobOptions:
    """The globs of the catalog's latest sync."""
    mine = (text(SCANS), jobs.c.catalog == catalog, jobs.c.kind == JobKind.SYNC)
    query = select(jobs.c.include, jobs.c.exclude).where(*mine).order_by(jobs.c.sequence.desc()).limit(1)
    row = tx.execute(query).one_or_none()
    return JobOptions() if row is None else JobOptions(include=tuple(row.include), exclude=tuple(row.exclude))


def _forget_finished(tx: Connection, catalog: str) -> None:
    """Forget some jobs of keys that were done long ago; those that failed stay."""
    old = (jobs.c.state == JobState.DONE, jobs.c.freed.is_(True), jobs.c.finished_at < clock() - _KEPT_S)
    query = select(jobs.c.id).where(text(KEYS), jobs.c.catalog == catalog, *old).limit(_FORGOTTEN_AT_ONCE)
    tx.execute(delete(jobs).where(jobs.c.id.in_(tx.execute(query).scalars().all())))


def _manifest_rows(tx: Connection, catalog: str, keys: Sequence[str]) -> list[ManifestRow]:
    query = select(manifest_rows).where(manifest_rows.c.catalog == catalog).order_by(manifest_rows.c.key)
    return [
        to_manifest_row(row)
        for some in slices(sorted(set(keys)))
        for row in tx.execute(query.where(manifest_rows.c.key.in_(some)))
    ]


def _changed(catalog: str, key: str, row: ManifestRow | None, change: Mapping[str, JsonValue]) -> dict[str, Any]:
    """The row with the change in it. What the file said of it is remembered by its digest, "" where it said nothing."""
    together = {**(row.fields if row is not None else {}), **change}
    kept = {name: value for name, value in together.items() if value is not None}
    return {
        "catalog": catalog,
        "key": key,
        "digest": fields_digest(kept),
        "fields": kept,
        "line": row.line if row is not None else 0,
        "product_id": product_of(kept),
        "base_digest": row.file_digest if row is not None else "",
    }


def _to_asked(row: Any) -> AskedKey:
    return AskedKey(key=row.key, look=row.look, force=row.force)
