"""From a source to an index and back to the ledger, on the in-memory twins: what a job does to every kind of image."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from schemas.outcomes import OutcomeKind, Reason
from schemas.records import JobOptions, JobState
from tests.support.workshops import Indexer, picture, settled
from workers.errors import ContractError, JobConflictError
from workers.indexing.preview import preview


@pytest.fixture
def indexer() -> Indexer:
    made = Indexer()
    for number in range(40):
        made.store.put(f"images/{number:03d}.jpg", picture(number))
    return made


def test_every_image_becomes_a_searchable_point(indexer: Indexer) -> None:
    job = settled(indexer.sync())
    assert (job.counts.seen, job.counts.new, job.counts.indexed) == (40, 40, 40)
    assert len(indexer.indexed_keys()) == 40
    payload = indexer.payload("images/007.jpg")
    assert payload["category"] == payload["category_predicted"]
    assert payload["model_digest"] == indexer.embedder.card.digest
    assert payload["width"] == 48


def test_a_second_run_reads_nothing(indexer: Indexer) -> None:
    indexer.sync()
    embedded = indexer.embedder.images_embedded
    job = settled(indexer.sync())
    assert (job.counts.unchanged, job.counts.new, job.planned) == (40, 0, 0)
    assert indexer.embedder.images_embedded == embedded


def test_a_changed_image_gets_a_new_vector_and_a_vanished_one_leaves(indexer: Indexer) -> None:
    indexer.sync()
    before = indexer.index.retrieve(
        indexer.collection, [p.id for p in indexer.index.scroll(indexer.collection)], with_vectors=True
    )
    old = {point.payload.key: point.vector for point in before}
    indexer.store.put("images/001.jpg", picture(1001))
    indexer.store.delete("images/002.jpg")
    job = settled(indexer.sync())
    assert (job.counts.changed, job.counts.deleted, job.counts.indexed, job.counts.unchanged) == (1, 1, 1, 38)
    assert "images/002.jpg" not in indexer.indexed_keys()
    after = indexer.index.retrieve(
        indexer.collection, [p.id for p in indexer.index.scroll(indexer.collection)], with_vectors=True
    )
    new = {point.payload.key: point.vector for point in after}
    assert not np.allclose(old["images/001.jpg"], new["images/001.jpg"])
    assert np.allclose(old["images/003.jpg"], new["images/003.jpg"])


def test_a_key_that_returns_after_its_delete_is_indexed_again(indexer: Indexer) -> None:
    indexer.sync()
    indexer.store.delete("images/002.jpg")
    indexer.sync()
    indexer.store.put("images/002.jpg", picture(2))
    job = settled(indexer.sync())
    assert job.counts.new == 1
    assert "images/002.jpg" in indexer.indexed_keys()


def test_equal_bytes_are_embedded_once(indexer: Indexer) -> None:
    for copy in range(5):
        indexer.store.put(f"copies/{copy}.jpg", picture(0))
    job = settled(indexer.sync())
    assert (job.counts.indexed, job.counts.duplicates) == (40, 5)
    assert indexer.embedder.images_embedded == 40
    indexer.store.put("copies/later.jpg", picture(1))
    later = settled(indexer.sync())
    assert (later.counts.indexed, later.counts.duplicates) == (0, 1)
    assert indexer.embedder.images_embedded == 40
    assert len(indexer.indexed_keys()) == 46
    assert indexer.payload("copies/later.jpg")["category"] == indexer.payload("images/001.jpg")["category"]


def test_bad_images_are_quarantined_with_their_reason_and_stop_nobody(indexer: Indexer) -> None:
    indexer.store.put("images/empty.jpg", b"")
    indexer.store.put("images/text.jpg", b"<html>not found</html>" * 20)
    indexer.store.put("images/cut.jpg", picture(500)[:400])
    job = settled(indexer.sync())
    assert (job.counts.indexed, job.counts.quarantined) == (40, 3)
    reasons = {row.key: row.reason for row in indexer.ledger.quarantine("shop")}
    assert reasons == {
        "images/empty.jpg": Reason.EMPTY,
        "images/text.jpg": Reason.NOT_AN_IMAGE,
        "images/cut.jpg": Reason.TRUNCATED,
    }
    again = settled(indexer.sync())
    assert (again.counts.unchanged, again.planned) == (43, 0)


def test_a_mended_image_leaves_quarantine(indexer: Indexer) -> None:
    indexer.store.put("images/cut.jpg", picture(500)[:400])
    indexer.sync()
    indexer.store.put("images/cut.jpg", picture(500))
    job = settled(indexer.sync())
    assert (job.counts.changed, job.counts.indexed) == (1, 1)
    assert not indexer.ledger.quarantine("shop")


def test_an_image_that_breaks_leaves_the_index(indexer: Indexer) -> None:
    indexer.sync()
    indexer.store.put("images/005.jpg", b"garbage, no image")
    settled(indexer.sync())
    assert "images/005.jpg" not in indexer.indexed_keys()


def test_retry_takes_the_quarantined_ones_only(indexer: Indexer) -> None:
    indexer.store.put("images/cut.jpg", picture(500)[:400])
    indexer.sync()
    indexer.limits = type(indexer.limits)(max_bytes=indexer.limits.max_bytes)
    job = settled(indexer.retry())
    assert (job.counts.retried, job.counts.quarantined, job.planned) == (1, 1, 1)
    (row,) = indexer.ledger.quarantine("shop")
    assert row.attempts == 2


def test_files_that_are_no_images_by_name_are_ignored(indexer: Indexer) -> None:
    indexer.store.put("images/readme.txt", b"hello")
    indexer.store.put(".hidden/a.jpg", picture(1))
    job = settled(indexer.sync())
    assert (job.counts.seen, job.counts.ignored, job.counts.quarantined) == (40, 2, 0)


def test_globs_limit_a_run_and_leave_the_rest_alone(indexer: Indexer) -> None:
    indexer.sync()
    indexer.store.put("women/a.jpg", picture(900))
    indexer.store.put("men/a.jpg", picture(901))
    job = settled(indexer.sync(options=JobOptions(include=("women/**",))))
    assert (job.counts.new, job.counts.deleted) == (1, 0)
    assert len(indexer.indexed_keys()) == 41


def test_many_vanished_images_wait_for_a_person() -> None:
    indexer = Indexer()
    for number in range(200):
        indexer.store.put(f"{number:03d}.jpg", picture(number % 3))
    indexer.sync()
    for number in range(60):
        indexer.store.delete(f"{number:03d}.jpg")
    job = indexer.sync()
    assert job.state is JobState.AWAITING_CONFIRMATION
    assert "60 of 200" in (job.error or "")
    assert len(indexer.indexed_keys()) == 200
    done = settled(indexer.work(indexer.ledger.confirm_deletes(job.id)))
    assert done.counts.deleted == 60
    assert len(indexer.indexed_keys()) == 140


def test_images_that_come_back_need_no_confirmation() -> None:
    indexer = Indexer()
    for number in range(200):
        indexer.store.put(f"{number:03d}.jpg", picture(number % 3))
    indexer.sync()
    for number in range(60):
        indexer.store.delete(f"{number:03d}.jpg")
    waiting = indexer.sync()
    for number in range(60):
        indexer.store.put(f"{number:03d}.jpg", picture(number % 3))
    job = settled(indexer.sync())
    assert job.id != waiting.id
    assert job.counts.deleted == 0
    assert indexer.ledger.job(waiting.id).state is JobState.CANCELLED
    assert len(indexer.indexed_keys()) == 200


def test_another_source_under_an_existing_name_is_refused(indexer: Indexer) -> None:
    indexer.sync()
    other = Indexer(ledger=indexer.ledger, index=indexer.index)
    other.store = type(other.store)("elsewhere")
    other.store.put("a.jpg", picture(1))
    with pytest.raises(ContractError, match="choose another"):
        other.submit()


def test_a_job_that_lost_its_worker_ends_with_every_image_once(indexer: Indexer) -> None:
    job = indexer.submit().job
    indexer.work(job, steps=1)  # planned and published, nothing indexed
    lease = indexer.ledger.claim_batch(indexer.messages[0].batch_id, worker="test", lease_s=20.0)  # type: ignore[union-attr]
    assert lease is not None
    done = settled(indexer.lose_everything_in_flight(job))
    assert (done.counts.seen, done.counts.new, done.counts.indexed) == (40, 40, 40)
    assert len(indexer.indexed_keys()) == 40


def test_the_same_command_takes_up_an_unfinished_job_and_another_is_refused(indexer: Indexer) -> None:
    first = indexer.submit()
    again = indexer.submit()
    assert (again.job.id, again.resumed) == (first.job.id, True)
    with pytest.raises(JobConflictError, match="not finished"):
        indexer.submit(options=JobOptions(include=("a/*",)))


def test_cancel_stops_and_keeps_what_is_indexed(indexer: Indexer) -> None:
    job = indexer.submit().job
    indexer.work(job, steps=1)
    indexer.ledger.request_cancel(job.id)
    ended = indexer.work(job)
    assert ended.state is JobState.CANCELLED
    assert settled(indexer.sync()).counts.indexed == 40


MANIFEST = "image,product_id,category,brand,price,in_stock,colour\n"


def write_manifest(tmp_path: Path, *rows: str) -> Path:
    path = tmp_path / "manifest.csv"
    path.write_text(MANIFEST + "".join(f"{row}\n" for row in rows), encoding="utf-8")
    return path


def test_a_manifest_fills_the_payload_and_a_changed_row_costs_no_inference(indexer: Indexer, tmp_path: Path) -> None:
    manifest = write_manifest(
        tmp_path,
        "images/000.jpg,P1,T-Shirts,Acme,19.90,true,red",
        "images/001.jpg,P1,Gizmo,Acme,19.90,true,red",
        "images/999.jpg,P9,Dress,Acme,1.00,true,red",
        "images/002.jpg,P2,Dress,Acme,cheap,true,red",
    )
    first = settled(indexer.sync(manifest=manifest))
    assert (first.manifest_problems, first.counts.manifest_orphans) == (1, 1)
    payload = indexer.payload("images/000.jpg")
    assert (payload["category"], payload["category_declared"], payload["price"]) == ("t-shirt", "T-Shirts", 19.9)
    unmapped = indexer.payload("images/001.jpg")
    assert unmapped["category"] == unmapped["category_predicted"]
    embedded = indexer.embedder.images_embedded

    changed = write_manifest(tmp_path, "images/000.jpg,P1,Dress,Acme,9.90,false,red")
    second = settled(indexer.sync(manifest=changed))
    assert (second.counts.payload_updated, second.counts.unchanged) == (2, 40)
    payload = indexer.payload("images/000.jpg")
    assert (payload["category"], payload["price"], payload["in_stock"]) == ("dress", 9.9, False)
    cleared = indexer.payload("images/001.jpg")
    assert not {"product_id", "brand", "price", "category_declared"} & cleared.keys()
    assert indexer.embedder.images_embedded == embedded

    remembered = settled(indexer.sync())
    assert (remembered.counts.payload_updated, remembered.planned) == (0, 0)


def test_a_dry_run_says_what_would_happen_and_changes_nothing(indexer: Indexer, tmp_path: Path) -> None:
    indexer.sync()
    indexer.store.put("new.jpg", picture(77))
    indexer.store.delete("images/000.jpg")
    manifest = write_manifest(tmp_path, "images/001.jpg,P1,Dress,Acme,9.90,true,red")
    plan, problems = preview(
        "shop", store=indexer.store, ledger=indexer.ledger, options=JobOptions(), manifest=manifest
    )
    assert (plan.counts.new, plan.vanished, plan.payload_updates, problems) == (1, 1, 1, ())
    assert len(indexer.indexed_keys()) == 40
    assert settled(indexer.sync()).counts.payload_updated == 0


def test_an_object_that_goes_between_listing_and_reading_is_no_failure(indexer: Indexer) -> None:
    job = indexer.submit().job
    indexer.work(job, steps=1)
    indexer.store.delete("images/003.jpg")
    done = settled(indexer.work(job))
    assert (done.counts.vanished, done.counts.indexed) == (1, 39)
    assert "images/003.jpg" not in indexer.indexed_keys()


def test_ledger_and_index_agree_key_by_key(indexer: Indexer) -> None:
    indexer.store.put("images/cut.jpg", picture(500)[:400])
    indexer.sync()
    searchable = [
        p.key for p in indexer.ledger.placements("shop", 1) if p.outcome in (OutcomeKind.INDEXED, OutcomeKind.DUPLICATE)
    ]
    assert searchable == indexer.indexed_keys()
