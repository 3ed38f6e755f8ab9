"""Jobs of single keys, alone and beside scans: nothing is lost, nothing old wins."""

from __future__ import annotations

import pytest

from schemas.messages import IndexBatch
from schemas.records import AskedKey, JobKind, JobOptions, JobState
from tests.support.workshops import Indexer, picture, settled
from workers.adapters.memory import ColourGridEmbedder
from workers.errors import ContractError, NotFoundError
from workers.indexing.jobs import advance, run_batch
from workers.ports.inbox import MAX_JOB_KEYS


@pytest.fixture
def shop() -> Indexer:
    made = Indexer()
    for number in range(10):
        made.store.put(f"{number:03d}.jpg", picture(number))
    settled(made.sync())
    return made


def same_as_a_full_sync(shop: Indexer) -> None:
    """A sync finds nothing to do, and index and source hold the same keys."""
    job = shop.sync()
    assert (job.planned, job.counts.deleted) == (0, 0), job.counts
    assert shop.indexed_keys() == [listed.key for listed in shop.store.list()]


def test_new_changed_unchanged_and_gone_keys_are_told_apart(shop: Indexer) -> None:
    shop.store.put("new.jpg", picture(100))
    shop.store.put("000.jpg", picture(101))
    shop.store.delete("001.jpg")
    before = shop.embedder.images_embedded
    (job,) = shop.look_at("new.jpg", "000.jpg", "001.jpg", "002.jpg", "never-there.jpg", "notes.txt")
    settled(job)
    counts = job.counts
    assert (counts.new, counts.changed, counts.unchanged, counts.deleted, counts.ignored) == (1, 1, 1, 1, 0)
    assert shop.embedder.images_embedded == before + 2
    same_as_a_full_sync(shop)


def test_looking_twice_changes_nothing(shop: Indexer) -> None:
    shop.store.put("new.jpg", picture(100))
    shop.look_at("new.jpg")
    before = shop.embedder.images_embedded
    (again,) = shop.look_at("new.jpg")
    assert (again.planned, shop.embedder.images_embedded) == (0, before)


def test_deletes_of_named_keys_need_nobodys_word() -> None:
    shop = Indexer()
    for number in range(100):
        shop.store.put(f"{number:03d}.jpg", picture(number % 7))
    settled(shop.sync())
    for number in range(90):
        shop.store.delete(f"{number:03d}.jpg")
    (job,) = shop.look_at(*(f"{number:03d}.jpg" for number in range(90)))
    assert settled(job).counts.deleted == 90
    same_as_a_full_sync(shop)


def test_the_same_idempotency_key_makes_one_job_and_too_many_keys_none(shop: Indexer) -> None:
    (first,) = shop.look_at("000.jpg", idempotency_key="mine")
    (second,) = shop.look_at("001.jpg", idempotency_key="mine")
    assert first.id == second.id
    with pytest.raises(ContractError, match="5,000"):
        shop.look_at(*(f"{number}.jpg" for number in range(MAX_JOB_KEYS + 1)))
    with pytest.raises(NotFoundError):
        shop.ledger.create_keys_jobs("other", [], options=JobOptions(), idempotency_key="1")


def test_globs_of_the_latest_sync_hold_for_what_is_new_and_not_for_what_is_known(shop: Indexer) -> None:
    settled(shop.sync(options=JobOptions(include=("women/**",))))
    shop.store.put("men/a.jpg", picture(50))
    shop.store.put("women/a.jpg", picture(51))
    shop.store.put("000.jpg", picture(52))
    shop.ledger.post("shop", [AskedKey(key=key) for key in ("men/a.jpg", "women/a.jpg", "000.jpg")])
    (job,) = shop.take_inbox()
    assert (settled(job).counts.new, job.counts.changed, job.counts.ignored) == (1, 1, 1)
    assert "men/a.jpg" not in shop.indexed_keys()


