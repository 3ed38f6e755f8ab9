"""A catalog's whole life on a Qdrant server: on the stand-in always, on a real server where one is named."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import pytest

from schemas.query import AnyOf, Range
from tests.support.qdrant_server import serve_qdrant
from tests.support.real_qdrant import real_qdrant
from tests.support.workshops import Indexer, picture, settled
from workers.adapters.memory import ColourGridEmbedder
from workers.adapters.object_store import StoreOptions, open_store
from workers.adapters.vector_index.qdrant import QdrantIndex
from workers.adapters.vector_index.qdrant_layout import LayoutOptions
from workers.query.search import Query, search

BRANDS = ("Ærlig", "東京", "plain")


@contextmanager
def _opened(place: str) -> Iterator[QdrantIndex]:
    layout = LayoutOptions(expected_points=50_000_000)  # on disk and quantised, as the largest catalogs are
    if place == "server":
        yield real_qdrant(layout)
        return
    with serve_qdrant() as stand_in:
        yield QdrantIndex(stand_in.url, layout=layout)


@pytest.fixture(params=["stand-in", pytest.param("server", marks=pytest.mark.qdrant)])
def indexer(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Indexer]:
    """A folder of pictures with a manifest, and a catalog that no other run has."""
    folder = tmp_path / "source"
    (folder / "images").mkdir(parents=True)
    for number in range(60):
        (folder / f"images/{number:03d}.jpg").write_bytes(picture(number))
    with _opened(request.param) as index:
        store = open_store(str(folder), StoreOptions())
        made = Indexer(index=index, store=store, name=f"t{uuid4().hex[:10]}")  # type: ignore[arg-type]
        try:
            yield made
        finally:
            for info in index.collections():
                if info.spec.catalog == made.name:
                    index.drop(info.spec.name)
            index.close()


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    rows = [f"images/{n:03d}.jpg,p{n // 3},{BRANDS[n % 3]},{10 + n},{'true' if n % 2 else 'false'}" for n in range(60)]
    table = tmp_path / "manifest.csv"
    table.write_text("\n".join(["image,product_id,brand,price,in_stock", *rows]), encoding="utf-8")
    return table


def ask(indexer: Indexer, query: Query) -> list[str]:
    answer = search(
        indexer.name,
        query,
        ledger=indexer.ledger,
        index=indexer.index,
        embedder_for=lambda _: indexer.embedder,
        limits=indexer.limits,
    )
    return [hit.payload.key for hit in answer.hits]


def test_a_catalog_lives_on_the_server(indexer: Indexer, manifest: Path) -> None:
    job = settled(indexer.sync(manifest=manifest))
    assert (job.counts.new, job.counts.indexed) == (60, 60)
    assert indexer.index.resolve(indexer.name) == indexer.collection
    assert indexer.index.info(indexer.collection).points == 60

    found = ask(indexer, Query(image=picture(7), limit=3))
    assert found[0] == "images/007.jpg"
    among = (AnyOf(field="brand", values=(BRANDS[1],)), Range(field="price", maximum=40.0))
    filtered = ask(indexer, Query(image=picture(7), conditions=among, limit=60))
    assert set(filtered) == {f"images/{n:03d}.jpg" for n in range(60) if n % 3 == 1 and 10 + n <= 40}
    grouped = ask(indexer, Query(image=picture(7), group_by="product_id", limit=20))
    assert len({int(key[7:10]) // 3 for key in grouped}) == len(grouped) == 20
    diverse = ask(indexer, Query(image=picture(7), diversity=0.5, limit=5))
    assert diverse[0] == "images/007.jpg"
    liked = ask(indexer, Query(likes=("images/007.jpg",), exclude_own_product=True, limit=5))
    assert not {"images/006.jpg", "images/007.jpg", "images/008.jpg"} & set(liked)
    brands = {facet.value: facet.count for facet in indexer.index.facet(indexer.collection, "brand")}
    assert brands == dict.fromkeys(BRANDS, 20)

    _change_the_source(indexer, manifest)
    before = indexer.collection
    settled(indexer.reindex(ColourGridEmbedder(name="another")))
    assert indexer.collection != before
    assert indexer.index.resolve(indexer.name) == indexer.collection
    assert len(indexer.indexed_keys()) == 59


def _change_the_source(indexer: Indexer, manifest: Path) -> None:
    """A picture changes, one vanishes, a row of the manifest changes."""
    folder = manifest.parent / "source"
    (folder / "images/001.jpg").write_bytes(picture(1001))
    (folder / "images/002.jpg").unlink()
    manifest.write_text(manifest.read_text("utf-8").replace(",13,true", ",99,true"), encoding="utf-8")
    job = settled(indexer.sync(manifest=manifest))
    assert (job.counts.changed, job.counts.deleted) == (1, 1)
    assert indexer.payload("images/003.jpg")["price"] == 99.0
    assert "images/002.jpg" not in indexer.indexed_keys()
    assert indexer.index.count(indexer.collection) == 59
