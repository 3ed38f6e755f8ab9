"""Catalogs and their generations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, delete, insert, select, update

from schemas.extra_field import ExtraField
from schemas.ids import check_catalog_name, collection_name
from schemas.records import Catalog, Generation, JobKind, JobState
from schemas.tables import (
    catalogs,
    failures,
    generations,
    inbox,
    items,
    jobs,
    manifest_rows,
    manifest_staged,
    manifest_stages,
    placements,
)
from workers.adapters.ledger.database import clock
from workers.adapters.ledger.ending import delete_bounded, end_job, free_job, is_open
from workers.adapters.ledger.forgetting import sweep
from workers.adapters.ledger.part import LedgerPart, draw, moment
from workers.errors import ContractError, JobConflictError, NotFoundError


class CatalogsPart(LedgerPart):
    """Implements `workers.ports.ledger.Catalogs`."""

    def ensure_catalog(self, name: str, *, source_url: str, extra_fields: tuple[ExtraField, ...] = ()) -> Catalog:
        """The catalog of that name, made if there is none."""
        try:
            check_catalog_name(name)
        except ValueError as error:
            raise ContractError(str(error)) from error
        written = [str(field) for field in extra_fields]
        values = {"name": name, "source_url": source_url, "extra_fields": written, "created_at": clock()}
        with self._database.write() as tx:
            tx.execute(self._database.insert(catalogs).values(values).on_conflict_do_nothing())
            stored = find_catalog(tx, name, lock=True)
            if stored.source_url != source_url:
                raise ContractError(
                    f"catalog {name!r} indexes {stored.source_url}, not {source_url}: choose another name or drop it first"
                )
            if written and stored.extra_fields != written:
                tx.execute(update(catalogs).where(catalogs.c.name == name).values(extra_fields=written))
            return _to_catalog(find_catalog(tx, name))

    def catalog(self, name: str) -> Catalog:
        """The catalog, or NotFoundError naming those there are."""
        with self._database.read() as tx:
            return _to_catalog(find_catalog(tx, name))

    def catalogs(self) -> Sequence[Catalog]:
        """All catalogs by name."""
        with self._database.read() as tx:
            return [_to_catalog(row) for row in tx.execute(select(catalogs).order_by(catalogs.c.name))]

    def drop_catalog(self, name: str) -> None:
        """Forget the catalog with everything that hangs on it.

        Its open job ends first, which takes the leases away from its workers. What is large goes in bounded
        transactions; whoever is killed in between drops it again.
        """
        with self._database.write() as tx:
            owned = tx.execute(select(jobs.c.id).where(jobs.c.catalog == name)).scalars().all()
            for job_id in owned:
                end_job(tx, job_id, JobState.CANCELLED, error="the catalog was dropped")
            stages = (
                tx.execute(select(manifest_stages.c.stage).where(manifest_stages.c.catalog == name)).scalars().all()
            )
            numbers = tx.execute(select(generations.c.number).where(generations.c.catalog == name)).scalars().all()
        for job_id in owned:
            free_job(self._database, job_id)
            delete_bounded(self._database, failures, failures.c.job_id == job_id)
        for number in numbers:
            delete_bounded(self._database, placements, *_within(name, number))
        for stage in stages:
            delete_bounded(self._database, manifest_staged, manifest_staged.c.stage == stage)
        for table in (manifest_rows, items, inbox):
            delete_bounded(self._database, table, table.c.catalog == name)
        with self._database.write() as tx:
            tx.execute(delete(manifest_stages).where(manifest_stages.c.catalog == name))
            tx.execute(delete(catalogs).where(catalogs.c.name == name))

    def add_generation(self, catalog: str, *, model_digest: str) -> Generation:
        """A new generation, numbered one above the highest there ever was under the name; not active yet."""
        with self._database.write() as tx:
            find_catalog(tx, catalog, lock=True)
            number = draw(self._database, tx, f"generation/{catalog}")
            values = {"collection": collection_name(catalog, number), "model_digest": model_digest}
            key = {"catalog": catalog, "number": number}
            tx.execute(insert(generations).values(**key, **values, created_at=clock()))
            return _to_generation(_generation(tx, catalog, number))

    def generation(self, catalog: str, number: int) -> Generation:
        """One generation, or NotFoundError."""
        with self._database.read() as tx:
            return _to_generation(_generation(tx, catalog, number))

    def generations(self, catalog: str) -> Sequence[Generation]:
        """Those that exist, by number."""
        query = select(generations).where(generations.c.catalog == catalog).order_by(generations.c.number)
        with self._database.read() as tx:
            return [_to_generation(row) for row in tx.execute(query)]

    def activate(self, catalog: str, number: int) -> None:
        """Let this generation answer for the catalog."""
        with self._database.write() as tx:
            find_catalog(tx, catalog, lock=True)
            _generation(tx, catalog, number)
            tx.execute(update(catalogs).where(catalogs.c.name == catalog).values(active_generation=number))

    def drop_generation(self, catalog: str, number: int) -> None:
        """Forget a generation, its placements and the keys that nobody holds or has planned then. Whoever is killed in
        between drops it again.

        Raises:
            JobConflictError: a job that is not final yet fills it.
            ContractError: it is the active one.
        """
        with self._database.write() as tx:
            row = tx.execute(
                select(catalogs).where(catalogs.c.name == catalog).with_for_update(key_share=True)
            ).one_or_none()
            if row is not None and row.active_generation == number:
                raise ContractError(f"generation {number} of {catalog!r} is the active one: activate another one first")
            filling = select(jobs.c.id, jobs.c.kind).where(jobs.c.catalog == catalog, jobs.c.generation == number)
            filled_by = tx.execute(filling.where(is_open())).all()
            for job_id, kind in filled_by:
                if kind != JobKind.KEYS:
                    raise JobConflictError(f"job {job_id} fills generation {number}: cancel it first", job_id=job_id)
            moot = [job_id for job_id, _ in filled_by]
            for job_id in moot:
                end_job(
                    tx, job_id, JobState.CANCELLED, error="its index was replaced; the new one has the same changes"
                )
        for job_id in moot:
            free_job(self._database, job_id)
        delete_bounded(self._database, placements, *_within(catalog, number))
        sweep(self._database, catalog)
        with self._database.write() as tx:
            tx.execute(delete(generations).where(generations.c.catalog == catalog, generations.c.number == number))


def _within(catalog: str, number: int) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    return placements.c.catalog == catalog, placements.c.generation == number


def find_catalog(tx: Connection, name: str, *, lock: bool = False) -> Row[Any]:
    """The catalog's row; NotFoundError naming those there are where there is none."""
    query = select(catalogs).where(catalogs.c.name == name)
    row = tx.execute(query.with_for_update(key_share=True) if lock else query).one_or_none()
    if row is None:
        names = tx.execute(select(catalogs.c.name).order_by(catalogs.c.name).limit(20)).scalars().all()
        known = f"there are {', '.join(names)}" if names else "there is none yet; an ingest makes one"
        raise NotFoundError(f"there is no catalog {name!r}: {known}")
    return row


def _generation(tx: Connection, catalog: str, number: int) -> Row[Any]:
    this = (generations.c.catalog == catalog, generations.c.number == number)
    row = tx.execute(select(generations).where(*this)).one_or_none()
    if row is None:
        raise NotFoundError(f"catalog {catalog!r} has no generation {number}")
    return row


def _to_catalog(row: Row[Any]) -> Catalog:
    return Catalog(
        name=row.name,
        source_url=row.source_url,
        extra_fields=tuple(ExtraField.parse(written) for written in row.extra_fields),
        active_generation=row.active_generation,
        created_at=moment(row.created_at),
    )


def _to_generation(row: Row[Any]) -> Generation:
    return Generation(
        catalog=row.catalog,
        number=row.number,
        collection=row.collection,
        model_digest=row.model_digest,
        created_at=moment(row.created_at),
    )
