"""What became of images is written here, and nowhere else: placements, the items that are gone, and the counts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, Row, bindparam, case, select, update

from schemas.ids import point_id
from schemas.outcomes import OutcomeKind, Reason
from schemas.records import AskedKey, Change, Lease, Outcome
from schemas.tables import jobs, manifest_rows, placements, work
from workers.adapters.ledger.database import Database, clock, slices
from workers.adapters.ledger.forgetting import forget_keys
from workers.adapters.ledger.posting import post_keys
from workers.adapters.ledger.reports import keep_failures, sampled
from workers.errors import ContractError

_TROUBLE: Final = (OutcomeKind.QUARANTINED, OutcomeKind.FAILED)
_COUNTED: Final = {
    OutcomeKind.INDEXED: "indexed",
    OutcomeKind.DUPLICATE: "duplicates",
    OutcomeKind.QUARANTINED: "quarantined",
    OutcomeKind.FAILED: "failed",
    OutcomeKind.DELETED: "deleted",
}
_WRITTEN: Final = ("version", "etag", "size", "content_digest", "outcome", "reason", "detail")
_ALSO_WRITTEN: Final = ("manifest_digest", "job_id", "updated_at")


@dataclass(frozen=True, kw_only=True, slots=True)
class Writer:
    """In whose name outcomes are written: the lease that got them."""

    job_id: str
    batch_id: str
    catalog: str
    generation: int
    version: int

    @classmethod
    def of(cls, lease: Lease) -> Writer:
        """The writer a lease stands for."""
        return cls(
            job_id=lease.job_id,
            batch_id=lease.batch_id,
            catalog=lease.catalog,
            generation=lease.generation,
            version=lease.version,
        )


def settle(database: Database, tx: Connection, writer: Writer, outcomes: Sequence[Outcome], *, job: Row[Any]) -> None:
    """Write outcomes and count them. The first outcome of an item holds: one that has its outcome is passed over.

    The caller holds the job's row, `job`, and has checked the lease.

    Raises:
        ContractError: an outcome's key is not in the batch.
    """
    changes = _finish(database, tx, writer, [outcome.key for outcome in outcomes])
    fresh = sorted(({o.key: o for o in reversed(outcomes) if o.key in changes}).values(), key=lambda o: o.key)
    if not fresh:
        return
    now: float = tx.execute(select(clock())).scalar_one()
    # A payload that could not be changed or a point that could not be deleted leaves its placement as it was, unless
    # the index has no such point: then the image has to be embedded again.
    _place(database, tx, writer, [o for o in fresh if _is_placed(changes[o.key], o)], now=now)
    _place_payload(tx, writer, [o for o in fresh if _is_payload_change(changes[o.key], o)])
    _give_up(tx, writer, [o for o in fresh if _is_lost_point(changes[o.key], o)])
    # The source does not have these keys. One that another generation holds stays known: its next sync has to see it.
    forget_keys(tx, writer.catalog, [o.key for o in fresh if o.kind is OutcomeKind.DELETED])
    post_keys(database, tx, writer.catalog, _crossed(database, tx, writer, fresh, changes))
    counted = Counter(_count_of(changes[outcome.key], outcome) for outcome in fresh)
    grown: dict[str, Any] = {f"n_{name}": jobs.c[f"n_{name}"] + value for name, value in counted.items()}
    grown |= {"finished": job.finished + len(fresh)}
    grown |= keep_failures(database, tx, job, [o for o in fresh if o.kind in _TROUBLE], now=now)
    grown |= sampled(job, finished=job.finished + len(fresh), now=now)
    tx.execute(update(jobs).where(jobs.c.id == writer.job_id).values(**grown))


def _finish(database: Database, tx: Connection, writer: Writer, keys: Sequence[str]) -> Mapping[str, Change]:
    """Mark those keys that had no outcome yet as done; they, with why they were planned."""
    found: dict[str, Change] = {}
    for some in slices(keys):
        these = (work.c.job_id == writer.job_id, database.among(work.c.key, some))
        left = update(work).where(*these, work.c.done.is_(False)).values(done=True)
        mine = tx.execute(left.returning(work.c.key, work.c.batch_id, work.c.change)).all()
        found |= {row.key: Change(row.change) for row in mine}
        # Compared here and not there: asked for the batch, Postgres would read all of it instead of these keys.
        batch_of = {row.key: row.batch_id for row in mine}
        if len(batch_of) < len(some):
            batch_of |= {row.key: row.batch_id for row in tx.execute(select(work.c.key, work.c.batch_id).where(*these))}
        strange = next((key for key in some if batch_of.get(key) != writer.batch_id), None)
        if strange is not None:
            raise ContractError(f"{strange!r} is not in batch {writer.batch_id}: its outcome cannot be recorded")
    return found


def _place(database: Database, tx: Connection, writer: Writer, outcomes: Sequence[Outcome], *, now: float) -> None:
    """Write placements, tombstones among them, unless a later version was there before."""
    new = database.insert(placements)
    values: dict[str, Any] = {name: new.excluded[name] for name in _WRITTEN + _ALSO_WRITTEN}
    values["buried_at"] = None
    values["attempts"] = case((new.excluded.attempts > 0, placements.c.attempts + 1), else_=0)
    upsert = new.on_conflict_do_update(
        index_elements=["catalog", "generation", "key"],
        set_=values,
        where=placements.c.version <= new.excluded.version,
    )
    database.insert_rows(tx, upsert, [_row(writer, outcome, now) for outcome in outcomes])


def _row(writer: Writer, outcome: Outcome, now: float) -> dict[str, Any]:
    return {
        "catalog": writer.catalog,
        "generation": writer.generation,
        "key": outcome.key,
        "point_id": point_id(writer.catalog, outcome.key),
        "version": writer.version,
        "etag": outcome.etag,
        "size": outcome.size,
        "content_digest": outcome.content_digest,
        "outcome": outcome.kind,
        "reason": outcome.reason,
        "detail": outcome.detail,
        "attempts": int(outcome.kind in _TROUBLE),
        "manifest_digest": outcome.manifest_digest,
        "job_id": writer.job_id,
        "updated_at": now,
    }


def _place_payload(tx: Connection, writer: Writer, outcomes: Sequence[Outcome]) -> None:
    """A changed manifest row touches nothing but the digest of that row."""
    if not outcomes:
        return
    here = (placements.c.catalog == writer.catalog, placements.c.generation == writer.generation)
    this = (*here, placements.c.key == bindparam("b_key"), placements.c.version <= writer.version)
    changed = {"manifest_digest": bindparam("b_digest"), "version": writer.version, "updated_at": clock()}
    rows = [{"b_key": outcome.key, "b_digest": outcome.manifest_digest} for outcome in outcomes]
    tx.execute(update(placements).where(*this).values(**changed), rows)


def _give_up(tx: Connection, writer: Writer, outcomes: Sequence[Outcome]) -> None:
    """The index does not have the point whose payload was to be changed: let the next run try the image again."""
    if not outcomes:
        return
    here = (placements.c.catalog == writer.catalog, placements.c.generation == writer.generation)
    this = (*here, placements.c.key == bindparam("b_key"), placements.c.version <= writer.version)
    lost: dict[str, Any] = {"outcome": OutcomeKind.FAILED, "attempts": placements.c.attempts + 1}
    lost |= {"reason": bindparam("b_reason"), "detail": bindparam("b_detail")}
    lost |= {"version": writer.version, "job_id": writer.job_id, "updated_at": clock()}
    rows = [{"b_key": outcome.key, "b_reason": outcome.reason, "b_detail": outcome.detail} for outcome in outcomes]
    tx.execute(update(placements).where(*this).values(**lost), rows)


def _crossed(
    database: Database, tx: Connection, writer: Writer, fresh: Sequence[Outcome], changes: Mapping[str, Change]
) -> Iterator[AskedKey]:
    """Keys that have to be looked at once more, because jobs that run side by side have crossed.

    Either a newer write was there before and says something else, which may be no more than a payload change that kept an
    image out or a delete that this one's point has come after; or the manifest's row has changed since the claim.
    """
    kinds = {outcome.key: outcome for outcome in fresh if outcome.kind is not OutcomeKind.FAILED}
    p, m = placements.c, manifest_rows.c
    stale = p.outcome.in_((OutcomeKind.INDEXED, OutcomeKind.DUPLICATE)) & p.manifest_digest.is_distinct_from(m.digest)
    query = (
        select(p.key, p.version, p.etag, p.outcome)
        .select_from(placements)
        .outerjoin(manifest_rows, (m.catalog == p.catalog) & (m.key == p.key))
        .where(p.catalog == writer.catalog, p.generation == writer.generation, (p.version > writer.version) | stale)
    )
    for keys in slices(list(kinds)):
        for key, version, etag, outcome in tx.execute(query.where(database.among(p.key, keys))):
            ours = kinds[key]
            if version <= writer.version:
                yield AskedKey(key=key, look=False)
            elif _is_placed(changes[key], ours) and _said(outcome, etag) != _said(ours.kind, ours.etag):
                yield AskedKey(key=key, force=True)


def _said(outcome: str, etag: str) -> tuple[str, str]:
    """What two writes of a key have to agree on."""
    if outcome == OutcomeKind.DELETED:
        return outcome, ""
    return (OutcomeKind.INDEXED if outcome == OutcomeKind.DUPLICATE else outcome), etag


def _is_placed(change: Change, outcome: Outcome) -> bool:
    """Whether the outcome is what the index holds from now on. An object that was to be deleted may be there again."""
    if change is Change.DELETE:
        return outcome.kind is not OutcomeKind.FAILED
    return change.needs_bytes or outcome.kind is OutcomeKind.DELETED


def _is_lost_point(change: Change, outcome: Outcome) -> bool:
    failed = change is Change.PAYLOAD and outcome.kind is OutcomeKind.FAILED
    return failed and outcome.reason is Reason.INDEX_UNAVAILABLE


def _is_payload_change(change: Change, outcome: Outcome) -> bool:
    return change is Change.PAYLOAD and outcome.kind is OutcomeKind.INDEXED


def _count_of(change: Change, outcome: Outcome) -> str:
    """The figure of the job that this outcome adds to."""
    if outcome.kind is OutcomeKind.DELETED and outcome.reason is Reason.VANISHED and change is not Change.DELETE:
        return "vanished"
    if _is_payload_change(change, outcome):
        return "payload_updated"
    return _COUNTED[outcome.kind]
