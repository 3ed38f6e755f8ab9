"""Links to pictures: short-lived, for one picture each, not to be forged."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
from pydantic import SecretStr

from workers.bootstrap import Process
from workers.settings import Settings
from workers.web.links import LIFE_STEPS, STEP_S, Links


class Clock:
    now = 1_000_000_123.0

    def __call__(self) -> float:
        return self.now


def parts(url: str) -> tuple[str, str, str, int, str]:
    split = urlsplit(url)
    query = {name: values[0] for name, values in parse_qs(split.query).items()}
    key, kind = unquote(split.path).removeprefix("/v1/items/").rsplit("/", 1)
    return kind, query["catalog"], key, int(query["expires"]), query["signature"]


@pytest.fixture
def process(tmp_path: Path) -> Process:
    return Process(Settings(home=tmp_path, link_secret=SecretStr("s")))


@pytest.mark.parametrize("key", ["a.jpg", "women/été 1+1?.jpg", "100%.jpg", "a&b=c#d.jpg"])
def test_a_link_opens_its_picture_until_it_ends(process: Process, key: str) -> None:
    clock = Clock()
    links = Links(process, clock=clock)
    link = links.thumbnail("shop", key)
    kind, catalog, named, expires, signature = parts(link["url"])
    assert (kind, catalog, named) == ("thumbnail", "shop", key)
    assert STEP_S * (LIFE_STEPS - 1) <= expires - clock.now <= STEP_S * LIFE_STEPS
    assert links.is_good(kind, catalog, named, expires, signature)
    assert Links(process, clock=clock).is_good(kind, catalog, named, expires, signature)  # another server, same secret
    clock.now = expires
    assert not links.is_good(kind, catalog, named, expires, signature)


def test_a_link_opens_nothing_else(process: Process) -> None:
    links = Links(process, clock=Clock())
    kind, catalog, key, expires, signature = parts(links.thumbnail("shop", "a.jpg")["url"])
    others = [
        ("image", catalog, key, expires, signature),
        (kind, "other", key, expires, signature),
        (kind, catalog, "b.jpg", expires, signature),
        (kind, catalog, key, expires + 1, signature),
        (kind, catalog, key, expires, "0" * 64),
        (kind, catalog, key, expires, "é"),
    ]
    assert not any(links.is_good(*other) for other in others)


def test_links_of_servers_without_a_common_secret_differ_and_a_page_gets_the_same_twice(tmp_path: Path) -> None:
    process = Process(Settings(home=tmp_path))
    one, other = Links(process, clock=Clock()), Links(process, clock=Clock())
    assert one.thumbnail("shop", "a.jpg") == one.thumbnail("shop", "a.jpg")
    assert one.thumbnail("shop", "a.jpg") != other.thumbnail("shop", "a.jpg")


def test_a_folders_originals_come_through_the_server(process: Process) -> None:
    assert Links(process).image("shop", "file:///data", "a.jpg")["url"].startswith("/v1/items/a.jpg/image?")
