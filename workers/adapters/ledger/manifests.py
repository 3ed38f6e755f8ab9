"""The manifest a catalog remembers, and the staging of a new one: nothing of it counts before it is adopted."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import Any, Final

from sqlalchemy import Connection, Row, delete, exists, func, insert, literal, select, update

from schemas.payload import JsonValue
from schemas.records import ManifestProblem, ManifestRow
from schemas.tables import jobs, manifest_problems, manifest_rows, manifest_staged, manifest_stages
from workers.adapters.ledger.catalogs import find_catalog
from workers.adapters.ledger.database import clock, slices
from workers.adapters.ledger.ending import delete_bounded
from workers.adapters.ledger.part import LedgerPart, lock_job
from workers.errors import ContractError, NotFoundError

_ROWS: Final = 2000
"""Rows a staging transaction takes: some 20 ms of SQLite's one writer."""
_FORGOTTEN_AFTER_S: Final = 86_400.0
"""A stage this old belongs to a process that died: parsing a manifest takes minutes."""
_MAX_PROBLEM_CHARACTERS: Final = 500
"""A problem is part of a key, and Postgres takes keys of 2,700 bytes."""


class ManifestsPart(LedgerPart):
    """Implements `workers.ports.ledger.Manifests`."""

    def stage_manifest(self, catalog: str, stage: str, rows: Iterable[ManifestRow]) -> Sequence[ManifestProblem]:
        """Write rows under a stage id in bounded transactions. Staging again begins again.

        Raises:
            ContractError: the stage was adopted, or is another catalog's.
        """
        self._open_stage(catalog, stage)
        problems: list[ManifestProblem] = []
        remaining = iter(rows)
        while some := list(islice(remaining, _ROWS)):  # the parser is asked outside of the transaction
            with self._database.write() as tx:
                problems += _stage(tx, stage, some)
        return problems

    def adopt_manifest(self, catalog: str, stage: str) -> int:
        """Make the staged rows the catalog's manifest in one transaction; how many rows it has now. Adopting a stage
        again changes nothing.

        Raises:
            NotFoundError: there is no such catalog, or nothing was staged under that id for it.
        """
        with self._database.write() as tx:
            find_catalog(tx, catalog)
            row = _stage_row(tx, stage)
            if row is None or row.catalog != catalog:
                raise NotFoundError(f"no manifest is staged as {stage!r} for catalog {catalog!r}")
            if not row.adopted:
                self._replace(tx, catalog, stage)
                tx.execute(update(manifest_stages).where(manifest_stages.c.stage == stage).values(adopted=True))
            mine = select(func.count()).select_from(manifest_rows).where(manifest_rows.c.catalog == catalog)
            rows: int = tx.execute(mine).scalar_one()
        delete_bounded(self._database, manifest_staged, manifest_staged.c.stage == stage)
        return rows

    def discard_manifest(self, stage: str) -> None:
        """Forget staged rows; an unknown stage is harmless, an adopted manifest stays."""
        delete_bounded(self._database, manifest_staged, manifest_staged.c.stage == stage)
        with self._database.write() as tx:
            tx.execute(delete(manifest_stages).where(manifest_stages.c.stage == stage))

    def manifest_rows(
        self, catalog: str, *, stage: str | None = None, after: str | None = None, limit: int = 5000
    ) -> Sequence[ManifestRow]:
        """Rows of the adopted (or the staged) manifest by key in byte order."""
        table = manifest_rows if stage is None else manifest_staged
        these = table.c.catalog == catalog if stage is None else table.c.stage == stage
        query = select(table).where(these, table.c.key > (after or "")).order_by(table.c.key).limit(limit)
        with self._database.read() as tx:
            return [to_manifest_row(row) for row in tx.execute(query)]

    def note_manifest_problems(self, job_id: str, problems: Sequence[ManifestProblem]) -> None:
        """Keep the problems with the job, for its report. Noting one again is harmless."""
        rows = [
            {"job_id": job_id, "line": problem.line, "key": problem.key}
            | {"problem": problem.problem[:_MAX_PROBLEM_CHARACTERS]}
            for problem in problems
        ]
        mine = select(func.count()).select_from(manifest_problems).where(manifest_problems.c.job_id == job_id)
        noted = update(jobs).where(jobs.c.id == job_id).values(manifest_problems=mine.scalar_subquery())
        for some in slices(rows, _ROWS):
            with self._database.write() as tx:
                lock_job(tx, job_id)
                tx.execute(self._database.insert(manifest_problems).on_conflict_do_nothing(), some)
                tx.execute(noted)

    def manifest_problems(self, job_id: str, *, limit: int = 1000) -> Sequence[ManifestProblem]:
        """Problems kept with the job, by line."""
        query = select(manifest_problems).where(manifest_problems.c.job_id == job_id)
        query = query.order_by(manifest_problems.c.line, manifest_problems.c.problem).limit(limit)
        with self._database.read() as tx:
            found = tx.execute(query).all()
        return [ManifestProblem(line=row.line, key=row.key, problem=row.problem) for row in found]

    def _open_stage(self, catalog: str, stage: str) -> None:
        """An empty stage of that id; what died processes of the catalog left is swept on the way."""
        age = manifest_stages.c.created_at < clock() - _FORGOTTEN_AFTER_S
        with self._database.read() as tx:
            row = _stage_row(tx, stage)
            mine = select(manifest_stages.c.stage).where(manifest_stages.c.catalog == catalog, age)
            swept = list(tx.execute(mine).scalars())
        if row is not None and (row.adopted or row.catalog != catalog):
            raise ContractError(f"stage {stage!r} of catalog {row.catalog!r} cannot be staged again: use a fresh id")
        for old in {*swept, stage}:
            self.discard_manifest(old)
        with self._database.write() as tx:
            tx.execute(insert(manifest_stages).values(stage=stage, catalog=catalog, created_at=clock()))

    def _replace(self, tx: Connection, catalog: str, stage: str) -> None:
        """Let the catalog's manifest be what is staged; rows of which the file says what it said before are not written: an
        update of them stays. So does a row that updates made and no file has ever had.
        """
        staged, kept = manifest_staged, manifest_rows
        still = exists().where(staged.c.stage == stage, staged.c.key == kept.c.key)
        ever = func.coalesce(kept.c.base_digest, "a file's") != ""
        tx.execute(delete(kept).where(kept.c.catalog == catalog, ever, ~still))
        names = ("digest", "fields", "line", "product_id")
        source = select(literal(catalog), staged.c.key, *(staged.c[name] for name in names))
        new = self._database.insert(kept).from_select(["catalog", "key", *names], source.where(staged.c.stage == stage))
        values: dict[str, Any] = {name: new.excluded[name] for name in names} | {"base_digest": None}
        moved = kept.c.base_digest.is_(None) & (kept.c.line != new.excluded.line)
        differs = (func.coalesce(kept.c.base_digest, kept.c.digest) != new.excluded.digest) | moved
        tx.execute(new.on_conflict_do_update(index_elements=["catalog", "key"], set_=values, where=differs))


