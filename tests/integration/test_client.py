"""Enqueueing from a program and from a message, on the embedded default: nothing but a folder and a home."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from celery import Celery

from schemas.ids import point_id
from schemas.records import Job, JobKind, JobState
from tests.support.workshops import picture
from workers.celery_app import make_app
from workers.client import Catalog
from workers.errors import ContractError, NotFoundError
from workers.settings import Settings
from workers.tasks import Tasks

IMAGES = 8
DEAD_BROKER = "redis://127.0.0.1:1/0"
"""Nobody listens on port 1."""


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a home beside it in which its images are indexed."""
    place = tmp_path_factory.mktemp("client")
    (place / "images").mkdir()
    for number in range(IMAGES):
        (place / "images" / f"{number}.jpg").write_bytes(picture(number))
    with Catalog("shop", settings=Settings(home=place / "home")) as catalog:
        ended = catalog.wait(catalog.sync(source=str(place / "images"), idempotency_key="first"))
    assert (ended.state, ended.counts.indexed) == (JobState.DONE, IMAGES)
    return place


@pytest.fixture
def place(filled: Path, tmp_path: Path) -> Path:
    """The same images and home, where nothing can be broken for others."""
    shutil.copytree(filled / "images", tmp_path / "images", dirs_exist_ok=True)
    return filled


@pytest.fixture
def catalog(place: Path) -> Iterator[Catalog]:
    with Catalog("shop", settings=Settings(home=place / "home", sources=f"file://{place}/images/")) as opened:
        yield opened


def payload(catalog: Catalog, key: str) -> dict[str, object]:
    generation = catalog._there.here("a test").ledger.generations("shop")[0]
    (point,) = catalog._there.here("a test").index.retrieve(generation.collection, [point_id("shop", key)])
    return point.payload.to_json()


def test_a_key_is_written_once_and_worked_off_by_whoever_waits(catalog: Catalog, place: Path) -> None:
    (place / "images" / "new.jpg").write_bytes(picture(100))
    job = catalog.index_keys(["new.jpg", "new.jpg", "0.jpg"], idempotency_key="look")
    assert (job.kind, job.state) == (JobKind.KEYS, JobState.RUNNING)
    assert catalog.index_keys(["other.jpg"], idempotency_key="look").id == job.id
    ended = catalog.wait(job.id[:8], timeout_s=60)
    assert (ended.counts.new, ended.counts.unchanged) == (1, 1)
    (place / "images" / "new.jpg").unlink()
    assert catalog.wait(catalog.delete_keys(["new.jpg", "1.jpg"])).counts.deleted == 1
    assert payload(catalog, "1.jpg")["key"] == "1.jpg"


def test_a_sync_is_made_once_for_its_key_and_only_from_an_allowed_source(catalog: Catalog, place: Path) -> None:
    again = catalog.sync(idempotency_key="first")
    assert (again.state, again.counts.indexed) == (JobState.DONE, IMAGES)
    assert catalog.wait(catalog.sync(source=str(place / "images"))).planned == 0
    with pytest.raises(ContractError, match="CATALOG_SOURCES"):
        catalog.sync(source=str(place / "home"))
    with pytest.raises(ContractError, match="sync job"):
        catalog.reindex(idempotency_key="first")


def test_fields_are_updated_without_embedding_and_a_sync_does_not_undo_it(catalog: Catalog) -> None:
    (job,) = catalog.update({"price": 19.9, "product_id": "P1", "in_stock": "no"}, keys=["2.jpg", "3.jpg"])
    assert catalog.wait(job).counts.payload_updated == 2
    (job,) = catalog.update({"price": "12,50"}, products=["P1"], idempotency_key="sale")
    catalog.update({"price": 1}, products=["P1"], idempotency_key="sale")
    ended = catalog.wait(job)
    assert (ended.counts.payload_updated, ended.counts.indexed, ended.planned) == (2, 0, 2)
    found = payload(catalog, "3.jpg")
    assert (found["price"], found["in_stock"], found["product_id"]) == (12.5, False, "P1")
    assert catalog.wait(catalog.sync()).planned == 0
    (job,) = catalog.update({"in_stock": None}, keys=["3.jpg"])
    catalog.wait(job)
    assert "in_stock" not in payload(catalog, "3.jpg")


