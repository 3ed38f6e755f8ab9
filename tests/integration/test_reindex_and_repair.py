"""Jobs that change the ground they stand on: reindexing, confirming, superseding, and setting right what went wrong."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from schemas.ids import point_id
from schemas.messages import IndexBatch
from schemas.outcomes import OutcomeKind, Reason
from schemas.payload import Tombstone
from schemas.records import Job, JobOptions, JobState, Outcome
from tests.support.workshops import Indexer, picture, settled
from workers.adapters.memory import ColourGridEmbedder
from workers.errors import ConfigurationError, JobConflictError, NotFoundError
from workers.indexing.jobs import advance, reconcile, run_batch
from workers.indexing.submit import drop_catalog
from workers.query.search import Query, search


def filled(count: int = 60, **parts: object) -> Indexer:
    made = Indexer(**parts)  # type: ignore[arg-type]
    for number in range(count):
        made.store.put(f"{number:03d}.jpg", picture(number))
    return made


def vanish(indexer: Indexer, numbers: range) -> None:
    for number in numbers:
        indexer.store.delete(f"{number:03d}.jpg")


def test_a_reindex_moves_the_catalog_to_another_model_and_drops_the_old_index() -> None:
    indexer = filled()
    indexer.sync()
    old = indexer.collection
    job = settled(indexer.reindex(ColourGridEmbedder(name="another")))
    assert (job.counts.new, job.counts.indexed) == (60, 60)
    assert indexer.collection != old
    assert indexer.index.resolve("shop") == indexer.collection
    assert [info.spec.name for info in indexer.index.collections()] == [indexer.collection]
    assert indexer.payload("000.jpg")["model_digest"] == indexer.embedder.card.digest
    assert settled(indexer.sync()).planned == 0


def test_a_reindex_takes_what_the_catalog_knows_whatever_globs_chose_it() -> None:
    indexer = filled(5)
    for number in range(20):
        indexer.store.put(f"{number:032x}", picture(100 + number))
    indexer.sync(options=JobOptions(include=("0*",), exclude=("004.jpg",)))
    assert len(indexer.indexed_keys()) == 24
    keys = indexer.indexed_keys()
    settled(indexer.reindex(ColourGridEmbedder(name="another")))
    assert indexer.indexed_keys() == keys


def test_a_reindex_that_would_lose_much_waits_for_a_person() -> None:
    indexer = filled(200)
    indexer.sync()
    vanish(indexer, range(80))
    job = indexer.reindex(ColourGridEmbedder(name="another"))
    assert job.state is JobState.AWAITING_CONFIRMATION
    assert "80 of 200" in (job.error or "")
    assert len(indexer.indexed_keys()) == 200
    assert settled(indexer.work(indexer.ledger.confirm_deletes(job.id)))
    assert len(indexer.indexed_keys()) == 120


def test_a_reindex_that_failed_goes_on_where_it_was_and_another_model_is_refused_meanwhile() -> None:
    indexer = filled()
    indexer.sync()
    working = indexer.embedder
    another = ColourGridEmbedder(name="another")
    indexer.embedder = another
    first = indexer.work(indexer.submit_reindex().job, steps=2)
    with pytest.raises(JobConflictError):
        replace(indexer, embedder=ColourGridEmbedder(name="third")).submit_reindex()
    indexer.messages.clear()
    indexer.ledger.finish_job(first.id, JobState.FAILED, error="the store was down")
    settled(indexer.reindex(another))
    assert another.images_embedded == 60
    assert working.images_embedded == 60
    assert len(indexer.indexed_keys()) == 60


def test_a_reindex_mends_a_catalog_whose_collection_is_lost() -> None:
    indexer = filled(200)
    indexer.sync()
    indexer.index.drop(indexer.collection)
    settled(indexer.reindex(ColourGridEmbedder(name="another")))
    assert len(indexer.indexed_keys()) == 200


def test_deleted_images_do_not_come_back_as_vanished_after_a_reindex() -> None:
    indexer = filled(200)
    indexer.sync()
    settled(indexer.reindex(ColourGridEmbedder(name="another")))
    vanish(indexer, range(60))
    waiting = indexer.sync()
    settled(indexer.work(indexer.ledger.confirm_deletes(waiting.id)))
    generation = indexer.ledger.catalog("shop").active_generation
    assert generation is not None
    buried = [p.key for p in indexer.ledger.tombstones("shop", generation, older_than_s=-1.0)]
    assert len(buried) == 60
    indexer.ledger.forget_tombstones("shop", generation, buried)
    assert settled(indexer.sync()).counts.deleted == 0


def test_a_confirmation_covers_what_was_asked_for_and_no_more() -> None:
    indexer = filled(200)
    indexer.sync()
    vanish(indexer, range(60))
    job = indexer.sync()
    vanish(indexer, range(60, 200))
    indexer.store.put("only.jpg", picture(999))
    confirmed = indexer.ledger.confirm_deletes(job.id)
    again = indexer.lose_everything_in_flight(confirmed)
    assert again.state is JobState.AWAITING_CONFIRMATION
    assert "200 of" in (again.error or "")
    assert len(indexer.indexed_keys()) == 201


def test_a_resumed_job_may_be_given_its_allowance_later() -> None:
    indexer = filled(200)
    indexer.sync()
    vanish(indexer, range(60))
    cut_off = indexer.submit().job
    submitted = indexer.submit(options=JobOptions(allow_deletes=True))
    assert (submitted.job.id, submitted.resumed) == (cut_off.id, True)
    assert settled(indexer.lose_everything_in_flight(submitted.job)).counts.deleted == 60


def manifest(tmp_path: Path, price: float) -> Path:
    path = tmp_path / f"{price}.csv"
    path.write_text("image,price\n" + "".join(f"{n:03d}.jpg,{price}\n" for n in range(60)), encoding="utf-8")
    return path


def test_a_corrected_manifest_reaches_every_image_also_those_a_cut_off_job_had_done(tmp_path: Path) -> None:
    indexer = filled()
    first = indexer.submit(manifest=manifest(tmp_path, 1.0)).job
    indexer.work(first, steps=2)
    assert indexer.ledger.job(first.id).finished > 0
    indexer.messages.clear()
    second = indexer.submit(manifest=manifest(tmp_path, 2.0))
    assert second.job.id != first.id
    settled(indexer.work(second.job))
    assert {indexer.payload(key)["price"] for key in indexer.indexed_keys()} == {2.0}
    same = indexer.submit(manifest=manifest(tmp_path, 2.0))
    assert indexer.submit(manifest=manifest(tmp_path, 2.0)).job.id == same.job.id


def test_a_point_the_index_lost_is_embedded_again(tmp_path: Path) -> None:
    indexer = filled()
    indexer.sync()
    indexer.index.delete(indexer.collection, [Tombstone(id=point_id("shop", "007.jpg"), version=10**9)])
    failed = indexer.sync(manifest=manifest(tmp_path, 3.0))
    assert (failed.counts.failed, failed.counts.payload_updated) == (1, 59)
    mended = settled(indexer.sync())
    assert (mended.counts.retried, mended.counts.indexed + mended.counts.duplicates) == (1, 1)
    assert indexer.payload("007.jpg")["price"] == 3.0


def taken(indexer: Indexer) -> tuple[Job, IndexBatch]:
    """A job whose one batch is published and not claimed yet."""
    job = indexer.submit().job
    indexer.work(job, steps=1)
    (message,) = (m for m in indexer.messages if isinstance(m, IndexBatch))
    indexer.messages.clear()
    return job, message


def test_an_image_that_ended_its_worker_leaves_the_index() -> None:
    indexer = filled(3)
    indexer.sync()
    indexer.store.put("001.jpg", picture(500))
    job, message = taken(indexer)
    lease = indexer.ledger.claim_batch(message.batch_id, worker="test", lease_s=20.0)
    assert lease is not None
    blamed = Outcome(key="001.jpg", kind=OutcomeKind.QUARANTINED, reason=Reason.ENDS_WORKER, detail="never ended")
    indexer.ledger.record(lease, [blamed], lease_s=20.0)
    indexer.ledger.release_batch(lease)
    settled(indexer.lose_everything_in_flight(job))
    assert indexer.indexed_keys() == ["000.jpg", "002.jpg"]


def test_a_worker_that_cannot_load_its_model_claims_nothing() -> None:
    indexer = filled()
    job, message = taken(indexer)

    def no_model(digest: str) -> ColourGridEmbedder:
        raise ConfigurationError("no model here")

    with pytest.raises(ConfigurationError):
        run_batch(replace(indexer.workshop, embedder_for=no_model), message)
    lease = indexer.ledger.claim_batch(message.batch_id, worker="next", lease_s=20.0)
    assert lease is not None
    assert lease.losses == 0
    assert job.finished == 0


@pytest.mark.parametrize("moment", ["before the scan", "after it was published"])
def test_a_cancel_is_carried_out_whenever_it_comes(moment: str) -> None:
    indexer = filled()
    job = indexer.submit().job
    if moment == "after it was published":
        indexer.work(job, steps=1)
    indexer.ledger.request_cancel(job.id)
    while indexer.messages:
        message = indexer.messages.popleft()
        if isinstance(message, IndexBatch):
            run_batch(indexer.workshop, message)
        else:
            advance(indexer.workshop, message.job_id)
    if moment == "before the scan":
        advance(indexer.workshop, job.id)
    assert indexer.ledger.job(job.id).state is JobState.CANCELLED


def test_reconciling_sets_a_job_in_motion_whose_messages_are_lost() -> None:
    indexer = filled()
    job, _ = taken(indexer)
    reconcile(indexer.workshop, job.id)
    assert settled(indexer.work(job)).counts.indexed == 60


def test_a_query_that_is_overtaken_by_a_reindex_asks_the_new_index() -> None:
    indexer = filled()
    indexer.sync()
    another = ColourGridEmbedder(name="another")

    def load_while_switching(digest: str) -> ColourGridEmbedder:
        if digest != another.card.digest:
            settled(indexer.reindex(another))
        return another

    answer = search(
        "shop",
        Query(image=picture(7), limit=1),
        ledger=indexer.ledger,
        index=indexer.index,
        embedder_for=load_while_switching,
        limits=indexer.limits,
    )
    assert (answer.model, answer.hits[0].payload.key) == (another.card.digest, "007.jpg")
    with pytest.raises(NotFoundError):
        search(
            "shop",
            Query(likes=("nope.jpg",)),
            ledger=indexer.ledger,
            index=indexer.index,
            embedder_for=load_while_switching,
            limits=indexer.limits,
        )


def test_a_new_catalog_of_an_old_name_shares_nothing_with_it() -> None:
    indexer = filled(3)
    indexer.sync()
    old = indexer.collection
    drop_catalog("shop", ledger=indexer.ledger, index=indexer.index)
    indexer.sync()
    assert indexer.collection != old
