"""Asking over HTTP: a real server over a real index."""

from __future__ import annotations

import base64
import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import numpy as np
import pytest

from schemas.api import CatalogInfo, ClassifyAnswer, Item, SearchAnswer
from tests.support.commands import Catalog
from tests.support.images import png_bomb
from tests.support.served import app_served
from tests.support.workshops import picture
from workers.bootstrap import Process
from workers.settings import Settings
from workers.web.app import make_app

KEY = "003.jpg"


@pytest.fixture(scope="module")
def url(shop: tuple[Catalog, Path]) -> Iterator[str]:
    command, _ = shop
    settings = Settings(home=command.home, model=str(command.bundle))
    with Process(settings) as process, app_served(make_app(process)) as served:
        yield served


@pytest.fixture
def client(url: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=url, timeout=30) as opened:
        yield opened


def ask(client: httpx.Client, picture: bytes | None = None, **query: Any) -> httpx.Response:
    asked = {"catalog": "shop", **query}
    if picture is None:
        return client.post("/v1/search", json=asked)
    return client.post(
        "/v1/search", files={"image": ("a.jpg", picture, "image/jpeg"), "query": (None, json.dumps(asked))}
    )


def keys(answer: httpx.Response) -> list[str]:
    assert answer.status_code == 200, answer.text
    return [hit.key for hit in SearchAnswer.model_validate_json(answer.content).hits]


def test_every_way_to_ask_finds_the_same_picture(client: httpx.Client) -> None:
    loose = {"exclude_own_product": False, "group_by": None, "limit": 3}
    uploaded = ask(client, picture(3), with_vectors=True, **loose)
    assert keys(uploaded)[0] == KEY
    seen = uploaded.json()["query"]
    assert keys(ask(client, image_key=KEY, **loose)) == keys(uploaded)
    assert keys(ask(client, vector_base64=seen["vector_base64"], **loose)) == keys(uploaded)
    vector = np.frombuffer(base64.b64decode(seen["vector_base64"]), dtype="<f4").tolist()
    assert keys(ask(client, vector=vector, model=uploaded.json()["model"], **loose)) == keys(uploaded)
    similar = client.get(f"/v1/items/{KEY}/similar", params={"catalog": "shop", "group_by": "", "limit": 2})
    assert KEY not in keys(similar)
    assert keys(ask(client, likes=[KEY], group_by=None, limit=2)) == keys(similar)


def test_pages_filters_and_counts(client: httpx.Client) -> None:
    first = ask(client, likes=[KEY], group_by=None, limit=4, facets=["category"])
    second = ask(client, likes=[KEY], group_by=None, limit=4, cursor=first.json()["next_cursor"])
    assert len({*keys(first), *keys(second)}) == 8
    counted = first.json()["facets"]["category"]
    assert sum(one["count"] for one in counted) == first.json()["total"] == 30
    wanted = {"field": "category", "any_of": [counted[0]["value"]]}
    similar = client.get(
        f"/v1/items/{KEY}/similar",
        params={"catalog": "shop", "filter": json.dumps([wanted]), "limit": 50, "group_by": ""},
    )
    assert {hit["category"] for hit in similar.json()["hits"]} == {counted[0]["value"]}


def test_what_the_model_sees_with_its_heat_map(client: httpx.Client) -> None:
    answer = client.post("/v1/classify", files={"image": picture(3), "query": (None, '{"heat_map": true}')})
    seen = ClassifyAnswer.model_validate_json(answer.content)
    assert seen.heat_map is not None
    assert len(seen.heat_map.values) == seen.heat_map.rows


def test_a_catalog_is_described_and_browsed(client: httpx.Client) -> None:
    about = CatalogInfo.model_validate_json(client.get("/v1/catalogs/shop").content)
    assert (about.images, about.quarantined) == (30, 2)
    assert [one["name"] for one in client.get("/v1/catalogs").json()["catalogs"]] == ["shop"]
    found, cursor = [], None
    while True:
        page = client.get(
            "/v1/catalogs/shop/items", params={"limit": 13} | ({"cursor": cursor} if cursor else {})
        ).json()
        found += [item["key"] for item in page["items"]]
        if (cursor := page["next_cursor"]) is None:
            break
    assert sorted(found) == [f"{number:03d}.jpg" for number in range(30)]
    assert Item.model_validate_json(client.get(f"/v1/items/{KEY}", params={"catalog": "shop"}).content).key == KEY


