"""What every vector index promises, held against each implementation of the port."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import numpy as np
import pytest
from qdrant_client import QdrantClient

from schemas.collection import PayloadIndex
from schemas.payload import PayloadChange, Point, Tombstone
from schemas.query import AnyOf, Condition, Filter, Missing, NoneOf, Range, Search
from tests.support import vectors as make
from tests.support.qdrant_server import serve_qdrant
from tests.support.real_qdrant import real_qdrant
from workers.adapters.vector_index.client import SocketIndex
from workers.adapters.vector_index.edge import EdgeIndex
from workers.adapters.vector_index.memory import MemoryIndex
from workers.adapters.vector_index.qdrant import QdrantIndex
from workers.errors import ContractError, NotFoundError, PointsRefusedError
from workers.ports import VectorIndex

pytestmark = [
    pytest.mark.filterwarnings("ignore:Payload indexes have no effect in the local Qdrant"),
    pytest.mark.filterwarnings("ignore:Local mode performs exact"),
]

ASSORTMENT = make.assortment()
QUERY = make.vectors(1, seed=99)[0]
SERVER = pytest.param("server", marks=pytest.mark.qdrant)
"""A real Qdrant server, where one is named."""
RUN = f"t{uuid4().hex[:10]}"
"""No other run's collections on the same server have such names."""
ALIAS = f"{RUN}-shop"
_names = (f"{RUN}--{number}" for number in itertools.count(1))


