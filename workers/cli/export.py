"""A job's failures as a CSV file that a spreadsheet may open without running anything."""

from __future__ import annotations

import csv
import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

from workers.cli.text import readable

if TYPE_CHECKING:
    from workers.ports import Ledger

COLUMNS: Final = ("key", "outcome", "reason", "detail", "attempts", "at")
PAGE: Final = 1000
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")
"""What makes a spreadsheet take a cell for a formula (OWASP, "CSV Injection")."""


def write_failures(ledger: Ledger, job_id: str, path: Path) -> int:
    """Write them in key order, page by page; how many. The file appears whole or not at all."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    written, after = 0, None
    try:
        with part.open("w", encoding="utf-8", newline="") as file:
            rows = csv.writer(file)
            rows.writerow(COLUMNS)
            while page := ledger.failures(job_id, after=after, limit=PAGE):
                for row in page:
                    at = row.at.isoformat(timespec="seconds")
                    texts = (row.key, row.kind.value, row.reason.value, row.detail)
                    rows.writerow([*map(harmless, texts), row.attempts, at])
                written, after = written + len(page), page[-1].key
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    return written


def harmless(text: str) -> str:
    """The text itself, behind an apostrophe where a spreadsheet would take it for a formula."""
    return readable(f"'{text}" if text.startswith(_FORMULA) else text)