def test_links_lead_to_pictures_that_a_browser_may_show(client: httpx.Client) -> None:
    item = client.get(f"/v1/items/{KEY}", params={"catalog": "shop"}).json()
    original, small = client.get(item["image"]["url"]), client.get(item["thumbnail"]["url"])
    assert (original.content, original.headers["content-type"]) == (picture(3), "image/jpeg")
    assert small.content.startswith(b"\xff\xd8\xff")
    for answer in (original, small):
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "sandbox" in answer.headers["content-security-policy"]
        assert answer.headers["cache-control"].startswith("private")
    again = client.get(item["thumbnail"]["url"], headers={"If-None-Match": small.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert client.get(item["image"]["url"][:-2] + "zz").status_code == 403


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ({}, 400), ({"likes": ["a"], "product": "1"}, 400), ({"likes": ["none.jpg"]}, 404), ({"image_key": "x.jpg"}, 404),
        ({"likes": [KEY], "limit": 0}, 422), ({"likes": [KEY], "strange": 1}, 422), ({"vector": [1.0]}, 400),
        ({"vector_base64": "!"}, 400), ({"likes": [KEY], "filter": [{"field": "none", "any_of": ["x"]}]}, 400),
        ({"likes": [KEY], "cursor": "x"}, 400), ({"image_url": "https://127.0.0.1/a.jpg"}, 400),
        ({"vector": [1.0], "model": "0" * 64}, 409), ({"catalog": "none", "likes": [KEY]}, 404),
        ({"image_key": "cut.jpg"}, 422), ({"image_key": "../../etc/passwd"}, 422),
    ],
)  # fmt: skip
def test_what_cannot_be_answered_is_a_problem(client: httpx.Client, query: dict[str, Any], status: int) -> None:
    answer = ask(client, **query)
    said = answer.json()
    assert (answer.status_code, said["status"]) == (status, status), answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert said["request_id"] == answer.headers["x-request-id"]


def test_bad_pictures_and_bodies_are_refused(client: httpx.Client) -> None:
    assert ask(client, b"no picture").json()["reason"] == "not_an_image"
    assert ask(client, png_bomb(60_000, 60_000)).json()["reason"] == "too_many_pixels"
    assert client.post("/v1/search", content=b"{", headers={"Content-Type": "application/json"}).status_code == 422
    assert client.post("/v1/search", content=b"x", headers={"Content-Type": "text/plain"}).status_code == 415
    assert client.post("/v1/search", json={"likes": ["x" * 1000] * 2000}).status_code == 413
    assert client.post("/v1/search", files={"other": b"x"}).status_code == 400


def test_only_requests_to_this_server_from_its_own_pages_are_answered(client: httpx.Client, url: str) -> None:
    assert client.get("/healthz", headers={"Host": "evil.example"}).status_code == 421
    assert client.get("/healthz", headers={"Origin": "https://evil.example"}).status_code == 403
    assert client.get("/healthz", headers={"Origin": url}).status_code == 200
    assert client.get("/healthz", headers={"Origin": "null"}).status_code == 403
    crossing = client.post("/v1/search", json={}, headers={"Sec-Fetch-Site": "cross-site"})
    assert crossing.status_code == 403
    assert client.get("/healthz", headers={"X-Request-Id": "my-request-1"}).headers["x-request-id"] == "my-request-1"
    assert client.get("/healthz", headers={"X-Request-Id": "a b"}).headers["x-request-id"] != "a b"
    assert client.get("/healthz?" + "x" * 20_000).status_code == 414


def test_a_head_without_end_is_refused(url: str) -> None:
    where = urlsplit(url)
    with socket.create_connection((where.hostname or "", where.port or 0), timeout=10) as raw:
        raw.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: ")
        try:
            for _ in range(40):
                raw.sendall(b"x" * 65536)
        except OSError:
            pass
        answer = raw.recv(1000)
    assert answer.startswith(b"HTTP/1.1 431"), answer[:100]


def test_figures_are_told(client: httpx.Client) -> None:
    text = client.get("/metrics").text
    for figure in ('catalog_points{collection="shop--g1"} 30.0', 'route="/v1/search"', "catalog_query_batches_total"):
        assert figure in text
    assert 'catalog_items{catalog="shop",outcome="quarantined",reason="empty"} 1.0' in text
    assert client.get("/readyz").json() == {"status": "ok"}