@pytest.mark.parametrize(
    ("fields", "target", "said"),
    [
        ({"colour_code": "x"}, {"keys": ["2.jpg"]}, "colour_code"),
        ({"key": "x"}, {"keys": ["2.jpg"]}, "keeps no field 'key'"),
        ({"price": "cheap"}, {"keys": ["2.jpg"]}, "price"),
        ({}, {"keys": ["2.jpg"]}, "nothing to set"),
        ({"price": 1}, {}, "name at least one"),
        ({"price": 1}, {"keys": ["none.jpg"]}, "none.jpg"),
        ({"price": 1}, {"products": ["none"]}, "none"),
    ],
)
def test_an_update_that_cannot_be_meant_is_refused_in_a_line(
    catalog: Catalog, fields: dict[str, object], target: dict[str, list[str]], said: str
) -> None:
    before = len(catalog._there.here("a test").ledger.jobs(limit=1000))
    with pytest.raises(ContractError, match=said):
        catalog.update(fields, **target)  # type: ignore[arg-type]
    assert len(catalog._there.here("a test").ledger.jobs(limit=1000)) == before


def test_a_catalog_that_is_not_there_is_named(place: Path) -> None:
    with Catalog("none", settings=Settings(home=place / "home")) as none:
        for call in (none.reindex, none.sync, none.retry, lambda: none.index_keys(["a"])):
            with pytest.raises(NotFoundError, match="'none'"):
                call()


def test_a_job_is_safe_when_the_broker_is_down_and_waiting_ends_in_time(place: Path) -> None:
    with Catalog("shop", settings=Settings(home=place / "home", broker_url=DEAD_BROKER)) as far:
        job = far.index_keys(["0.jpg"])
        assert far.job(job.id).state is JobState.RUNNING
        with pytest.raises(TimeoutError):
            far.wait(job, timeout_s=0.1)
    with Catalog("shop", settings=Settings(home=place / "home")) as here:
        assert here.wait(job).state is JobState.DONE


class Sent(Celery):
    """An application whose messages are kept instead of sent."""

    def __init__(self) -> None:
        super().__init__(set_as_current=False)
        self.sent: list[tuple[str, dict[str, object]]] = []

    def send_task(self, name: str, **options: object) -> None:  # type: ignore[override]
        self.sent.append((name, options))


def submitted(catalog: Catalog, message: object, *, message_id: str) -> tuple[list[str], list[Job]]:
    app = Sent()
    tasks = Tasks(app, lambda: None, outage_attempts=None)  # type: ignore[arg-type, return-value]
    before = {job.id for job in catalog._there.here("a test").ledger.jobs(limit=1000)}
    tasks.submit(catalog._there.here("a test"), message, message_id=message_id)  # type: ignore[arg-type]
    made = [job for job in catalog._there.here("a test").ledger.jobs(limit=1000) if job.id not in before]
    return [name for name, _ in app.sent], made


def test_a_message_makes_one_job_however_often_it_is_delivered(catalog: Catalog) -> None:
    message = {"v": 1, "kind": "keys", "catalog": "shop", "keys": ["0.jpg", "1.jpg"]}
    sent, (job,) = submitted(catalog, message, message_id="m1")
    assert (sent, job.kind) == (["catalog.advance"], JobKind.KEYS)
    assert submitted(catalog, message, message_id="m1")[1] == []
    catalog.wait(job)
    assert submitted(catalog, message, message_id="m1") == ([], [])
    update = {"v": 1, "kind": "update", "catalog": "shop", "fields": {"brand": "B"}, "keys": ["4.jpg"]}
    catalog.wait(submitted(catalog, update, message_id="m2")[1][0])
    assert payload(catalog, "4.jpg")["brand"] == "B"


@pytest.mark.parametrize(
    "message",
    [
        None,
        {},
        {"v": 2, "kind": "keys", "catalog": "shop", "keys": ["a"]},
        {"v": 1, "kind": "drop", "catalog": "shop"},
        {"v": 1, "kind": "keys", "catalog": "shop", "keys": ["a"], "priority": 1},
        {"v": 1, "kind": "keys", "catalog": "shop", "keys": [1]},
        {"v": 1, "kind": "keys", "catalog": "none", "keys": ["a"]},
        {"v": 1, "kind": "sync", "catalog": "other", "source": "file:///etc"},
        {"v": 1, "kind": "sync", "catalog": "shop", "source": "s3://elsewhere"},
    ],
)
def test_a_message_that_cannot_be_meant_makes_nothing(catalog: Catalog, message: object) -> None:
    assert submitted(catalog, message, message_id="bad") == ([], [])
    assert [known.name for known in catalog._there.here("a test").ledger.catalogs()] == ["shop"]


def test_a_message_names_no_source_where_none_is_allowed(place: Path) -> None:
    with Catalog("shop", settings=Settings(home=place / "home")) as open_to_all:
        message = {"v": 1, "kind": "sync", "catalog": "other", "source": f"file://{place}/images"}
        assert submitted(open_to_all, message, message_id="s") == ([], [])


def test_the_application_knows_where_requests_go() -> None:
    assert "catalog.interactive" in {queue.name for queue in make_app().conf.task_queues}
