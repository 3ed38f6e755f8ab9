"""The Qdrant adapter over HTTP, against the stand-in: faults, refusals, versions, keys, layouts and its own rules."""

from __future__ import annotations

import logging
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import httpx
import pytest
from qdrant_client import QdrantClient, models

from schemas.outcomes import Reason
from schemas.payload import PayloadChange, Tombstone
from schemas.query import AnyOf, Filter, Search
from tests.support import qdrant_openapi
from tests.support import vectors as make
from tests.support.qdrant_faults import Faults
from tests.support.qdrant_server import QdrantStandIn, post_faults, serve_qdrant
from tests.support.s3_server import free_port
from tests.support.workshops import Indexer, picture, settled
from workers.adapters.vector_index.qdrant import QdrantIndex
from workers.adapters.vector_index.qdrant_connection import ServerOptions, open_client
from workers.adapters.vector_index.qdrant_layout import LayoutOptions
from workers.bootstrap import Process
from workers.cli.checks import run_checks
from workers.errors import ConfigurationError, ContractError, PointsRefusedError, TransientError
from workers.settings import load_settings

CANARY = "cAnArY-qdrant-3x4mple"
IMPATIENT = ServerOptions(patience_s=0.0)
needs_document = pytest.mark.skipif(not qdrant_openapi.is_at_hand(), reason="Qdrant's OpenAPI document is not at hand")


@pytest.fixture
def server() -> Iterator[QdrantStandIn]:
    with serve_qdrant() as stand_in:
        yield stand_in


@pytest.fixture
def index(server: QdrantStandIn) -> Iterator[QdrantIndex]:
    made = QdrantIndex(server.url)
    made.create(make.spec())
    yield made
    made.close()


# ------------------------------------------------------------------------------------------------------------- faults


@pytest.mark.parametrize(
    ("name", "faults"),
    [
        ("error", Faults(error_share=0.4, seed=1)),
        ("busy", Faults(busy_share=0.4, seed=1)),
        ("busy", Faults(busy_share=0.1, retry_after_s=1, seed=2)),
        ("partial", Faults(partial_share=0.4, seed=3)),
        ("lost", Faults(lost_share=0.4, seed=1)),
        ("waiting", Faults(waiting_share=0.4, seed=3)),
        ("outage", Faults(refuse_s=0.5)),
    ],
    ids=["503", "429", "Retry-After", "partial", "lost answer", "not applied yet", "outage"],
)
def test_writes_outlive_a_fault_that_passes(
    server: QdrantStandIn, index: QdrantIndex, name: str, faults: Faults
) -> None:
    server.set_faults(faults)
    index.upsert("shop--1", make.points(range(700), version=2))
    index.change_payload("shop--1", [PayloadChange(id=make.point_id(1), version=3, fields={"brand": "x"})])
    index.delete("shop--1", [Tombstone(id=make.point_id(2), version=3)])
    index.point_alias("shop", "shop--1")
    server.set_faults(Faults())
    assert server.plan.injected[name] > 0
    assert index.count("shop--1") == 699
    assert index.count("shop--1", Filter(conditions=(AnyOf(field="brand", values=("x",)),))) == 1
    assert index.resolve("shop") == "shop--1"


def test_collections_are_made_and_dropped_though_answers_are_lost(server: QdrantStandIn, index: QdrantIndex) -> None:
    server.set_faults(Faults(lost_share=0.2, seed=7, writes_only=True))
    for number in range(2, 5):
        index.create(make.spec(f"shop--{number}"))
        index.point_alias("shop", f"shop--{number}")
    index.drop_alias("shop")
    index.drop("shop--2")
    server.set_faults(Faults())
    assert server.plan.injected["lost"] > 1
    assert [info.spec.name for info in index.collections()] == ["shop--1", "shop--3", "shop--4"]
    assert index.resolve("shop") is None


