"""From notifications to an index that agrees with the source, whatever order and however often they come."""

from __future__ import annotations

import json
from itertools import islice

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.workshops import Indexer, picture, settled
from workers.adapters.object_store.memory import MemoryObjectStore
from workers.indexing.desk import EventDesk, Receipt
from workers.indexing.events import read_notification
from workers.indexing.inbox import take_due

KEYS = [f"women/{number}.jpg" for number in range(6)]


class BucketStore(MemoryObjectStore):
    """The memory store under the name of a bucket, as events call it."""

    @property
    def url(self) -> str:
        return "s3://images/shop"


def notification(*keys: str, name: str = "ObjectCreated:Put", bucket: str = "images") -> bytes:
    made = [{"eventName": name, "s3": {"bucket": {"name": bucket}, "object": {"key": f"shop/{key}"}}} for key in keys]
    return json.dumps({"Records": made}).encode()


def filled() -> Indexer:
    shop = Indexer(store=BucketStore("source"))
    for number, key in enumerate(KEYS[:3]):
        shop.store.put(key, picture(number))
    settled(shop.sync())
    return shop


def test_an_event_becomes_a_searchable_image_and_a_strange_one_is_dropped() -> None:
    shop = filled()
    shop.store.put("women/new.jpg", picture(9))
    told = [read_notification(notification("women/new.jpg")), read_notification(notification("x", bucket="other"))]
    assert EventDesk(shop.ledger).accept(told) == Receipt(posted=1, unmatched=1)
    (job,) = take_due(shop.ledger, publish=lambda message, _: shop.messages.append(message), older_than_s=0.0)
    settled(shop.work(job))
    assert "women/new.jpg" in shop.indexed_keys()


def test_an_object_that_is_deleted_before_it_is_read_is_no_trouble() -> None:
    shop = filled()
    shop.store.put("women/new.jpg", picture(9))
    EventDesk(shop.ledger).accept([read_notification(notification("women/new.jpg"))], only="shop")
    (job,) = shop.ledger.take_inbox("shop")
    shop.work(job, steps=1)
    shop.store.delete("women/new.jpg")
    settled(shop.work(job))
    assert shop.indexed_keys() == KEYS[:3]
    assert shop.ledger.quarantine("shop") == []


def test_a_write_that_is_not_finished_is_mended_by_its_next_event() -> None:
    shop = filled()
    whole = picture(9, side=480)
    for part in (whole[: len(whole) // 2], whole):
        shop.store.put("women/new.jpg", part)
        EventDesk(shop.ledger).accept([read_notification(notification("women/new.jpg"))])
        shop.take_inbox()
    assert "women/new.jpg" in shop.indexed_keys()
    assert shop.ledger.quarantine("shop") == []


changes = st.lists(st.tuples(st.sampled_from(KEYS), st.sampled_from(["put", "delete"])), min_size=1, max_size=12)


@settings(max_examples=15, deadline=None)
@given(changes=changes, shuffle=st.randoms(use_true_random=False), data=st.data())
def test_events_in_any_order_and_number_end_where_a_full_sync_ends(
    changes: list[tuple[str, str]], shuffle: object, data: st.DataObject
) -> None:
    shop = filled()
    desk, told = EventDesk(shop.ledger), []
    for step, (key, change) in enumerate(changes):
        there = any(listed.key == key for listed in shop.store.list())
        if change == "put":
            shop.store.put(key, picture(100 + step))
            told.append(notification(key))
        elif there:
            shop.store.delete(key)
            told.append(notification(key, name="ObjectRemoved:Delete"))
        if told and data.draw(st.booleans(), label="events are worked off now"):
            seen = data.draw(st.lists(st.sampled_from(told), max_size=4), label="delivered early")
            desk.accept(read_notification(body) for body in seen)
            shop.take_inbox()
    delivered = told * 2
    shuffle.shuffle(delivered)  # type: ignore[attr-defined]
    remaining = iter(delivered)
    while some := list(islice(remaining, data.draw(st.integers(1, 5), label="in a batch"))):
        desk.accept(read_notification(body) for body in some)
        if data.draw(st.booleans(), label="taken"):
            shop.take_inbox()
    shop.take_inbox()
    after = shop.sync()
    assert (after.planned, after.counts.deleted) == (0, 0), after.counts
    assert shop.indexed_keys() == [listed.key for listed in shop.store.list()]
