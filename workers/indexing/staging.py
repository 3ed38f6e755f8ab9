"""A manifest on its way into the ledger."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

from schemas.ids import new_id
from schemas.records import Catalog, Job, ManifestProblem
from workers.errors import ContractError
from workers.indexing.manifest import read_manifest
from workers.indexing.plan import manifest_rows
from workers.ports import Ledger


@dataclass(frozen=True, kw_only=True, slots=True)
class StagedSummary:
    """What a person is told of a manifest; all empty without one."""

    problems: tuple[ManifestProblem, ...] = ()
    """Rows left out, by line."""
    unknown_columns: tuple[str, ...] = ()
    missing_columns: tuple[str, ...] = ()
    """Fields the catalog keeps that this manifest does not have."""


class StagedManifest:
    """A manifest on its way into the ledger: read and staged when it is made, adopted only together with its job."""

    def __init__(self, catalog: Catalog, manifest: Path | None, *, ledger: Ledger) -> None:
        self._catalog = catalog
        self._ledger = ledger
        self._stage: str | None = None
        self.summary = StagedSummary()
        if manifest is None:
            return
        self._stage = new_id()
        try:
            reading = read_manifest(manifest, source_url=catalog.source_url, extra_fields=catalog.extra_fields)
            repeated = ledger.stage_manifest(catalog.name, self._stage, reading.rows())
            if not ledger.manifest_rows(catalog.name, stage=self._stage, limit=1):
                # Adopting it would clear every product's fields: an export that failed, most likely.
                raise ContractError(f"{manifest} has no usable row; {_first(reading.problems)}")
        except BaseException:
            self.discard()
            raise
        self.summary = StagedSummary(
            problems=tuple(sorted((*repeated, *reading.problems), key=lambda problem: problem.line)),
            unknown_columns=reading.unknown_columns,
            missing_columns=reading.missing_extra_fields,
        )

    def adopt(self, job: Job) -> StagedSummary:
        """Make the staged rows the catalog's manifest and keep what was left out with the job."""
        if self._stage is not None:
            self._ledger.adopt_manifest(self._catalog.name, self._stage)
            self._ledger.note_manifest_problems(job.id, self.summary.problems)
        return self.summary

    def differs(self) -> bool:
        """Whether adopting the staged rows would change the catalog's manifest."""
        if self._stage is None:
            return False
        old = (row for row in manifest_rows(self._ledger, self._catalog.name) if row.file_digest)
        new = manifest_rows(self._ledger, self._catalog.name, stage=self._stage)
        pairs = zip_longest(old, new)
        return any(a is None or b is None or (a.key, a.file_digest) != (b.key, b.digest) for a, b in pairs)

    def discard(self) -> None:
        """Forget the staged rows."""
        if self._stage is not None:
            self._ledger.discard_manifest(self._stage)


def _first(problems: Sequence[ManifestProblem]) -> str:
    return (
        f"the first one left out, line {problems[0].line}: {problems[0].problem}"
        if problems
        else "it ends after its header"
    )
