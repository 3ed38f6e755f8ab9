"""What has to be written to the index for an image, and what is recorded of it then."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

from schemas.ids import point_id
from schemas.outcomes import OutcomeKind, Reason
from schemas.payload import MANIFEST_FIELDS, JsonValue, Payload, PayloadChange, Point, PointRecord, Tombstone
from schemas.records import Change, Lease, ManifestRow, Outcome, WorkItem
from schemas.taxonomy import map_category
from workers.flow import grouped
from workers.indexing.embed import Embedded
from workers.ports import VectorIndex

RETRIEVE_POINTS = 256
"""Points read back at once: the index serves searches meanwhile."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Settled:
    """One image's outcome with what has to be written to the index before it is recorded."""

    outcome: Outcome
    write: Point | PayloadChange | Tombstone | None = None


def settle(lease: Lease, value: Embedded | Outcome, *, indexed_at: datetime) -> Settled:
    """What to write for an image that was embedded, refused or found gone."""
    if isinstance(value, Embedded):
        return _indexed(lease, value, make_point(lease, value, indexed_at=indexed_at))
    return _refused(lease, value)


def settle_without_images(lease: Lease, index: VectorIndex, *, extra_fields: tuple[str, ...]) -> Iterator[Settled]:
    """The lease's payload changes: work that needs no pixels."""
    described = [item for item in lease.items if item.change is Change.PAYLOAD]
    for group in grouped(described, RETRIEVE_POINTS):
        ids = {point_id(lease.catalog, item.key): item for item in group}
        stored = {point.id: point for point in index.retrieve(lease.collection, list(ids))}
        for identity, item in ids.items():
            yield _redescribed(lease, item, stored.get(identity), extra_fields)


def _refused(lease: Lease, outcome: Outcome) -> Settled:
    if outcome.kind is OutcomeKind.FAILED:
        return Settled(outcome=outcome)
    # Quarantined or gone: whatever an earlier version of the image left in the index must not be found any more.
    return Settled(outcome=outcome, write=Tombstone(id=point_id(lease.catalog, outcome.key), version=lease.version))


def refused(settled: Settled, reasons: Mapping[str, str]) -> Settled:
    """In quarantine, where the index refused the image's point (`reasons`, by point id); else as it is."""
    write = settled.write
    if write is None or isinstance(write, Tombstone) or write.id not in reasons:
        return settled
    outcome = Outcome(
        key=settled.outcome.key,
        kind=OutcomeKind.QUARANTINED,
        etag=settled.outcome.etag,
        size=settled.outcome.size,
        reason=Reason.REFUSED_BY_INDEX,
        detail=reasons[write.id],
    )
    # as for every image in quarantine, what an earlier version left in the index goes
    return Settled(outcome=outcome, write=Tombstone(id=write.id, version=write.version))


def make_point(lease: Lease, embedded: Embedded, *, indexed_at: datetime) -> Point:
    """The point of one image, its payload filled from the model and from the manifest."""
    image, seen = embedded.image, embedded.impression
    described = manifest_payload(lease.manifest.get(image.item.key), predicted=seen.category)
    extra = {name: value for name, value in described.items() if name not in _STANDARD}
    standard = {name: value for name, value in described.items() if name in _STANDARD}
    return Point(
        id=point_id(lease.catalog, image.item.key),
        version=lease.version,
        vector=seen.vector,
        payload=Payload(
            catalog=lease.catalog,
            key=image.item.key,
            etag=image.etag,
            content_digest=image.content_digest,
            model_digest=lease.model_digest,
            version=lease.version,
            job=lease.job_id,
            indexed_at=indexed_at.isoformat(timespec="seconds"),
            category_predicted=seen.category,
            category_confidence=seen.confidence,
            attributes=seen.attributes,
            box=seen.box,
            width=image.width,
            height=image.height,
            extra=extra or None,
            **standard,  # type: ignore[arg-type]
        ),
    )


def manifest_payload(row: ManifestRow | None, *, predicted: str | None) -> dict[str, JsonValue]:
    """The payload fields a manifest row decides: the category filters use is the declared one if mapped, else predicted."""
    fields = dict(row.fields) if row is not None else {}
    declared = fields.pop("category", None)
    mapped = map_category(declared) if isinstance(declared, str) else None
    return {"category": mapped.value if mapped is not None else predicted, "category_declared": declared, **fields}


def _indexed(lease: Lease, embedded: Embedded, point: Point) -> Settled:
    image = embedded.image
    row = lease.manifest.get(image.item.key)
    return Settled(
        write=point,
        outcome=Outcome(
            key=image.item.key,
            kind=OutcomeKind.DUPLICATE if embedded.is_copy else OutcomeKind.INDEXED,
            etag=image.etag,
            size=image.size,
            content_digest=image.content_digest,
            manifest_digest=row.digest if row is not None else None,
        ),
    )


def _redescribed(lease: Lease, item: WorkItem, stored: PointRecord | None, extra_fields: tuple[str, ...]) -> Settled:
    if stored is None:
        lost = Outcome(
            key=item.key,
            kind=OutcomeKind.FAILED,
            etag=item.etag,
            size=item.size,
            reason=Reason.INDEX_UNAVAILABLE,
            detail="the index has no point for this image any more; the next run embeds it again",
        )
        return Settled(outcome=lost)
    row = lease.manifest.get(item.key)
    payload = stored.payload
    cleared: Mapping[str, JsonValue] = dict.fromkeys((*MANIFEST_FIELDS, *extra_fields, *(payload.extra or {})))
    change = PayloadChange(
        id=stored.id,
        version=lease.version,
        fields={**cleared, **manifest_payload(row, predicted=payload.category_predicted)},
    )
    outcome = Outcome(
        key=item.key,
        kind=OutcomeKind.INDEXED,
        etag=payload.etag,
        content_digest=payload.content_digest,
        manifest_digest=row.digest if row is not None else None,
    )
    return Settled(outcome=outcome, write=change)


_STANDARD = frozenset({"category", "category_declared", *MANIFEST_FIELDS})
