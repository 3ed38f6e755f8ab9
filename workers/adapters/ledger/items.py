"""What is known of every image, read in key order page by page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from sqlalchemy import ColumnElement, Row, Select, and_, delete, func, or_, select, text, update

from schemas.outcomes import OutcomeKind, Reason
from schemas.records import Change, LedgerRow, Placement, QuarantineRow
from schemas.tables import NOT_SEARCHABLE, SEARCHABLE, catalogs, items, placements, work
from workers.adapters.ledger.database import clock, slices
from workers.adapters.ledger.forgetting import forget_unplanned, is_held
from workers.adapters.ledger.part import LedgerPart, find_job, moment

_OUTCOMES: Final = {kind.value: kind for kind in OutcomeKind} | {None: None}
_CHANGES: Final = {change.value: change for change in Change} | {None: None}
_TROUBLE: Final = (OutcomeKind.QUARANTINED, OutcomeKind.FAILED)


class ItemsPart(LedgerPart):
    """Implements `workers.ports.ledger.Items`."""

    def rows(
        self, catalog: str, generation: int, *, job_id: str | None, after: str | None, limit: int
    ) -> Sequence[LedgerRow]:
        """Known keys behind `after` in byte order, with what this generation holds and what the job has planned."""
        with self._database.read() as tx:
            elsewhere = is_held(tx, catalog)
            query = known_items(catalog, generation, job_id or "").where(
                _is_listed(elsewhere), items.c.key > (after or "")
            )
            found = tx.execute(query.order_by(items.c.key).limit(limit)).all()
        return [to_ledger_row(*row) for row in found]

    def originals(self, catalog: str, generation: int, digests: Sequence[str]) -> Mapping[str, Placement]:
        """For each content digest that an indexed point of the generation has: one such placement."""
        here, digest = _within(catalog, generation), placements.c.content_digest
        originals = (*here, text(SEARCHABLE), placements.c.outcome == OutcomeKind.INDEXED)
        found: dict[str, Placement] = {}
        with self._database.read() as tx:
            for some in slices(sorted(set(digests))):
                keys = select(func.min(placements.c.key)).where(*originals, digest.in_(some)).group_by(digest)
                for row in tx.execute(select(placements).where(*here, placements.c.key.in_(keys.scalar_subquery()))):
                    found[row.content_digest] = _to_placement(row)
        return found

    def placements(
        self, catalog: str, generation: int, *, after: str | None = None, limit: int = 1000
    ) -> Sequence[Placement]:
        """What the generation holds, by key in byte order, tombstones included."""
        query = select(placements).where(*_within(catalog, generation), placements.c.key > (after or ""))
        with self._database.read() as tx:
            return [_to_placement(row) for row in tx.execute(query.order_by(placements.c.key).limit(limit))]

    def tombstones(
        self, catalog: str, generation: int, *, older_than_s: float, limit: int = 1000
    ) -> Sequence[Placement]:
        """Deletes and quarantines recorded at least that long ago that nobody has dealt with yet."""
        unburied = and_(placements.c.outcome == OutcomeKind.QUARANTINED, placements.c.buried_at.is_(None))
        dead = (
            or_(placements.c.outcome == OutcomeKind.DELETED, unburied),
            placements.c.updated_at <= clock() - older_than_s,
        )
        with self._database.read() as tx:
            found = tx.execute(_not_searchable(catalog, generation, *dead, after=None, limit=limit)).all()
        return [_to_placement(row) for row in found]

    def forget_tombstones(self, catalog: str, generation: int, keys: Sequence[str]) -> None:
        """Drop the deleted ones with their keys, mark the quarantined ones; what is indexed again by now is left alone."""
        here, outcome = _within(catalog, generation), placements.c.outcome
        for some in slices(keys):
            these = (*here, placements.c.key.in_(some))
            with self._database.write() as tx:
                tx.execute(delete(placements).where(*these, outcome == OutcomeKind.DELETED))
                forget_unplanned(tx, catalog, items.c.key.in_(some))
                buried = update(placements).where(*these, outcome == OutcomeKind.QUARANTINED)
                tx.execute(buried.values(buried_at=clock()))

    def blamed(self, job_id: str) -> Sequence[Placement]:
        """Placements that this job quarantined as ends_worker, by key."""
        bad = (placements.c.outcome == OutcomeKind.QUARANTINED, placements.c.reason == Reason.ENDS_WORKER)
        with self._database.read() as tx:
            job = find_job(tx, job_id)
            query = _not_searchable(job.catalog, job.generation, *bad, after=None, limit=None)
            found = tx.execute(query.where(placements.c.job_id == job_id)).all()
        return [_to_placement(row) for row in found]

    def quarantine(
        self, catalog: str, *, after: str | None = None, limit: int = 100, reason: str | None = None
    ) -> Sequence[QuarantineRow]:
        """Quarantined and failed images of the active generation, by key."""
        active = select(catalogs.c.active_generation).where(catalogs.c.name == catalog).scalar_subquery()
        bad = [placements.c.outcome.in_(_TROUBLE)] + ([] if reason is None else [placements.c.reason == reason])
        with self._database.read() as tx:
            found = tx.execute(_not_searchable(catalog, active, *bad, after=after, limit=limit)).all()
        return [_to_quarantine(row) for row in found]

    def outcome_counts(self, catalog: str, generation: int) -> Mapping[str, int]:
        """Placements by outcome, and of those with a reason by `<outcome>:<reason>`."""
        outcome, reason = placements.c.outcome, placements.c.reason
        here = _within(catalog, generation)
        searchable = select(outcome, func.count()).where(*here, text(SEARCHABLE)).group_by(outcome)
        others = select(outcome, reason, func.count()).where(*here, text(NOT_SEARCHABLE)).group_by(outcome, reason)
        with self._database.read() as tx:
            counts: dict[str, int] = {row[0]: row[1] for row in tx.execute(searchable)}
            for kind, why, number in tx.execute(others):
                counts[kind] = counts.get(kind, 0) + number
                if why is not None:
                    counts[f"{kind}:{why}"] = number
        return counts


def _within(catalog: str, generation: Any) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    return placements.c.catalog == catalog, placements.c.generation == generation


def _not_searchable(
    catalog: str, generation: Any, *which: ColumnElement[bool], after: str | None, limit: int | None
) -> Select[Any]:
    """Some placements that are not searchable, by key: found by their own index, then read."""
    here = _within(catalog, generation)
    keys = select(placements.c.key).where(*here, text(NOT_SEARCHABLE), *which, placements.c.key > (after or ""))
    chosen = keys.order_by(placements.c.key).limit(limit).scalar_subquery()
    return select(placements).where(*here, placements.c.key.in_(chosen)).order_by(placements.c.key)


def to_ledger_row(
    key: str,
    etag: str | None,
    size: int | None,
    outcome: str | None,
    manifest_digest: str | None,
    change: str | None,
    done: bool,
    vanished: bool,
    in_hand: bool = False,
) -> LedgerRow:
    """A row of `known_items`."""
    return LedgerRow(
        key=key,
        etag=etag,
        size=size,
        outcome=_OUTCOMES[outcome],
        manifest_digest=manifest_digest,
        work=_CHANGES[change],
        work_done=done,
        vanished=vanished,
        in_hand=in_hand,
    )


def known_items(catalog: str, generation: int, job_id: str) -> Select[Any]:
    """Keys with what a generation holds of them. Plain columns by position, since they are read once for every key of every
    sync.
    """
    placed = (placements.c.catalog == items.c.catalog, placements.c.generation == generation)
    columns = (
        items.c.key,
        placements.c.etag,
        placements.c.size,
        placements.c.outcome,
        placements.c.manifest_digest,
        work.c.change,
        func.coalesce(work.c.done, False),
        func.coalesce(items.c.vanished_by == job_id, False),
    )
    return (
        select(*columns)
        .select_from(items)
        .outerjoin(placements, and_(*placed, placements.c.key == items.c.key))
        .outerjoin(work, and_(work.c.job_id == job_id, work.c.key == items.c.key))
        .where(items.c.catalog == catalog)
    )


def _is_listed(elsewhere: ColumnElement[bool]) -> ColumnElement[bool]:
    """A key that this generation has buried, or does not hold while another one does, is left out unless it is planned.
    The other generations are asked last: only for keys without a placement.
    """
    unheld = and_(placements.c.outcome.is_(None), ~elsewhere)
    return or_(placements.c.outcome != OutcomeKind.DELETED, work.c.key.is_not(None), unheld)


def _to_placement(row: Row[Any]) -> Placement:
    return Placement(
        key=row.key,
        point_id=row.point_id,
        version=row.version,
        etag=row.etag,
        content_digest=row.content_digest,
        outcome=OutcomeKind(row.outcome),
        reason=None if row.reason is None else Reason(row.reason),
    )


def _to_quarantine(row: Row[Any]) -> QuarantineRow:
    return QuarantineRow(
        key=row.key,
        kind=OutcomeKind(row.outcome),
        reason=Reason(row.reason),
        detail=row.detail or "",
        attempts=row.attempts,
        at=moment(row.updated_at),
    )