@pytest.fixture(scope="module", params=["memory", "edge", "socket", "qdrant", "wire", SERVER])
def index(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[VectorIndex]:
    with _opened(request.param, tmp_path_factory.mktemp("index")) as made:
        yield made
        for info in made.collections():
            if info.spec.name.startswith(RUN):  # on a real server there may be others
                made.drop(info.spec.name)
        made.close()


@contextmanager
def _opened(kind: str, home: Path) -> Iterator[VectorIndex]:
    if kind == "wire":
        with serve_qdrant() as server:
            yield QdrantIndex(server.url)
    else:
        yield _open(kind, home)


def _open(kind: str, home: Path) -> VectorIndex:
    if kind == "memory":
        return MemoryIndex()
    if kind == "server":
        return real_qdrant()
    if kind == "socket":
        return SocketIndex(home, idle_s=0.5)
    if kind == "qdrant":
        return QdrantIndex(QdrantClient(":memory:"))
    return EdgeIndex(home)


@pytest.fixture(scope="module")
def shared(index: VectorIndex) -> str:
    """A collection for writing; making one for every test would cost most of the time."""
    made = next(_names)
    index.create(make.spec(made))
    return made


@pytest.fixture
def name(index: VectorIndex, shared: str) -> str:
    """An empty collection."""
    while page := index.scroll(shared):
        index.delete(shared, [Tombstone(id=record.id, version=2**62) for record in page])
    return shared


@pytest.fixture(scope="module")
def stocked(index: VectorIndex) -> str:
    """A collection that holds the assortment; tests only read it."""
    made = next(_names)
    index.create(make.spec(made))
    index.upsert(made, ASSORTMENT)
    return made


@pytest.fixture(scope="module")
def reference() -> MemoryIndex:
    twin = MemoryIndex()
    twin.create(make.spec("reference"))
    twin.upsert("reference", ASSORTMENT)
    return twin


def where(*conditions: Condition) -> Filter:
    return Filter(conditions=conditions)


def everything(index: VectorIndex, collection: str) -> dict[str, Point]:
    records = index.retrieve(collection, [make.point_id(n) for n in range(200)], with_vectors=True)
    return {
        record.id: Point(id=record.id, version=record.payload.version, vector=record.vector, payload=record.payload)  # type: ignore[arg-type]
        for record in records
    }


def ids(found: Sequence[object]) -> list[str]:
    return [hit.id for hit in found]  # type: ignore[attr-defined]


# ------------------------------------------------------------------------------------------ collections and aliases


def test_creating_the_same_collection_again_is_harmless_and_another_one_is_refused(
    index: VectorIndex, name: str
) -> None:
    index.upsert(name, make.points(range(3)))
    index.create(make.spec(name))
    assert index.count(name) == 3
    for other in (make.spec(name, model="b" * 64), make.spec(name, dimension=8)):
        with pytest.raises(ContractError, match=name):
            index.create(other)
    assert index.info(name).spec == make.spec(name)


@pytest.mark.parametrize(
    "wrong",
    [
        make.spec("../escape"),
        make.spec("Upper"),
        make.spec(""),
        make.spec("shop--x", dimension=0),
        make.spec("shop--x", model=""),
        replace(make.spec("shop--x"), extra_indexes=(PayloadIndex(field="a.b", kind="keyword"),)),
        replace(make.spec("shop--x"), extra_indexes=(PayloadIndex(field="brand", kind="keyword"),)),
    ],
    ids=["path", "case", "empty", "dimension", "model", "field path", "field twice"],
)
def test_a_collection_that_cannot_be_is_refused(index: VectorIndex, wrong: object) -> None:
    with pytest.raises(ContractError):
        index.create(wrong)  # type: ignore[arg-type]


def test_info_counts_points_and_collections_are_listed_by_name(index: VectorIndex, name: str) -> None:
    index.upsert(name, make.points(range(7)))
    assert index.info(name).points == 7
    listed = [info.spec.name for info in index.collections()]
    assert name in listed
    assert listed == sorted(listed)


def test_a_dropped_collection_is_gone_with_its_aliases_and_can_be_made_anew(index: VectorIndex) -> None:
    name = next(_names)
    index.create(make.spec(name))
    index.upsert(name, make.points(range(3)))
    index.point_alias(f"{ALIAS}-dropped", name)
    index.drop(name)
    index.drop(name)
    assert index.resolve(f"{ALIAS}-dropped") is None
    assert name not in [info.spec.name for info in index.collections()]
    index.create(make.spec(name))
    assert index.count(name) == 0


def test_every_call_on_an_unknown_collection_says_so(index: VectorIndex) -> None:
    search = Search(vector=QUERY)
    calls: list[Callable[[], object]] = [
        lambda: index.info("missing"),
        lambda: index.point_alias("alias", "missing"),
        lambda: index.upsert("missing", make.points([1])),
        lambda: index.change_payload("missing", [PayloadChange(id=make.point_id(1), version=1, fields={})]),
        lambda: index.delete("missing", [Tombstone(id=make.point_id(1), version=1)]),
        lambda: index.retrieve("missing", [make.point_id(1)]),
        lambda: index.count("missing"),
        lambda: index.facet("missing", "brand"),
        lambda: index.scroll("missing"),
        lambda: index.search("missing", search),
        lambda: index.settle("missing"),
    ]
    for call in calls:
        with pytest.raises(NotFoundError, match="missing"):
            call()


def test_an_alias_moves_to_another_collection(index: VectorIndex, name: str) -> None:
    second = next(_names)
    index.create(make.spec(second))
    assert index.resolve(ALIAS) is None
    index.point_alias(ALIAS, name)
    assert index.resolve(ALIAS) == name
    index.point_alias(ALIAS, second)
    assert index.resolve(ALIAS) == second
    index.drop_alias(ALIAS)
    index.drop_alias(ALIAS)
    assert index.resolve(ALIAS) is None
    with pytest.raises(ContractError):
        index.point_alias(name, second)
    index.drop(second)


# ----------------------------------------------------------------------------------------------------------- writes


def test_a_point_reads_back_as_it_was_written(index: VectorIndex, stocked: str) -> None:
    read = everything(index, stocked)
    assert len(read) == len(ASSORTMENT)
    for written in ASSORTMENT:
        assert read[written.id].payload == written.payload
        np.testing.assert_allclose(read[written.id].vector, written.vector, atol=1e-6)


def test_retrieve_leaves_out_unknown_ids_and_vectors_unless_asked(index: VectorIndex, stocked: str) -> None:
    found = index.retrieve(stocked, [make.point_id(1), make.point_id(1), make.point_id(10_000)])
    assert ids(found) == [make.point_id(1)]
    assert found[0].vector is None
    assert list(index.retrieve(stocked, [])) == []


def test_writing_twice_changes_nothing(index: VectorIndex, name: str) -> None:
    written = make.points(range(5))
    changes = [PayloadChange(id=written[0].id, version=1, fields={"brand": "x"})]
    tombstones = [Tombstone(id=written[4].id, version=1)]
    for _ in range(2):
        index.upsert(name, written)
        index.change_payload(name, changes)
        index.delete(name, tombstones)
        assert index.count(name) == 4
        assert index.count(name, where(AnyOf(field="brand", values=("x",)))) == 1


def test_the_higher_version_wins_whatever_comes_last(index: VectorIndex, name: str) -> None:
    one, two = make.vectors(2, seed=5)
    index.upsert(name, [make.point(1, one, version=5, brand="five")])
    index.upsert(name, [make.point(1, two, version=4, brand="four"), make.point(2, two, version=4, brand="four")])
    read = everything(index, name)
    assert read[make.point_id(1)].payload.brand == "five"
    assert read[make.point_id(2)].payload.brand == "four"
    np.testing.assert_allclose(read[make.point_id(1)].vector, one, atol=1e-6)
    index.upsert(name, [make.point(1, two, version=6, brand="six")])
    read = everything(index, name)
    assert read[make.point_id(1)].payload.brand == "six"
    np.testing.assert_allclose(read[make.point_id(1)].vector, two, atol=1e-6)


def test_within_one_call_the_last_of_the_highest_version_wins(index: VectorIndex, name: str) -> None:
    vector = make.vectors(1)[0]
    versions = [(2, "a"), (7, "b"), (7, "c"), (3, "d")]
    index.upsert(name, [make.point(1, vector, version=version, brand=brand) for version, brand in versions])
    assert everything(index, name)[make.point_id(1)].payload.brand == "c"


def test_an_upsert_replaces_the_whole_payload(index: VectorIndex, name: str) -> None:
    vector = make.vectors(1)[0]
    index.upsert(name, [make.point(1, vector, brand="x", season="summer")])
    index.upsert(name, [make.point(1, vector, version=2, colour="red")])
    payload = everything(index, name)[make.point_id(1)].payload
    assert (payload.brand, payload.extra, payload.colour) == (None, None, "red")


def test_a_payload_change_sets_and_removes_fields_and_keeps_the_rest(index: VectorIndex, name: str) -> None:
    written = make.point(1, make.vectors(1)[0], version=3, brand="old", price=5.0, attributes=("cotton",))
    index.upsert(name, [written])
    fields = {"brand": None, "price": 7.5, "attributes": ["silk", "new"], "season": "winter", "in_stock": False}
    changes = [
        PayloadChange(id=written.id, version=4, fields=fields),
        PayloadChange(id=written.id, version=4, fields={"colour": "red"}),
        PayloadChange(id=make.point_id(2), version=4, fields={"brand": "no such point"}),
    ]
    index.change_payload(name, changes)
    read = everything(index, name)
    assert list(read) == [written.id]
    np.testing.assert_allclose(read[written.id].vector, written.vector, atol=1e-6)
    assert read[written.id].payload == replace(
        written.payload,
        version=4,
        brand=None,
        price=7.5,
        attributes=("silk", "new"),
        in_stock=False,
        colour="red",
        extra={"season": "winter"},
    )
    assert index.count(name, where(AnyOf(field="attributes", values=("cotton",)))) == 0
    assert index.count(name, where(AnyOf(field="attributes", values=("silk",)))) == 1


def test_a_payload_change_of_a_lower_version_is_ignored(index: VectorIndex, name: str) -> None:
    index.upsert(name, [make.point(1, make.vectors(1)[0], version=5, brand="kept")])
    index.change_payload(name, [PayloadChange(id=make.point_id(1), version=4, fields={"brand": "late"})])
    payload = everything(index, name)[make.point_id(1)].payload
    assert (payload.brand, payload.version) == ("kept", 5)


def test_a_tombstone_deletes_lower_and_equal_versions_only(index: VectorIndex, name: str) -> None:
    for number, version in ((1, 4), (2, 5), (3, 6)):
        index.upsert(name, make.points([number], version=version))
    orders = [Tombstone(id=make.point_id(number), version=5) for number in (1, 2, 3, 4)]
    index.delete(name, orders)
    assert list(everything(index, name)) == [make.point_id(3)]


def test_a_large_batch_of_mixed_versions(index: VectorIndex, name: str) -> None:
    index.upsert(name, make.points(range(1_100), version=2))
    newer = [make.points([n], version=1 + n % 3)[0] for n in range(0, 1_100, 50)]
    index.upsert(name, newer)
    assert index.count(name) == 1_100
    assert index.count(name, where(Range(field="version", minimum=3))) == sum(1 for p in newer if p.version == 3)
    index.delete(name, [Tombstone(id=make.point_id(n), version=2) for n in range(1_100)])
    assert index.count(name) == sum(1 for p in newer if p.version == 3)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (make.point(9, np.ones(5, np.float32)), "shape"),
        (make.point(9, np.full(make.DIMENSION, np.nan, np.float32)), "finite"),
        (make.point(9, np.full(make.DIMENSION, np.inf, np.float32)), "finite"),
        (make.point(9, np.zeros(make.DIMENSION, np.float32)), "zero"),
        (make.point(9, np.ones((1, make.DIMENSION), np.float32)), "shape"),
        (replace(make.points([9])[0], id="nine"), "UUID"),
        (replace(make.points([9])[0], version=3), "version"),
        (make.point(9, QUERY, brand="\ud800"), "Unicode"),
        (make.point(9, QUERY, price=float("nan")), "price"),
        (make.point(9, QUERY, stock=2**63), "64 bits"),
        (make.point(9, QUERY, stock={"a": 1}), "stock"),
        (make.point(9, QUERY, **{"a.b": 1}), "a.b"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_can_never_be_stored_is_refused_with_nothing_written(
    index: VectorIndex, stocked: str, wrong: Point, says: str
) -> None:
    fresh = make.points([150])[0]
    with pytest.raises(PointsRefusedError, match=says) as raised:
        index.upsert(stocked, [fresh, wrong])
    assert list(raised.value.refused) == [wrong.id]
    assert list(index.retrieve(stocked, [fresh.id])) == []
    assert index.count(stocked) == len(ASSORTMENT)


@pytest.mark.parametrize(
    "fields",
    [{"key": "other"}, {"version": 9}, {"etag": None}, {"price": float("inf")}, {"a b": 1}],
    ids=["key", "version", "required", "not finite", "name"],
)
def test_a_payload_change_that_can_never_be_is_refused(index: VectorIndex, stocked: str, fields: dict) -> None:  # type: ignore[type-arg]
    with pytest.raises(PointsRefusedError) as raised:
        index.change_payload(stocked, [PayloadChange(id=make.point_id(1), version=2, fields=fields)])
    assert list(raised.value.refused) == [make.point_id(1)]


# ---------------------------------------------------------------------------------------------------------- filters

FILTERS = {
    "nothing": Filter(),
    "keyword": where(AnyOf(field="category", values=("dress",))),
    "keywords": where(AnyOf(field="category", values=("dress", "hat"))),
    "list field": where(AnyOf(field="attributes", values=("striped", "linen"))),
    "unicode": where(AnyOf(field="brand", values=("東京", "Ærlig"))),
    "unicode field": where(AnyOf(field="größe", values=("M",))),
    "true": where(AnyOf(field="in_stock", values=(True,))),
    "false": where(AnyOf(field="in_stock", values=(False,))),
    "either": where(AnyOf(field="in_stock", values=(True, False))),
    "integers": where(AnyOf(field="stock", values=(1, 2))),
    "integer is not boolean": where(AnyOf(field="stock", values=(True,))),
    "boolean is not integer": where(AnyOf(field="in_stock", values=(1,))),
    "mixed kinds": where(AnyOf(field="stock", values=(1, "x", True))),
    "no values": where(AnyOf(field="category", values=())),
    "none of": where(NoneOf(field="category", values=("dress", "hat"))),
    "none of a list field": where(NoneOf(field="attributes", values=("striped",))),
    "none of true": where(NoneOf(field="in_stock", values=(True,))),
    "none of nothing": where(NoneOf(field="category", values=())),
    "range": where(Range(field="price", minimum=10.0, maximum=50.0)),
    "range below": where(Range(field="price", maximum=12.5)),
    "range above": where(Range(field="price", minimum=90.0)),
    "range of integers": where(Range(field="stock", minimum=2)),
    "open range": where(Range(field="price")),
    "range on text": where(Range(field="brand", minimum=0.0)),
    "missing": where(Missing(field="price")),
    "missing or empty list": where(Missing(field="attributes")),
    "missing everywhere": where(Missing(field="category_predicted")),
    "all at once": where(
        AnyOf(field="category", values=("dress", "shoes")),
        NoneOf(field="brand", values=("plain",)),
        Range(field="price", maximum=80.0),
        AnyOf(field="in_stock", values=(True, False)),
    ),
}


@pytest.mark.parametrize("asked", FILTERS.values(), ids=FILTERS.keys())
def test_a_filter_means_the_same_everywhere(
    index: VectorIndex, reference: MemoryIndex, stocked: str, asked: Filter
) -> None:
    expected = reference.scroll("reference", where=asked)
    assert index.count(stocked, asked) == len(expected)
    assert ids(index.scroll(stocked, where=asked)) == ids(expected)
    search = Search(vector=QUERY, limit=200, where=asked)
    assert set(ids(index.search(stocked, search))) == set(ids(expected))


def test_the_reference_filters_by_its_own_words(reference: MemoryIndex) -> None:
    payloads = [point.payload for point in ASSORTMENT]
    expected = {
        "list field": sum(1 for p in payloads if "striped" in (p.attributes or ())),
        "none of": sum(1 for p in payloads if p.category not in ("dress", "hat")),
        "true": sum(1 for p in payloads if p.in_stock is True),
        "integer is not boolean": 0,
        "boolean is not integer": 0,
        "no values": 0,
        "none of nothing": len(payloads),
        "range": sum(1 for p in payloads if p.price is not None and 10 <= p.price <= 50),
        "open range": sum(1 for p in payloads if p.price is not None),
        "range on text": 0,
        "missing or empty list": sum(1 for p in payloads if not p.attributes),
    }
    assert {name: reference.count("reference", FILTERS[name]) for name in expected} == expected


@pytest.mark.parametrize(
    "asked",
    [
        AnyOf(field="a.b", values=("x",)),
        AnyOf(field="price", values=(1.5,)),  # type: ignore[arg-type]
        Range(field="price", minimum=float("nan")),
        Range(field="price", maximum=float("inf")),
        AnyOf(field="price", values=(10,)),
        AnyOf(field="etag", values=("etag-3", "etag-4")),
        NoneOf(field="etag", values=()),
        Missing(field="title"),
    ],
    ids=[
        "path",
        "float",
        "nan",
        "endless",
        "value of a range",
        "not indexed",
        "nothing of what is not indexed",
        "missing",
    ],
)
def test_a_filter_that_means_nothing_is_refused(index: VectorIndex, stocked: str, asked: Condition) -> None:
    with pytest.raises(ContractError):
        index.count(stocked, where(asked))


# ------------------------------------------------------------------------------------------------- facets and pages


@pytest.mark.parametrize("field", ["category", "attributes", "brand", "in_stock", "stock", "season", "product_id"])
def test_facets_count_values(index: VectorIndex, reference: MemoryIndex, stocked: str, field: str) -> None:
    for asked in (None, FILTERS["range"]):
        counted = index.facet(stocked, field, where=asked, limit=100)
        assert list(counted) == list(reference.facet("reference", field, where=asked, limit=100))
        assert all(type(count.value) is type(counted[0].value) for count in counted)
    assert list(index.facet(stocked, field, limit=1)) == list(reference.facet("reference", field, limit=1))


@pytest.mark.parametrize("field", ["price", "etag", "a.b"])
def test_a_field_without_a_countable_index_has_no_facets(index: VectorIndex, stocked: str, field: str) -> None:
    with pytest.raises(ContractError, match=field):
        index.facet(stocked, field)


def test_scrolling_pages_through_every_point_once_in_id_order(index: VectorIndex, stocked: str) -> None:
    for size in (1, 7, 60, 120, 500):
        seen: list[str] = []
        while True:
            page = index.scroll(stocked, after=seen[-1] if seen else None, limit=size)
            seen += ids(page)
            if len(page) < size:
                break
            assert len(page) == size
        assert seen == sorted(point.id for point in ASSORTMENT)


def test_scrolling_starts_behind_an_id_that_need_not_exist(index: VectorIndex, stocked: str) -> None:
    everyone = sorted(point.id for point in ASSORTMENT)
    middle = "80000000-0000-4000-8000-000000000000"
    assert ids(index.scroll(stocked, after=middle)) == [i for i in everyone if i > middle]
    page = index.scroll(stocked, where=FILTERS["keyword"], after=everyone[0], limit=5)
    assert all(record.vector is None and record.payload.category == "dress" for record in page)


# ----------------------------------------------------------------------------------------------------------- search

SEARCHES = {
    "plain": Search(vector=QUERY),
    "not normalised": Search(vector=QUERY * 3),
    "long": Search(vector=QUERY, limit=200),
    "offset": Search(vector=QUERY, limit=7, offset=5),
    "offset beyond": Search(vector=QUERY, limit=7, offset=500),
    "exact": Search(vector=QUERY, exact=True),
    "threshold": Search(vector=QUERY, limit=200, score_threshold=0.2),
    "unreachable threshold": Search(vector=QUERY, score_threshold=0.999),
    "filter": Search(vector=QUERY, limit=20, where=FILTERS["all at once"]),
    "exclusions": Search(vector=QUERY, limit=20, exclude_ids=tuple(p.id for p in ASSORTMENT[::2])),
    "exclusions and filter": Search(
        vector=QUERY, limit=20, where=FILTERS["keyword"], exclude_ids=tuple(p.id for p in ASSORTMENT[::8])
    ),
    "groups": Search(vector=QUERY, limit=10, group_by="product_id"),
    "all groups": Search(vector=QUERY, limit=200, group_by="product_id"),
    "few groups": Search(vector=QUERY, limit=8, group_by="brand"),
    "groups of booleans": Search(vector=QUERY, limit=4, group_by="in_stock", where=FILTERS["either"]),
    "groups of lists": Search(vector=QUERY, limit=50, group_by="attributes"),
    "groups, offset, threshold": Search(
        vector=QUERY, limit=5, offset=3, group_by="product_id", score_threshold=0.0, where=FILTERS["none of"]
    ),
    "diverse": Search(vector=QUERY, limit=8, diversity=0.5),
    "most diverse": Search(vector=QUERY, limit=8, diversity=1.0),
    "diverse, offset, filter": Search(vector=QUERY, limit=6, offset=4, diversity=0.3, where=FILTERS["range"]),
    "diverse groups": Search(vector=QUERY, limit=6, diversity=0.4, group_by="product_id"),
}


@pytest.mark.parametrize("asked", SEARCHES.values(), ids=SEARCHES.keys())
def test_a_search_answers_the_same_everywhere(
    index: VectorIndex, reference: MemoryIndex, stocked: str, asked: Search
) -> None:
    expected = reference.search("reference", asked)
    found = index.search(stocked, asked)
    assert ids(found) == ids(expected)
    assert [hit.score for hit in found] == pytest.approx([hit.score for hit in expected], abs=1e-5)
    assert [hit.payload for hit in found] == [hit.payload for hit in expected]
    assert all(hit.vector is None for hit in found)


def test_the_reference_ranks_by_cosine(reference: MemoryIndex) -> None:
    cosine = {point.id: float(point.vector @ QUERY) for point in ASSORTMENT}
    best = sorted(cosine, key=lambda i: -cosine[i])
    assert ids(reference.search("reference", SEARCHES["plain"])) == best[:10]
    assert ids(reference.search("reference", SEARCHES["offset"])) == best[5:12]
    passed = reference.search("reference", SEARCHES["threshold"])
    assert ids(passed) == [i for i in best if cosine[i] >= 0.2]
    groups = [hit.payload.product_id for hit in reference.search("reference", SEARCHES["all groups"])]
    named = [group for group in groups if group is not None]
    assert len(named) == len(set(named)) == len({p.payload.product_id for p in ASSORTMENT} - {None})
    assert groups.count(None) == sum(1 for p in ASSORTMENT if p.payload.product_id is None)


@pytest.mark.parametrize("asked", [Search(vector=QUERY), Search(vector=QUERY, diversity=0.5, group_by="brand")])
def test_vectors_come_with_the_hits_on_request(index: VectorIndex, stocked: str, asked: Search) -> None:
    written = {point.id: point.vector for point in ASSORTMENT}
    found = index.search(stocked, replace(asked, with_vectors=True))
    assert found
    for hit in found:
        assert hit.vector is not None
        assert hit.vector.dtype == np.float32
        np.testing.assert_allclose(hit.vector, written[hit.id], atol=1e-6)


def test_an_empty_collection_answers_with_nothing(index: VectorIndex, name: str) -> None:
    for asked in (Search(vector=QUERY), Search(vector=QUERY, diversity=0.5), Search(vector=QUERY, group_by="brand")):
        assert list(index.search(name, asked)) == []
    assert list(index.scroll(name)) == []
    assert list(index.facet(name, "brand")) == []
    index.upsert(name, [])
    index.delete(name, [])
    index.change_payload(name, [])
    assert index.count(name) == 0


@pytest.mark.parametrize(
    "wrong",
    [
        Search(vector=np.ones(3, np.float32)),
        Search(vector=np.full(make.DIMENSION, np.nan, np.float32)),
        Search(vector=np.zeros(make.DIMENSION, np.float32)),
        Search(vector=QUERY, limit=0),
        Search(vector=QUERY, limit=1_000_000),
        Search(vector=QUERY, offset=-1),
        Search(vector=QUERY, diversity=1.5),
        Search(vector=QUERY, diversity=0.5, limit=5_000),
        Search(vector=QUERY, group_by="a.b"),
        Search(vector=QUERY, exclude_ids=("nine",)),
        Search(vector=QUERY, score_threshold=float("nan")),
    ],
    ids=lambda search: f"{search.limit} {search.offset} {search.diversity} {search.group_by} {search.vector[:1]}",
)
def test_a_search_that_cannot_be_is_refused(index: VectorIndex, stocked: str, wrong: Search) -> None:
    with pytest.raises(ContractError):
        index.search(stocked, wrong)


def test_settling_loses_nothing(index: VectorIndex, name: str) -> None:
    index.upsert(name, make.points(range(50)))
    index.settle(name)
    assert index.count(name) == 50
    assert len(index.search(name, Search(vector=QUERY, limit=50))) == 50
