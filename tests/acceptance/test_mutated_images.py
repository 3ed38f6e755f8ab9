"""1,000 damaged, disguised and hostile images: none stops the run, each is indexed or quarantined with its reason."""

from __future__ import annotations

from pathlib import Path

import pytest

from schemas.outcomes import Reason
from tests.support.commands import Catalog
from tests.support.memory import PeakMemory
from tests.support.mutations import mutated_images

MAX_PIXELS = 4_000_000
PEAK_BYTES = 700 * 1024 * 1024
"""About twice what the same command takes for harmless images: a bomb that unfolded would take gigabytes."""


@pytest.mark.slow
def test_every_mutated_image_is_indexed_or_quarantined(tmp_path: Path, tiny_bundle: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    for name, data in mutated_images(seed=3, count=1000):
        (source / name).write_bytes(data)
    named = sum(1 for path in source.iterdir() if path.suffix not in (".txt", ""))
    catalog = Catalog(home=tmp_path / "home", bundle=tiny_bundle, environment={"CATALOG_MAX_PIXELS": str(MAX_PIXELS)})
    try:
        process = catalog.start("ingest", source, "--name", "mutated", "--json")
        peak = PeakMemory(process.pid)
        output, _ = process.communicate()
        assert process.returncode == 0
        report = catalog.json("status")
        assert report["job"] in output
        assert (report["seen"], report["failed"]) == (named, 0)
        assert report["indexed"] + report["duplicates"] + report["quarantined"] == named
        assert min(report["indexed"], report["quarantined"]) > 100
        rows = catalog.run("quarantine", "--name", "mutated", "--limit", "1000", "--json").objects
        assert len(rows) == report["quarantined"]
        reasons = {Reason(row["reason"]) for row in rows}
        assert {Reason.EMPTY, Reason.NOT_AN_IMAGE, Reason.TRUNCATED, Reason.TOO_MANY_PIXELS} <= reasons
        assert 0 < peak.bytes() < PEAK_BYTES
    finally:
        catalog.end_owner()
