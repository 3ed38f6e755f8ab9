"""A few hundred of the uploads that `benchmarks/hostile_uploads.py` sends by the thousand."""

from __future__ import annotations

from benchmarks.hostile_uploads import measure


def test_the_server_stays_up_and_answers_no_5xx() -> None:
    report = measure(uploads=300, clients=4, seed=3)
    assert report["still_answers"]
    assert sum(report["answers"].values()) == 300
    assert not [status for status in report["answers"] if status.startswith("5")], report
    assert report["rss_after_mib"] < report["rss_before_mib"] + 1500, report
