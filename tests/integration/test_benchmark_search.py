"""The search benchmark runs, small, and its figures are complete."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_a_small_run_measures_every_arm_and_perfect_recall(tmp_path: Path) -> None:
    target = tmp_path / "search.json"
    done = subprocess.run(
        [
            *(sys.executable, "-m", "benchmarks.search", "--points", "1500", "--queries", "10", "--rounds", "2"),
            *("--only", "quiet", "upserts", "--upsert-s", "1", "--json", str(target)),
        ],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
    figures = json.loads(target.read_text())
    assert figures["fill"]["upserted"] == 1_500
    assert "cpu" in figures["machine"]
    for name, case in figures["quiet"].items():
        assert case["recall"] == 1.0, name  # so few points are compared one by one
        for arm in ("SocketIndex", "numpy scan", "Edge, no HNSW", "qdrant-client local"):
            assert case[arm]["calls"] == (2 if arm == "qdrant-client local" else 20)
            assert 0 < case[arm]["p50_ms"] <= case[arm]["p95_ms"] <= case[arm]["max_ms"]
    assert figures["upserts"]["points_per_s"] > 0
    assert figures["upserts"]["all"]["calls"] >= 10
