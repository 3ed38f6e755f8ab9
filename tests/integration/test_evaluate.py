"""Measuring a catalog on labelled images, on a real collection."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from schemas.query import AnyOf, Filter, Range, Scored, Search
from tests.support.workshops import Indexer, picture, settled
from workers.cli.labelled import labelled_folder
from workers.errors import ContractError, ItemError
from workers.query.evaluate import Asked, embed_labelled, evaluate, mean_with_interval, searches
from workers.query.labelled import Labelled, labelled_catalog, sample
from workers.query.resolver import Resolved, Resolver
from workers.query.selectivity import conditions_by_share

WORDS = ("Dresses", "shoes", "T-Shirts")
IDS = ("dress", "shoes", "t-shirt")


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Indexer:
    """60 pictures: two to a product, of three declared categories, prices 1 to 60, one of them out of stock."""
    made = Indexer()
    for number in range(60):
        made.store.put(f"{number:03d}.jpg", picture(number))
    table = tmp_path_factory.mktemp("manifest") / "manifest.csv"
    rows = [f"{n:03d}.jpg,p{n // 2},{WORDS[n % 3]},{1 + n},{n != 5}" for n in range(60)]
    table.write_text("\n".join(["image,product_id,category,price,in_stock", *rows]), encoding="utf-8")
    settled(made.sync(manifest=table))
    return made


def resolved(shop: Indexer) -> Resolved:
    return Resolver(ledger=shop.ledger, index=shop.index, card_for=lambda _: shop.embedder.card).resolve("shop")


def asked(shop: Indexer, images: tuple[Labelled, ...]) -> list[Asked | tuple[Labelled, ItemError]]:
    return list(
        embed_labelled(
            images,
            resolved=resolved(shop),
            index=shop.index,
            embedder_for=lambda _: shop.embedder,
            limits=shop.limits,
            read=lambda image: Path(str(image.path)).read_bytes(),
        )
    )


def test_conditions_have_the_shares_they_say(shop: Indexer) -> None:
    found = conditions_by_share(shop.index, resolved(shop).spec, (0.5, 0.05, 0.0005))
    assert found[0.0005] is None  # one image of sixty is the least a condition can pass
    for share in (0.5, 0.05):
        passing = found[share]
        assert passing is not None
        assert shop.index.count(shop.collection, Filter(conditions=(passing.condition,))) == passing.images
        assert passing.share == pytest.approx(passing.images / 60)
        assert share / 2 <= passing.share <= share * 2
        assert isinstance(passing.condition, Range | AnyOf)


def test_a_catalog_measured_on_its_own_images(shop: Indexer) -> None:
    images = labelled_catalog(shop.index, resolved(shop))
    queries = [one for one in asked(shop, images) if isinstance(one, Asked)]
    steps: list[int] = []
    found = evaluate(queries, resolved=resolved(shop), index=shop.index, on_progress=steps.append)
    assert (found.queries, found.themselves_indexed) == (60, 60)
    assert steps[-1] == searches(60)
    assert [r.wanted_share for r in found.recalls] == [None, 0.5, 0.05, 0.005]
    assert [r.recall.value for r in found.recalls if r.recall is not None] == [1.0] * 3  # this index is exact
    assert found.recalls[0].latency_ms["p50"] <= found.recalls[0].latency_ms["p99"]

    # against a naive count over all pairs
    vectors = {o.image.name: o.vector for o in queries}
    names = sorted(vectors)
    cosine = np.array([[float(vectors[a] @ vectors[b]) for b in names] for a in names])
    np.fill_diagonal(cosine, -2.0)
    nearest = np.argsort(-cosine, axis=1)[:, :10]
    numbers = np.arange(60)
    right = nearest % 3 == (numbers % 3)[:, None]
    same = nearest // 2 == (numbers // 2)[:, None]
    figures = {name: figure.value for name, figure in found.figures.items()}
    assert figures == pytest.approx(
        {
            "category_precision_at_1": right[:, 0].mean(),
            "category_precision_at_10": right.mean(),
            "product_recall_at_1": same[:, 0].mean(),
            "product_recall_at_10": same.any(axis=1).mean(),
        }
    )
    assert [j.precision for j in found.worst] == sorted(right.mean(axis=1))[: len(found.worst)]


def test_an_index_that_misses_half_is_found_out(shop: Indexer) -> None:
    class Forgetful:
        def __getattr__(self, name: str) -> object:
            return getattr(shop.index, name)

        def search(self, collection: str, request: Search) -> list[Scored]:
            hits = list(shop.index.search(collection, request))
            return hits if request.exact else hits[::2]

    queries = [o for o in asked(shop, labelled_catalog(shop.index, resolved(shop))) if isinstance(o, Asked)]
    found = evaluate(queries, resolved=resolved(shop), index=Forgetful())  # type: ignore[arg-type]
    assert found.recalls[0].recall is not None
    assert found.recalls[0].recall.value == 0.5


def test_a_folder_of_categories(shop: Indexer, tmp_path: Path) -> None:
    for number, word in enumerate(WORDS):
        (tmp_path / word).mkdir()
        (tmp_path / word / "known.jpg").write_bytes(picture(number))
        (tmp_path / word / "fresh.jpg").write_bytes(picture(500 + number))
    (tmp_path / WORDS[0] / "broken.jpg").write_bytes(b"\xff\xd8nothing")
    (tmp_path / "unknown words").mkdir()
    (tmp_path / "unknown words" / "left-out.jpg").write_bytes(picture(900))
    images = labelled_folder(tmp_path, None)
    assert {image.category for image in images} == set(IDS)
    assert len(images) == 7
    found = asked(shop, images)
    queries = [one for one in found if isinstance(one, Asked)]
    assert [one[0].name for one in found if not isinstance(one, Asked)] == ["Dresses/broken.jpg"]
    assert {o.image.name.split("/")[1] for o in queries if o.own} == {"known.jpg"}
    result = evaluate(queries, resolved=resolved(shop), index=shop.index)
    assert (result.queries, result.themselves_indexed) == (6, 3)
    assert "product_recall_at_1" not in result.figures


def test_a_manifest_labels_a_folder(shop: Indexer, tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(picture(500))
    (tmp_path / "b.jpg").write_bytes(picture(501))
    table = tmp_path / "labels.csv"
    table.write_text("image,product_id,category\na.jpg,p3,dress\n", encoding="utf-8")
    (image,) = labelled_folder(tmp_path, table)
    assert (image.name, image.product_id, image.category) == ("a.jpg", "p3", "dress")
    queries = [o for o in asked(shop, (image,)) if isinstance(o, Asked)]
    assert evaluate(queries, resolved=resolved(shop), index=shop.index).figures["product_recall_at_10"].queries == 1


def test_folders_that_cannot_be_measured_on(tmp_path: Path) -> None:
    with pytest.raises(ContractError, match="is no folder"):
        labelled_folder(tmp_path / "none", None)
    with pytest.raises(ContractError, match="no image in"):
        labelled_folder(tmp_path, None)
    (tmp_path / "odd").mkdir()
    (tmp_path / "odd" / "a.jpg").write_bytes(picture(1))
    with pytest.raises(ContractError, match="name its sub-folders after categories"):
        labelled_folder(tmp_path, None)
    table = tmp_path / "labels.csv"
    table.write_text("image,category\nb.jpg,dress\n", encoding="utf-8")
    with pytest.raises(ContractError, match="names a category or product_id for none"):
        labelled_folder(tmp_path, table)
    with pytest.raises(ContractError, match="nothing to measure"):
        evaluate([], resolved=None, index=None)  # type: ignore[arg-type]


def test_a_catalog_without_labels_says_so() -> None:
    bare = Indexer()
    bare.store.put("a.jpg", picture(1))
    settled(bare.sync())
    with pytest.raises(ContractError, match="no image of the catalog 'shop' has a declared category or product"):
        labelled_catalog(bare.index, resolved(bare))


def test_draws_and_intervals_are_repeatable() -> None:
    images = tuple(Labelled(name=str(n), path=None, id=str(n)) for n in range(50))
    drawn = sample(images, 10, seed=1)
    assert drawn == sample(images, 10, seed=1) != sample(images, 10, seed=2)
    assert [int(one.name) for one in drawn] == sorted(int(one.name) for one in drawn)
    assert sample(images, 50, seed=1) == images
    values = np.array([1.0, 1.0, 0.0, 0.0, np.nan])
    figure = mean_with_interval(values, np.array([0, 0, 1, 1, 2]))
    assert figure is not None
    assert (figure.value, figure.low, figure.high, figure.queries) == (0.5, 0.0, 1.0, 4)
    alone = mean_with_interval(values[:2], np.array([0, 0]))
    assert alone is not None
    assert replace(alone, value=1.0) == alone
    assert (alone.low, alone.high) == (None, None)
    assert mean_with_interval(np.array([np.nan]), np.array([0])) is None