@pytest.mark.parametrize(
    ("faults", "retry_after_s"),
    [
        (Faults(error_share=1.0), None),
        (Faults(error_share=1.0, error_status=408), None),
        (Faults(busy_share=1.0), None),
        (Faults(busy_share=1.0, retry_after_s=3600), 3600.0),
        (Faults(partial_share=1.0), None),
        (Faults(waiting_share=1.0), None),
        (Faults(lost_share=1.0), None),
    ],
    ids=["503", "408", "429", "a pause beyond patience", "partial", "not applied yet", "lost"],
)
def test_a_fault_that_stays_is_transient(server: QdrantStandIn, faults: Faults, retry_after_s: float | None) -> None:
    patience_s = 10.0 if retry_after_s else 0.0  # a server's own pause that is longer is handed on at once
    with QdrantIndexOf(server, ServerOptions(patience_s=patience_s)) as index:
        index.create(make.spec())
        server.set_faults(faults)
        with pytest.raises(TransientError) as raised:
            index.upsert("shop--1", make.points([1, 2]))
        assert raised.value.retry_after_s == retry_after_s


def test_waiting_for_a_server_ends_when_the_index_is_closed(server: QdrantStandIn, index: QdrantIndex) -> None:
    server.set_faults(Faults(error_share=1.0))
    failed: list[Exception] = []

    def write() -> None:
        try:
            index.upsert("shop--1", make.points([1]))
        except TransientError as error:
            failed.append(error)

    writer = threading.Thread(target=write)
    writer.start()
    while not server.plan.injected["error"]:
        pass
    index.close()
    writer.join(8)
    assert failed


class QdrantIndexOf:
    """An index on the stand-in, closed at the end of the block."""

    def __init__(
        self, server: QdrantStandIn, options: ServerOptions = IMPATIENT, layout: LayoutOptions | None = None
    ) -> None:
        self._index = QdrantIndex(server.url, server=options, layout=layout)

    def __enter__(self) -> QdrantIndex:
        return self._index

    def __exit__(self, *_: object) -> None:
        self._index.close()


# ----------------------------------------------------------------------------------------------------- refused points


@pytest.mark.parametrize("bad_ones", [(7, 8, 200), range(20), range(280, 300)], ids=["few", "first", "last"])
def test_a_point_the_server_refuses_is_named_and_all_others_are_stored(
    server: QdrantStandIn, index: QdrantIndex, bad_ones: Sequence[int]
) -> None:
    points = make.points(range(300))
    bad = [points[n] for n in bad_ones]
    server.set_faults(Faults(refused_keys=tuple(point.payload.key for point in bad)))
    with pytest.raises(PointsRefusedError) as raised:
        index.upsert("shop--1", points)
    assert set(raised.value.refused) == {point.id for point in bad}
    assert all(point_id in why for point_id, why in raised.value.refused.items())
    assert index.count("shop--1") == 300 - len(bad)


def test_a_server_that_refuses_every_point_accuses_none(server: QdrantStandIn, index: QdrantIndex) -> None:
    points = make.points(range(100))
    server.set_faults(Faults(refused_keys=tuple(point.payload.key for point in points)))
    for part in (points, points[:3]):
        with pytest.raises(ContractError, match="every point") as raised:
            index.upsert("shop--1", part)
        assert not isinstance(raised.value, PointsRefusedError)
    assert server.plan.injected["refused_point"] < 40


def test_strict_mode_accuses_no_point(server: QdrantStandIn, index: QdrantIndex) -> None:
    del server.local.schemas["shop--1"]["version"]  # somebody removed the index that guards need
    with pytest.raises(ContractError, match="version") as raised:
        index.upsert("shop--1", make.points([1]))
    assert not isinstance(raised.value, PointsRefusedError)


def test_a_refused_point_quarantines_its_image_alone(server: QdrantStandIn) -> None:
    with QdrantIndexOf(server, ServerOptions()) as index:
        indexer = Indexer(index=index)
        for number in range(40):
            indexer.store.put(f"images/{number:03d}.jpg", picture(number))
        indexer.sync()
        server.set_faults(Faults(refused_keys=("images/005.jpg",)))
        for number in (4, 5, 6):
            indexer.store.put(f"images/{number:03d}.jpg", picture(1000 + number))
        job = settled(indexer.sync())
        assert (job.counts.indexed, job.counts.quarantined) == (2, 1)
        (row,) = indexer.ledger.quarantine("shop")
        assert (row.key, row.reason) == ("images/005.jpg", Reason.REFUSED_BY_INDEX)
        assert "cannot be stored" in (row.detail or "")
        assert indexer.indexed_keys() == [f"images/{n:03d}.jpg" for n in range(40) if n != 5]
        server.set_faults(Faults())
        assert settled(indexer.retry()).counts.indexed == 1


# ------------------------------------------------------------------------------------------- versions, keys, addresses


