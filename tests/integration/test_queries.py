"""Asking a filled catalog in every way there is: from the source through ledger and index to the answer."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import simplejpeg

from schemas.api import MAX_DEPTH
from schemas.model_card import Likeness
from schemas.query import AnyOf, Condition, Missing, NoneOf, Range
from tests.support.workshops import Indexer, picture, settled
from workers.adapters.memory import ColourGridEmbedder
from workers.errors import ContractError, ModelConflictError, NotFoundError
from workers.imaging.decode import DecodeLimits, decode
from workers.imaging.preprocess import prepare
from workers.indexing.update import submit_update
from workers.query.resolver import Resolver
from workers.query.search import Answer, Query, search

BRANDS = ("Acme", "Bolt", "Cord")


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Indexer:
    """60 pictures: three to a product, a brand each, prices 10 to 69, every fourth without a colour. Nobody changes it."""
    made = Indexer()
    made.embedder.card = made.embedder.card.model_copy(
        update={
            "no_match_below": 0.5,
            "likeness": Likeness(slope=8.0, intercept=-4.0, by="category", data="made", images=1, pairs=1),
        }
    )
    for number in range(60):
        made.store.put(f"{number:03d}.jpg", picture(number))
    table = tmp_path_factory.mktemp("manifest") / "manifest.csv"
    rows = [
        f"{n:03d}.jpg,p{n // 3},{BRANDS[n % 3]},{10 + n},{'true' if n % 2 else 'false'},{'red' if n % 4 else ''}"
        for n in range(60)
    ]
    table.write_text("\n".join(["image,product_id,brand,price,in_stock,colour", *rows]), encoding="utf-8")
    settled(made.sync(manifest=table))
    return made


def ask(shop: Indexer, query: Query, **arguments: object) -> Answer:
    return search(
        "shop",
        query,
        ledger=shop.ledger,
        index=shop.index,
        embedder_for=lambda _: shop.embedder,
        limits=shop.limits,
        **arguments,  # type: ignore[arg-type]
    )


def keys(answers: Iterable[Answer]) -> list[str]:
    return [hit.payload.key for answer in answers for hit in answer.hits]


def pages(shop: Indexer, query: Query) -> list[Answer]:
    found = [ask(shop, query)]
    while found[-1].next_cursor is not None:
        found.append(ask(shop, replace(query, cursor=found[-1].next_cursor)))
    return found


# ------------------------------------------------------------------------------------------------------------ starts


def test_an_answer_says_what_was_seen_and_what_a_hit_is_worth(shop: Indexer) -> None:
    answer = ask(shop, Query(image=picture(7), limit=3))
    assert (answer.generation, answer.no_match_below) == (1, 0.5)
    assert answer.seen is not None
    assert answer.seen.categories is not None
    assert answer.seen.categories[0] == (answer.seen.category, answer.seen.confidence)
    assert len(answer.seen.categories) == 5
    assert [p for _, p in answer.seen.categories] == sorted((p for _, p in answer.seen.categories), reverse=True)
    np.testing.assert_array_equal(answer.vector, answer.seen.vector)
    likeness = shop.embedder.card.likeness
    assert likeness is not None
    assert answer.likeness == tuple(likeness.of(hit.score) for hit in answer.hits)
    assert ask(shop, Query(vector=answer.vector, limit=3)).seen is None


def test_a_crop_is_the_picture_that_was_cut_out(shop: Indexer) -> None:
    left, right = (decode(picture(n), min_side_px=48, limits=DecodeLimits()).pixels for n in (7, 30))
    beside = bytes(simplejpeg.encode_jpeg(np.ascontiguousarray(np.concatenate([left, right], axis=1)), quality=97))
    assert keys([ask(shop, Query(image=beside, crop=(0.0, 0.0, 0.5, 1.0), limit=1))]) == ["007.jpg"]
    assert keys([ask(shop, Query(image=beside, crop=(0.5, 0.0, 1.0, 1.0), limit=1))]) == ["030.jpg"]


def test_a_crop_of_a_large_jpeg_keeps_its_resolution() -> None:
    fine = np.zeros((2000, 2000, 3), dtype=np.uint8)
    fine[:200, :200] = cv2.resize(decode(picture(5), min_side_px=48, limits=DecodeLimits()).pixels, (200, 200))
    jpeg = bytes(simplejpeg.encode_jpeg(fine, quality=97))
    card = ColourGridEmbedder().card.preprocessing
    part = prepare(jpeg, card, DecodeLimits(), crop=(0.0, 0.0, 0.1, 0.1))
    alone = bytes(simplejpeg.encode_jpeg(np.ascontiguousarray(fine[:200, :200]), quality=97))
    assert np.abs(part.astype(int) - prepare(alone, card, DecodeLimits())).mean() < 3.0


@pytest.mark.parametrize(
    ("crop", "said"),
    [
        ((0.5, 0.0, 0.5, 1.0), "no part of a picture"),
        ((0.6, 0.0, 0.4, 1.0), "no part of a picture"),
        ((0.0, 0.0, 1.1, 1.0), "no part of a picture"),
        ((0.0, 0.0, float("nan"), 1.0), "no part of a picture"),
        ((0.0, 0.0, 0.001, 1.0), "draw a larger one"),
        ((0.0, 0.0, 0.1, 1.0), "5 x 48 of the picture's 48 x 48 pixels"),
    ],
)
def test_a_crop_of_nothing_is_refused(shop: Indexer, crop: tuple[float, float, float, float], said: str) -> None:
    with pytest.raises(ContractError, match=said):
        ask(shop, Query(image=picture(7), crop=crop))


def test_a_product_is_asked_for_by_all_of_its_images(shop: Indexer) -> None:
    answer = ask(shop, Query(product="p2", limit=60))
    assert len(answer.hits) == 57
    assert not {"006.jpg", "007.jpg", "008.jpg"} & set(keys([answer]))
    vectors = [
        shop.embedder.embed(prepare(picture(n), shop.embedder.card.preprocessing, shop.limits)[None]).vectors[0]
        for n in (6, 7, 8)
    ]
    mean = np.mean(vectors, axis=0)
    np.testing.assert_allclose(answer.vector, mean / np.linalg.norm(mean), atol=1e-5)
    away = ask(shop, Query(product="p2", dislikes=("030.jpg",), limit=60))
    assert "030.jpg" not in keys([away])
    with pytest.raises(NotFoundError, match="no searchable image of product 'p99'"):
        ask(shop, Query(product="p99"))


def test_a_vector_of_another_model_is_refused(shop: Indexer) -> None:
    vector = ask(shop, Query(image=picture(7), limit=1)).vector
    assert keys([ask(shop, Query(vector=vector, model=shop.embedder.card.digest, limit=1))]) == ["007.jpg"]
    with pytest.raises(ModelConflictError, match="embed the picture again"):
        ask(shop, Query(vector=vector, model="f" * 64))


@pytest.mark.parametrize(
    ("query", "said"),
    [
        (Query(), "exactly one of"),
        (Query(product="p1", likes=("000.jpg",)), "exactly one of"),
        (Query(image=b"x", dislikes=("000.jpg",)), "need a product or at least one image"),
        (Query(product="p1", crop=(0, 0, 1, 1)), "a crop needs a picture"),
        (Query(product="p1", model="f" * 64), "named for a vector only"),
        (Query(product="p1", diversity=2.0), "goes from 0"),
        (Query(product="p1", limit=0), "at least one hit"),
        (Query(product="p1", offset=3, cursor="x"), "leave the offset out"),
    ],
)
def test_what_is_no_query_is_refused(shop: Indexer, query: Query, said: str) -> None:
    with pytest.raises(ContractError, match=said):
        ask(shop, query)


# ---------------------------------------------------------------------------------------- thresholds, filters, facets


def test_only_matches(shop: Indexer) -> None:
    everything = ask(shop, Query(image=picture(7), limit=60))
    matches = ask(shop, Query(image=picture(7), limit=60, match_only=True))
    assert keys([matches]) == [hit.payload.key for hit in everything.hits if hit.score >= 0.5]
    assert 0 < len(matches.hits) < 60
    plain = ColourGridEmbedder().card
    with pytest.raises(ContractError, match="no measured level"):
        ask(shop, Query(image=picture(7), match_only=True), card_for=lambda _: plain)


def test_facets_count_what_passes_the_filter(shop: Indexer) -> None:
    cheap = Range(field="price", maximum=39.0)
    answer = ask(shop, Query(image=picture(7), conditions=(cheap,), facets=("brand", "in_stock", "colour"), limit=2))
    assert answer.total == 30
    assert {f.value: f.count for f in answer.facets["brand"]} == dict.fromkeys(BRANDS, 10)
    assert {f.value: f.count for f in answer.facets["in_stock"]} == {True: 15, False: 15}
    assert {f.value: f.count for f in answer.facets["colour"]} == {"red": 22}
    assert (ask(shop, Query(image=picture(7))).total, ask(shop, Query(image=picture(7))).facets) == (None, {})
    with pytest.raises(ContractError, match=r"cannot count values of 'price'; it can of .*brand \(keyword\)"):
        ask(shop, Query(image=picture(7), facets=("price",)))


def test_filters_of_every_kind(shop: Indexer) -> None:
    def numbers(*conditions: Condition) -> set[int]:
        return {int(key[:3]) for key in keys([ask(shop, Query(image=picture(7), conditions=conditions, limit=60))])}

    assert numbers(AnyOf(field="brand", values=("Acme", "Bolt"))) == {n for n in range(60) if n % 3 < 2}
    assert numbers(NoneOf(field="brand", values=("Acme",))) == {n for n in range(60) if n % 3}
    assert numbers(Missing(field="colour")) == set(range(0, 60, 4))
    assert numbers(Range(field="price", minimum=20, maximum=22), AnyOf(field="in_stock", values=(True,))) == {11}


@pytest.mark.parametrize(
    ("condition", "said"),
    [
        (AnyOf(field="season", values=("summer",)), r"cannot be filtered by 'season'; it can by .*price \(float\)"),
        (AnyOf(field="brand", values=(3,)), "'brand' holds text, and 3 is none"),
        (AnyOf(field="in_stock", values=("yes",)), "'in_stock' holds true or false, and 'yes' is none"),
        (AnyOf(field="version", values=(True,)), "'version' holds whole numbers, and True is none"),
        (AnyOf(field="price", values=(3,)), "'price' holds numbers; filter it by a range"),
        (Range(field="brand", minimum=1), "'brand' holds text, which have no range"),
    ],
)
def test_a_filter_that_can_never_hold_is_refused(shop: Indexer, condition: Condition, said: str) -> None:
    with pytest.raises(ContractError, match=said):
        ask(shop, Query(image=picture(7), conditions=(condition,)))


def test_a_kept_column_is_filtered_and_counted_and_a_later_one_after_a_reindex(tmp_path: Path) -> None:
    indexer = Indexer()
    for number in range(9):
        indexer.store.put(f"{number:03d}.jpg", picture(number))
    table = tmp_path / "manifest.csv"
    rows = [f"{n:03d}.jpg,{'summer' if n % 3 else 'winter'},{38 + n % 2}" for n in range(9)]
    table.write_text("\n".join(["image,season,size", *rows]), encoding="utf-8")
    settled(indexer.sync(manifest=table, extra_fields=("season",)))
    winter = (AnyOf(field="season", values=("winter",)),)
    answer = ask(indexer, Query(image=picture(0), conditions=winter, facets=("season",)))
    assert sorted(keys([answer])) == ["000.jpg", "003.jpg", "006.jpg"]
    assert [(f.value, f.count) for f in answer.facets["season"]] == [("winter", 3)]
    settled(indexer.sync(manifest=table, extra_fields=("season", "size")))
    large = Query(image=picture(0), conditions=(AnyOf(field="size", values=("39",)),))
    with pytest.raises(ContractError, match="kept later joins them with the next reindex"):
        ask(indexer, large)
    settled(indexer.reindex(ColourGridEmbedder(name="another")))
    assert len(ask(indexer, large).hits) == 4


def test_a_kept_number_has_ranges_and_a_kept_flag_two_values(tmp_path: Path) -> None:
    indexer = Indexer()
    for number in range(6):
        indexer.store.put(f"{number:03d}.jpg", picture(number))
    table = tmp_path / "manifest.csv"
    rows = [f"{n:03d}.jpg,{n * 10.5},{'yes' if n % 2 else 'no'}" for n in range(6)]
    table.write_text("\n".join(["image,weight,vegan", *rows]), encoding="utf-8")
    settled(indexer.sync(manifest=table, extra_fields=("weight:number", "vegan:flag")))

    def found(*conditions: Condition) -> list[str]:
        return sorted(keys([ask(indexer, Query(image=picture(0), conditions=conditions))]))

    assert found(Range(field="weight", minimum=21.0, maximum=42.0)) == ["002.jpg", "003.jpg", "004.jpg"]
    vegan = AnyOf(field="vegan", values=(True,))
    assert found(Range(field="weight", minimum=21.0), vegan) == ["003.jpg", "005.jpg"]
    counted = ask(indexer, Query(image=picture(0), facets=("vegan",))).facets["vegan"]
    assert {(facet.value, facet.count) for facet in counted} == {(True, 3), (False, 3)}
    updated = submit_update("shop", {"weight": "50,5"}, ledger=indexer.ledger, keys=("000.jpg",), idempotency_key="1")
    indexer.work(updated.jobs[0])
    assert found(Range(field="weight", minimum=50.0, maximum=51.0)) == ["000.jpg"]
    with pytest.raises(ContractError, match="weight is 'heavy'"):
        submit_update("shop", {"weight": "heavy"}, ledger=indexer.ledger, keys=("000.jpg",), idempotency_key="2")


# ------------------------------------------------------------------------------------------------------------- pages


@pytest.mark.parametrize("limit", [1, 7, 20, 60, 100])
@pytest.mark.parametrize(
    "options", [{}, {"group_by": "product_id"}, {"diversity": 0.6}, {"group_by": "product_id", "diversity": 0.6}]
)
def test_pages_together_are_the_whole_answer(shop: Indexer, options: dict[str, object], limit: int) -> None:
    whole = Query(image=picture(7), limit=60, **options)  # type: ignore[arg-type]
    count = 20 if "group_by" in options else 60
    found = pages(shop, replace(whole, limit=limit))
    together = keys(found)
    assert len(found) == -(-count // limit)
    assert together == keys([ask(shop, whole)])
    assert len(set(together)) == count


def test_pages_go_on_behind_the_candidates_of_a_diverse_answer(shop: Indexer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workers.query.search.POOL_MINIMUM", 10)
    monkeypatch.setattr("workers.query.search.POOL_FACTOR", 1)
    found = pages(shop, Query(image=picture(7), limit=8, diversity=0.6))
    assert [len(page.hits) for page in found] == [8] * 7 + [4]
    together = keys(found)
    assert len(set(together)) == 60
    by_similarity = keys([ask(shop, Query(image=picture(7), limit=60))])
    assert (set(together[:10]), together[10:]) == (set(by_similarity[:10]), by_similarity[10:])


def test_a_page_may_have_another_size_and_show_other_things(shop: Indexer) -> None:
    query = Query(image=picture(7), limit=5)
    first = ask(shop, query)
    second = ask(shop, replace(query, cursor=first.next_cursor, limit=55, facets=("brand",), with_vectors=True))
    assert keys([first, second]) == keys([ask(shop, replace(query, limit=60))])
    assert second.next_cursor is None


def test_a_cursor_belongs_to_its_query(shop: Indexer) -> None:
    query = Query(image=picture(7), limit=5)
    cursor = ask(shop, query).next_cursor
    assert cursor is not None
    others = [
        replace(query, image=picture(8)),
        replace(query, diversity=0.1),
        replace(query, group_by="brand"),
        replace(query, exact=True),
        replace(query, match_only=True),
        replace(query, conditions=(Missing(field="colour"),)),
        replace(query, crop=(0.0, 0.0, 0.5, 0.5)),
        Query(product="p1", limit=5),
    ]
    for other in others:
        with pytest.raises(ContractError, match="of another query; start again"):
            ask(shop, replace(other, cursor=cursor))


def forged(**changes: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(changes).encode()).decode().rstrip("=")


@pytest.mark.parametrize("text", ["", "?", "a", "bm8", forged(), "é", "[" * 500, forged(c=1, q=2, o=3)])
def test_what_is_no_cursor_is_refused(shop: Indexer, text: str) -> None:
    with pytest.raises(ContractError, match="start again"):
        ask(shop, Query(image=picture(7), cursor=text))


@pytest.mark.parametrize(
    "change", [{"o": -1}, {"o": MAX_DEPTH}, {"o": True}, {"o": 1.5}, {"p": -3}, {"p": "x"}, {"p": None}]
)
def test_a_forged_place_is_refused(shop: Indexer, change: dict[str, object]) -> None:
    query = Query(image=picture(7), limit=5)
    cursor = ask(shop, query).next_cursor
    assert cursor is not None
    data = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    with pytest.raises(ContractError, match="no cursor that a search gave"):
        ask(shop, replace(query, cursor=forged(**{**data, **change})))


def test_a_cursor_ends_with_a_reindex() -> None:
    indexer = Indexer()
    for number in range(10):
        indexer.store.put(f"{number:03d}.jpg", picture(number))
    settled(indexer.sync())
    query = Query(image=picture(7), limit=5)
    cursor = ask(indexer, query).next_cursor
    settled(indexer.reindex(ColourGridEmbedder(name="another")))
    with pytest.raises(ContractError, match="indexed anew since; start again"):
        ask(indexer, replace(query, cursor=cursor))


# ---------------------------------------------------------------------------------------------------------- resolving


def test_a_resolver_asks_the_ledger_once_a_second_and_notices_a_reindex_at_once() -> None:
    indexer = Indexer()
    for number in range(10):
        indexer.store.put(f"{number:03d}.jpg", picture(number))
    settled(indexer.sync())
    now, asked = [100.0], []

    class Counting:
        def __getattr__(self, name: str) -> object:
            asked.append(name)
            return getattr(indexer.ledger, name)

    resolver = Resolver(
        ledger=Counting(),  # type: ignore[arg-type]
        index=indexer.index,
        card_for=lambda _: indexer.embedder.card,
        clock=lambda: now[0],
    )
    vector = ask(indexer, Query(image=picture(7), limit=1)).vector
    for _ in range(20):
        ask(indexer, Query(vector=vector, limit=1), resolver=resolver)
    assert asked == ["catalog", "generation"]
    now[0] += 1.1
    ask(indexer, Query(vector=vector, limit=1), resolver=resolver)
    assert asked == ["catalog", "generation"] * 2
    settled(indexer.reindex(ColourGridEmbedder(name="another")))
    after = ask(indexer, Query(vector=vector, limit=1), resolver=resolver)
    assert after.generation == 2
    assert after.model == indexer.embedder.card.digest
    with pytest.raises(NotFoundError):
        resolver.resolve("nobody")
