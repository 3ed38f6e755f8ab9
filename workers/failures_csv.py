"""A job's failures as CSV that a spreadsheet may open without running anything."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from typing import Final, Protocol

from schemas.records import QuarantineRow
from workers.readable import readable

COLUMNS: Final = ("key", "outcome", "reason", "detail", "attempts", "at")
PAGE: Final = 1000
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")
"""What makes a spreadsheet take a cell for a formula (OWASP, "CSV Injection")."""


class Failures(Protocol):
    """Whoever knows what a job left out: the ledger, or a server that is asked."""

    def failures(self, job_id: str, *, after: str | None = None, limit: int = 1000) -> Sequence[QuarantineRow]:
        """See `workers.ports.ledger.Jobs`."""
        ...


def csv_pages(source: Failures, job_id: str) -> Iterator[tuple[int, str]]:
    """The file in pieces, by key: how many images each tells of, and its text. The first is the header."""
    yield 0, _lines([COLUMNS])
    after = None
    while page := source.failures(job_id, after=after, limit=PAGE):
        yield len(page), _lines([_cells(row) for row in page])
        after = page[-1].key


def harmless(text: str) -> str:
    """The text itself, behind an apostrophe where a spreadsheet would take it for a formula."""
    return readable(f"'{text}" if text.startswith(_FORMULA) else text)


def _cells(row: QuarantineRow) -> tuple[object, ...]:
    texts = (row.key, row.kind.value, row.reason.value, row.detail)
    return (*map(harmless, texts), row.attempts, row.at.isoformat(timespec="seconds"))


def _lines(rows: Sequence[Sequence[object]]) -> str:
    text = io.StringIO(newline="")
    csv.writer(text).writerows(rows)
    return text.getvalue()
