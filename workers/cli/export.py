"""A job's failures, written to a file."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from workers.failures_csv import csv_pages

if TYPE_CHECKING:
    from workers.failures_csv import Failures


def write_failures(source: Failures, job_id: str, path: Path) -> int:
    """Write them in key order, page by page; how many. The file appears whole or not at all."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    written = 0
    try:
        with part.open("w", encoding="utf-8", newline="") as file:
            for images, text in csv_pages(source, job_id):
                file.write(text)
                written += images
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    return written