def to_manifest_row(row: Row[Any]) -> ManifestRow:
    """A stored row as the value the core knows."""
    base = getattr(row, "base_digest", None)  # staged rows have none
    return ManifestRow(key=row.key, digest=row.digest, fields=row.fields, line=row.line, base_digest=base)


def product_of(fields: Mapping[str, JsonValue]) -> str | None:
    """The product that a row's fields name."""
    product = fields.get("product_id")
    return product if isinstance(product, str) else None


def _stage_row(tx: Connection, stage: str) -> Row[Any] | None:
    return tx.execute(select(manifest_stages).where(manifest_stages.c.stage == stage)).one_or_none()


def _stage(tx: Connection, stage: str, rows: Sequence[ManifestRow]) -> list[ManifestProblem]:
    """Insert the rows whose key is not staged yet; the others are problems."""
    lines: dict[str, int] = {}
    for some in slices([row.key for row in rows]):
        these = (manifest_staged.c.stage == stage, manifest_staged.c.key.in_(some))
        lines |= {
            row[0]: row[1] for row in tx.execute(select(manifest_staged.c.key, manifest_staged.c.line).where(*these))
        }
    fresh: list[dict[str, Any]] = []
    problems: list[ManifestProblem] = []
    for row in rows:
        first = lines.get(row.key)
        if first is None:
            lines[row.key] = row.line
            values = {"digest": row.digest, "fields": dict(row.fields), "line": row.line}
            values |= {"product_id": product_of(row.fields)}
            fresh.append({"stage": stage, "key": row.key} | values)
        else:
            twice = f"the key stands in line {first} and again in line {row.line}; line {first} counts"
            problems.append(ManifestProblem(line=row.line, key=row.key, problem=twice))
    if fresh:
        tx.execute(insert(manifest_staged), fresh)
    return problems