@pytest.mark.parametrize("version", ["1.15.4", "0.11.0", "nightly", ""])
def test_a_server_that_is_too_old_is_refused_with_its_version(version: str) -> None:
    with serve_qdrant(version=version) as server, QdrantIndexOf(server) as index:
        for call in (index.collections, lambda: index.count("shop--1"), lambda: index.create(make.spec())):
            with pytest.raises(ConfigurationError, match=r"1\.16"):
                call()


def test_the_version_is_asked_for_once(server: QdrantStandIn, index: QdrantIndex) -> None:
    for _ in range(3):
        index.count("shop--1")
    assert server.requests.count(("GET", "/")) == 1
    assert index.server_version() == "1.19.0"


def test_an_api_key_opens_the_server_and_is_never_shown(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with serve_qdrant(api_key=CANARY) as server:
        with QdrantIndexOf(server, ServerOptions(api_key=CANARY)) as index:
            index.create(make.spec())
            assert index.count("shop--1") == 0
        wrong = f"{CANARY}-wrong"
        with QdrantIndexOf(server, ServerOptions(api_key=wrong)) as index, pytest.raises(ConfigurationError) as raised:
            index.count("shop--1")
        said = [str(raised.value), repr(raised.value.__cause__), repr(ServerOptions(api_key=CANARY)), caplog.text]
    assert not any(CANARY in text for text in said)


@pytest.mark.parametrize(
    ("url", "options", "says"),
    [
        ("http://index.example:6333", ServerOptions(api_key=CANARY), "CATALOG_INDEX_ALLOW_HTTP"),
        ("ftp://index.example", ServerOptions(), "CATALOG_INDEX_URL"),
        ("index.example:6333", ServerOptions(), "CATALOG_INDEX_URL"),
        ("http://", ServerOptions(), "CATALOG_INDEX_URL"),
        ("http://host:99999", ServerOptions(), "CATALOG_INDEX_URL"),
        (f"https://user:{CANARY}@host", ServerOptions(), "CATALOG_INDEX_API_KEY"),
        (f"https://host?api-key={CANARY}", ServerOptions(), "CATALOG_INDEX_API_KEY"),
        ("https://host", ServerOptions(api_key=f"{CANARY}\nx"), "CATALOG_INDEX_API_KEY"),
        ("https://host", ServerOptions(api_key=f"{CANARY}é", grpc=True), "CATALOG_INDEX_API_KEY"),
    ],
)
def test_an_address_that_cannot_be_used_is_refused_without_showing_secrets(
    url: str, options: ServerOptions, says: str
) -> None:
    with pytest.raises(ConfigurationError, match=says) as raised:
        open_client(url, options)
    assert CANARY not in str(raised.value)


@pytest.mark.parametrize(
    ("url", "options"),
    [
        ("http://localhost:6333", ServerOptions(api_key=CANARY)),
        ("http://[::1]:6333", ServerOptions(api_key=CANARY)),
        ("http://index.example:6333", ServerOptions()),
        ("http://index.example:6333", ServerOptions(api_key=CANARY, allow_http=True)),
        ("https://index.example", ServerOptions(api_key=CANARY)),
        ("https://index.example/qdrant", ServerOptions(api_key=CANARY, grpc=True)),
    ],
)
def test_an_address_that_can_be_used_is_taken_and_nothing_is_sent(url: str, options: ServerOptions) -> None:
    open_client(url, options).close()


def test_replicas_that_acknowledge_are_no_more_than_there_are() -> None:
    with pytest.raises(ConfigurationError, match="CATALOG_INDEX_WRITE_CONSISTENCY"):
        QdrantIndex("http://localhost:6333", layout=LayoutOptions(replicas=2, write_consistency=3))


# --------------------------------------------------------------------------------------------------------------- gRPC


CALLS = (
    "upsert", "change", "delete", "retrieve", "count", "facet", "scroll", "search", "groups", "mmr", "alias", "info",
    "collections", "drop",
)  # fmt: skip


def _calls(index: QdrantIndex) -> dict[str, Callable[[], object]]:
    vector = make.vectors(1)[0]
    where = Filter(conditions=(AnyOf(field="in_stock", values=(True, False)), AnyOf(field="brand", values=("x",))))
    change = PayloadChange(id=make.point_id(1), version=2, fields={"brand": None, "price": 2.5, "attributes": ["a"]})
    return {
        "upsert": lambda: index.upsert("shop--1", make.assortment(3)),
        "change": lambda: index.change_payload("shop--1", [change]),
        "delete": lambda: index.delete("shop--1", [Tombstone(id=make.point_id(1), version=1)]),
        "retrieve": lambda: index.retrieve("shop--1", [make.point_id(1)], with_vectors=True),
        "count": lambda: index.count("shop--1", where),
        "facet": lambda: index.facet("shop--1", "brand", where=where),
        "scroll": lambda: index.scroll("shop--1", where=where, after=make.point_id(1)),
        "search": lambda: index.search("shop--1", Search(vector=vector, where=where, exclude_ids=(make.point_id(1),))),
        "groups": lambda: index.search("shop--1", Search(vector=vector, group_by="product_id")),
        "mmr": lambda: index.search("shop--1", Search(vector=vector, diversity=0.5)),
        "alias": lambda: index.point_alias("shop", "shop--1"),
        "info": lambda: index.info("shop--1"),
        "collections": index.collections,
        "drop": lambda: index.drop("shop--1"),
    }


@pytest.mark.parametrize("name", CALLS)
def test_every_request_has_a_form_in_grpc(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody answers; that a request was made at all is the point, as the client translates it before it sends it."""
    options = ServerOptions(grpc=True, grpc_port=free_port(), patience_s=0.0)
    index = QdrantIndex("http://127.0.0.1:1", server=options)
    monkeypatch.setattr(index._connection, "_version", "1.18.0")
    index._specs["shop--1"] = make.spec()
    with pytest.raises(TransientError, match="unavailable"):
        _calls(index)[name]()
    index.close()


@pytest.mark.parametrize("images", [1_000, 1_000_000, 1_000_000_000])
def test_creation_has_a_form_in_grpc(images: int, monkeypatch: pytest.MonkeyPatch) -> None:
    options = ServerOptions(grpc=True, grpc_port=free_port(), patience_s=0.0)
    index = QdrantIndex("http://127.0.0.1:1", server=options, layout=LayoutOptions(expected_points=images))
    monkeypatch.setattr(index._connection, "_version", "1.18.0")
    with pytest.raises(TransientError, match="unavailable"):
        index._create(make.spec())
    index.close()


# ------------------------------------------------------------------------------------------------------------- layouts


@pytest.mark.parametrize(
    ("images", "version", "on_disk", "graph_on_disk", "quantised"),
    [
        (100_000, "1.19.0", False, False, None),
        (1_000_000, "1.19.0", True, False, "scalar"),
        (50_000_000, "1.19.0", True, True, "turbo"),
        (50_000_000, "1.17.1", True, True, "scalar"),
    ],
)
def test_the_layout_follows_the_expected_size(
    images: int, version: str, on_disk: bool, graph_on_disk: bool, quantised: str | None
) -> None:
    layout = LayoutOptions(expected_points=images, shards=3, replicas=3)
    with serve_qdrant(version=version) as server, QdrantIndexOf(server, layout=layout) as index:
        index.create(make.spec(dimension=512))
        made = server.local.layouts["shop--1"]
    assert made["vectors"]["image"]["on_disk"] == made["on_disk_payload"] == on_disk
    assert made["hnsw_config"]["on_disk"] == graph_on_disk
    assert list(made.get("quantization_config", {})) == ([quantised] if quantised else [])
    assert (made["shard_number"], made["replication_factor"], made["write_consistency_factor"]) == (3, 3, 2)
    assert made["strict_mode_config"]["unindexed_filtering_retrieve"] is False


def test_payload_indexes_are_all_there_before_the_first_point(server: QdrantStandIn, index: QdrantIndex) -> None:
    made = server.local.schemas["shop--1"]
    assert set(made) == {found.field for found in make.spec().indexes}
    assert made["version"] == {"type": "integer", "lookup": True, "range": True, "enable_hnsw": False}
    assert made["product_id"] == {"type": "keyword", "enable_hnsw": True}


def test_groups_that_the_server_did_not_meet_are_asked_for_again(
    index: QdrantIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    index.upsert("shop--1", make.assortment())
    asked = Search(vector=make.vectors(1, seed=99)[0], limit=12, group_by="product_id")
    whole = index.search("shop--1", asked)
    client, sent = index._client, []
    answer = client.query_points_groups

    def few(*args: Any, **named: Any) -> models.GroupsResult:
        sent.append(named["limit"])
        return models.GroupsResult(groups=answer(*args, **named).groups[:5])

    monkeypatch.setattr(client, "query_points_groups", few)
    assert [hit.id for hit in index.search("shop--1", asked)] == [hit.id for hit in whole]
    assert len(sent) == 3


# -------------------------------------------------------------------------------------------------------- the process


def test_the_settings_lead_to_the_server_and_the_doctor_names_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    with serve_qdrant(api_key=CANARY) as server:
        monkeypatch.setenv("CATALOG_HOME", str(tmp_path / "home"))
        monkeypatch.setenv("CATALOG_INDEX_URL", server.url)
        monkeypatch.setenv("CATALOG_INDEX_API_KEY", CANARY)
        with Process(load_settings()) as process:
            assert isinstance(process.index, QdrantIndex)
            process.index.create(make.spec())
        checks = {check.name: check for check in run_checks()}
        assert checks["index"].ok
        assert checks["index"].detail.startswith(f"Qdrant 1.19.0 at {server.url} (REST): 0 points")
        assert CANARY not in str(checks)
        monkeypatch.delenv("CATALOG_INDEX_API_KEY")
        refused = {check.name: check for check in run_checks()}["index"]
        assert not refused.ok
        assert "401" in refused.detail
    away = {check.name: check for check in run_checks()}["index"]
    assert away.detail.startswith(f"connecting to {server.url}: Qdrant does not answer")


# -------------------------------------------------------------------------------------------------------- the stand-in


@needs_document
def test_the_stand_in_notices_what_the_document_does_not_know(server: QdrantStandIn) -> None:
    bodies = [
        ("POST", "/collections/x/points/query", {"query": [0.1], "limitt": 3}),
        ("POST", "/collections/x/points/query", {"query": {"nearest": "no id"}}),
        ("PUT", "/collections/x/points", {"points": [{"id": -1, "vector": {"image": [0.5] * 20}}]}),
        ("PUT", "/collections/x/points?wait=yes&later=1", {"points": []}),
    ]
    for method, path, body in bodies:
        assert httpx.request(method, server.url + path, json=body).status_code == 400
    assert len(server.violations) == len(bodies)
    server.violations.clear()
    assert qdrant_openapi.response_fault("/collections", "GET", 200, {"result": {"collections": [{"nam": "x"}]}})


def test_the_stand_in_keeps_strict_mode(server: QdrantStandIn, index: QdrantIndex) -> None:
    client = QdrantClient(url=server.url, check_compatibility=False)
    title = models.Filter(must=[models.FieldCondition(key="title", match=models.MatchValue(value="x"))])
    price = models.Filter(must=[models.FieldCondition(key="price", match=models.MatchValue(value=1))])
    refused: list[Callable[[], object]] = [
        lambda: client.count("shop--1", count_filter=title),
        lambda: client.scroll("shop--1", scroll_filter=price),
        lambda: client.scroll("shop--1", limit=50_000),
        lambda: client.query_points_groups("shop--1", "etag", query=[0.1] * 16, using="image"),
        lambda: client.delete("shop--1", models.FilterSelector(filter=title)),
    ]
    for call in refused:
        with pytest.raises(Exception, match="Help"):
            call()
    client.close()


def test_the_stand_in_is_a_process_with_faults_set_at_run_time() -> None:
    port = free_port()
    command = [sys.executable, "-m", "tests.support.qdrant_server", "--port", str(port), "--faults", '{"seed": 3}']
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert f":{port}" in process.stdout.readline()
        url = f"http://127.0.0.1:{port}"
        index = QdrantIndex(url)
        index.create(make.spec())
        post_faults(url, partial_share=0.5, error_share=0.2)
        index.upsert("shop--1", make.points(range(400)))
        state = post_faults(url)
        assert index.count("shop--1") == 400
        assert state["injected"]["partial"] + state["injected"]["error"] > 0
        assert state["violations"] == []
        index.close()
    finally:
        process.terminate()
        assert process.wait(10) == 0


def test_a_newer_point_stays_when_a_late_batch_meets_it(index: QdrantIndex) -> None:
    points = make.points(range(20), version=1)
    index.upsert("shop--1", [replace(p, version=5, payload=replace(p.payload, version=5)) for p in points[:10]])
    index.upsert("shop--1", points)
    versions = sorted(record.payload.version for record in index.scroll("shop--1"))
    assert versions == [1] * 10 + [5] * 10