def test_a_job_of_keys_runs_beside_an_open_sync_and_newer_wins(shop: Indexer) -> None:
    """The sync has claimed and not fetched; the event's job overtakes it; what the sync writes afterwards loses nothing."""
    shop.store.put("000.jpg", picture(200))
    sync = shop.submit().job
    advance(shop.workshop, sync.id)
    shop.store.put("000.jpg", picture(201))
    shop.store.put("fresh.jpg", picture(202))
    asked = [AskedKey(key="000.jpg"), AskedKey(key="fresh.jpg")]
    (beside,) = shop.ledger.create_keys_jobs("shop", asked, options=JobOptions(), idempotency_key="e")
    waiting = list(shop.messages)
    shop.messages.clear()
    assert shop.work(beside).state is JobState.DONE
    shop.messages.extend(waiting)
    settled(shop.work(sync))
    shop.take_inbox()
    same_as_a_full_sync(shop)


def test_an_image_that_comes_back_while_a_sync_is_about_to_delete_it_stays(shop: Indexer) -> None:
    shop.store.delete("003.jpg")
    sync = shop.submit().job
    held: list[IndexBatch] = []
    shop.work(sync, steps=1)
    while shop.messages:  # up to the batch of deletes, which waits in the queue
        message = shop.messages.popleft()
        if isinstance(message, IndexBatch):
            held.append(message)
        else:
            advance(shop.workshop, message.job_id)
    assert held, "the sync has planned its delete"
    shop.store.put("003.jpg", picture(300))
    shop.look_at("003.jpg")
    for message in held:
        run_batch(shop.workshop, message)
    shop.work(sync)
    shop.take_inbox()
    same_as_a_full_sync(shop)


@pytest.mark.parametrize("moment", ["before the scan", "before its batch", "after its batch"])
@pytest.mark.parametrize("change", ["new", "changed", "gone"])
def test_a_reindex_misses_no_event(shop: Indexer, moment: str, change: str) -> None:
    shop.embedder = ColourGridEmbedder(name="another")
    reindex = shop.submit_reindex().job
    key = "new.jpg" if change == "new" else "004.jpg"

    def event() -> None:
        if change == "gone":
            shop.store.delete(key)
        else:
            shop.store.put(key, picture(400))
        shop.ledger.post("shop", [AskedKey(key=key)])
        waiting = list(shop.messages)
        shop.messages.clear()
        assert len(shop.take_inbox()) == 2
        shop.messages.extend(waiting)

    if moment == "before the scan":
        event()
    else:
        advance(shop.workshop, reindex.id)
        if moment == "after its batch":
            batch = shop.messages.popleft()
            assert isinstance(batch, IndexBatch)
            run_batch(shop.workshop, batch)
            shop.messages.clear()
        event()
    assert shop.work(reindex).state is JobState.DONE
    shop.take_inbox()
    assert shop.payload("000.jpg")["model_digest"] == shop.embedder.card.digest
    same_as_a_full_sync(shop)


def test_a_reindex_that_begins_with_an_event_in_hand_takes_it_along(shop: Indexer) -> None:
    """The event's job was made for the old generation alone, and is not even planned when the new one has been filled."""
    shop.store.put("new.jpg", picture(500))
    asked = [AskedKey(key="new.jpg")]
    (old,) = shop.ledger.create_keys_jobs("shop", asked, options=JobOptions(), idempotency_key="e")
    settled(shop.reindex(ColourGridEmbedder(name="another")))
    assert shop.ledger.job(old.id).state is JobState.CANCELLED
    same_as_a_full_sync(shop)


def test_a_job_of_keys_that_lost_its_worker_is_taken_up(shop: Indexer) -> None:
    for number in range(20, 30):
        shop.store.put(f"{number:03d}.jpg", picture(number))
    asked = [AskedKey(key=f"{number:03d}.jpg") for number in range(20, 30)]
    (job,) = shop.ledger.create_keys_jobs("shop", asked, options=JobOptions(), idempotency_key="e")
    shop.work(job, steps=1)
    ended = shop.lose_everything_in_flight(job)
    assert (settled(ended).kind, ended.counts.indexed) == (JobKind.KEYS, 10)
    same_as_a_full_sync(shop)
