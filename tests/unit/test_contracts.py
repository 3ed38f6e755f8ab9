"""Ids, messages, taxonomy, payload: the values everything else agrees on."""

from __future__ import annotations

import numpy as np
import pytest

from schemas.ids import check_catalog_name, check_key, collection_name, new_id, point_id
from schemas.messages import IndexBatch, parse
from schemas.outcomes import Reason
from schemas.payload import Payload
from schemas.taxonomy import Category, category_ids, map_category
from workers.errors import ContractError
from workers.query.search import direction
from workers.telemetry import StageClock, bottleneck


def test_point_ids_are_stable_and_separate_catalogs() -> None:
    assert point_id("shop", "a.jpg") == point_id("shop", "a.jpg") != point_id("shop2", "a.jpg")
    assert point_id("a", "bc") != point_id("ab", "c")


@pytest.mark.parametrize("name", ["shop", "summer-2027", "a", "x" * 48])
def test_good_names(name: str) -> None:
    assert check_catalog_name(name) == name


@pytest.mark.parametrize("name", ["", "Shop", "a b", "-a", "a-", "a--b", "x" * 49, "a/b", "ü"])
def test_bad_names_are_refused_with_advice(name: str) -> None:
    with pytest.raises(ValueError, match="lower-case"):
        check_catalog_name(name)


def test_a_double_hyphen_separates_name_and_generation() -> None:
    assert collection_name("a-b", 3) == "a-b--g3"


@pytest.mark.parametrize(
    "key", ["", "/etc/passwd", "../a.jpg", "a/../b.jpg", "a//b.jpg", "./a.jpg", "a\x00b", "k" * 1025, "\ud800.jpg"]
)
def test_keys_that_leave_the_root_or_the_limits_are_refused(key: str) -> None:
    with pytest.raises(ValueError, match="key"):
        check_key(key)


def test_messages_refuse_what_they_do_not_know() -> None:
    body = {"v": 1, "batch_id": new_id(), "job_id": new_id()}
    assert parse(IndexBatch, body).model_dump() == body
    for bad in ({**body, "more": 1}, {**body, "v": 2}, {**body, "batch_id": "../x"}, {"v": 1}):
        with pytest.raises(ValueError, match="IndexBatch"):
            parse(IndexBatch, bad)


@pytest.mark.parametrize(
    ("declared", "category"),
    [
        ("T-Shirts", Category.T_SHIRT),
        ("tee", Category.T_SHIRT),
        ("LONG SLEEVE", Category.LONGSLEEVE),
        ("Dresses", Category.DRESS),
        ("  Jeans ", Category.PANTS),
        ("shoe", Category.SHOES),
        ("gizmo", None),
        (None, None),
    ],
)
def test_declared_categories_map_to_ids(declared: str | None, category: Category | None) -> None:
    assert map_category(declared) is category


def test_every_id_maps_to_itself() -> None:
    assert category_ids([category.value for category in Category]) == tuple(category.value for category in Category)
    with pytest.raises(ValueError, match="spaceship"):
        category_ids(["spaceship"])


def test_every_reason_has_advice() -> None:
    assert all(reason.advice.endswith(".") for reason in Reason)


def test_a_payload_survives_the_wire() -> None:
    payload = Payload(
        catalog="shop",
        key="a.jpg",
        etag="e",
        content_digest="c",
        model_digest="m",
        version=3,
        job="j",
        indexed_at="2026-01-01T00:00:00+00:00",
        category="dress",
        box=(0.1, 0.2, 0.3, 0.4),
        attributes=("striped",),
        price=0.0,
        in_stock=False,
        extra={"season": "summer"},
    )
    wire = payload.to_json()
    assert (wire["season"], wire["price"], wire["in_stock"]) == ("summer", 0.0, False)
    assert "brand" not in wire
    assert Payload.from_json(wire) == payload


def test_examples_become_one_direction() -> None:
    x, y = np.eye(2, 4, dtype=np.float32)
    none = np.empty((0, 4), dtype=np.float32)
    assert np.allclose(direction(np.stack([x, y]), none), (x + y) / np.sqrt(2))
    away = direction(x[np.newaxis], y[np.newaxis])
    assert away @ x > 0 > away @ y
    assert np.linalg.norm(away) == pytest.approx(1.0)
    with pytest.raises(ContractError, match="cancel"):
        direction(x[np.newaxis], 2 * x[np.newaxis])


def test_the_bottleneck_is_the_stage_with_the_least_room() -> None:
    slow, wide = StageClock("embed"), StageClock("fetch", threads=16)
    slow.add(busy_s=9.0, items=10)
    wide.add(busy_s=40.0, items=10)
    found = bottleneck([slow.stat(), wide.stat()], 10.0)
    assert found is not None
    assert (found.stage, found.utilisation) == ("embed", 0.9)
    assert bottleneck([], 10.0) is None
