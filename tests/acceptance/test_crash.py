"""kill -9 during an ingest at 20 random moments, then the same command again: nothing is lost, doubled or blamed."""

from __future__ import annotations

import os
import random
import signal
import time
from pathlib import Path

import pytest

from schemas.outcomes import OutcomeKind
from tests.support.commands import Catalog, finished, wait_until
from tests.support.workshops import picture
from workers.adapters.ledger import open_ledger
from workers.adapters.vector_index.client import SocketIndex

IMAGES = 2400
"""Twice what 13 kills after a batch of progress let through, the fastest machine included."""
BROKEN = 12
DOUBLED = 25
KILLS = 20


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_every_image_is_indexed_once_or_quarantined_whenever_it_is_killed(tmp_path: Path, slow_bundle: Path) -> None:
    source = draw_source(tmp_path / "source")
    catalog = Catalog(home=tmp_path / "home", bundle=slow_bundle, environment={"CATALOG_THREADS": "1"})
    moments = random.Random(20)
    try:
        cut_off = 0
        for kill in range(KILLS):
            process = catalog.start("ingest", source, "--name", "shop", "--json")
            before = finished(catalog.home)
            # A third of the kills hit the start, the others the middle of the work, told by progress and not by the
            # clock: a fast machine must not end the job before its last kill.
            if kill % 3:
                wait_until(lambda: finished(catalog.home) > before or process.poll() is not None)  # noqa: B023
                time.sleep(moments.uniform(0.0, 0.03))
            else:
                time.sleep(moments.uniform(0.0, 0.5))
            cut_off += process.poll() is None
            process.kill()
            process.communicate()
            if kill % 4 == 3:
                for pid in catalog.owner_pids():
                    os.kill(pid, signal.SIGKILL)
        assert cut_off >= KILLS - 2, "the source is too small: the job ended before it could be killed"
        report = catalog.json("ingest", source, "--name", "shop")
        assert_agreement(catalog, source, report)
        again = catalog.json("ingest", source, "--name", "shop")
        assert (again["unchanged"], again["planned"]) == (IMAGES + BROKEN + DOUBLED, 0)
    finally:
        catalog.end_owner()


def draw_source(folder: Path) -> Path:
    folder.mkdir()
    for number in range(IMAGES):
        (folder / f"{number:05d}.jpg").write_bytes(picture(number))
    for number in range(DOUBLED):
        (folder / f"copy-{number:03d}.jpg").write_bytes(picture(number))
    for number in range(BROKEN):
        (folder / f"broken-{number:03d}.jpg").write_bytes(picture(10_000 + number)[: 300 + number])
    return folder


def assert_agreement(catalog: Catalog, source: Path, report: dict[str, object]) -> None:
    """Source, report, ledger and index say the same of every key."""
    keys = {path.name for path in source.iterdir()}
    broken = {key for key in keys if key.startswith("broken")}
    assert report["state"] == "done"
    assert (report["seen"], report["new"]) == (len(keys), len(keys))
    assert (report["indexed"], report["duplicates"]) == (IMAGES, DOUBLED)
    assert (report["quarantined"], report["failed"], report["vanished"]) == (BROKEN, 0, 0)

    ledger = open_ledger(f"sqlite:///{catalog.home / 'ledger.sqlite3'}")
    index = SocketIndex(catalog.home)
    try:
        placements = {p.key: p for p in ledger.placements("shop", 1, limit=10_000)}
        collection = ledger.generation("shop", 1).collection
        points = index.scroll(collection, limit=10_000)
    finally:
        ledger.close()
        index.close()
    assert set(placements) == keys
    assert {key for key, placed in placements.items() if placed.outcome is OutcomeKind.QUARANTINED} == broken
    assert {str(placed.reason) for placed in placements.values() if placed.reason} == {"truncated"}
    held = sorted(point.payload.key for point in points)
    assert held == sorted(keys - broken), "each image is one point"
    for point in points:
        placed = placements[point.payload.key]
        assert (point.id, point.payload.content_digest) == (placed.point_id, placed.content_digest)
