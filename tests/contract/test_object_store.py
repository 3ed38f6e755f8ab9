"""What every object store promises, on a folder, in memory and on a real S3 server."""

from __future__ import annotations

import os
import time
import traceback
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from schemas.outcomes import Reason
from tests.support.s3_server import S3Server, serve_s3
from workers.adapters.object_store import StoreOptions, open_store
from workers.adapters.object_store.memory import MemoryObjectStore
from workers.errors import ItemError
from workers.ports import ObjectStore

LIMIT = 1_000_000
KINDS = ("folder", "memory", "s3")


@dataclass(frozen=True, kw_only=True, slots=True)
class Source:
    """A store, and the catalog owner's side of it."""

    store: ObjectStore
    put: Callable[[str, bytes], None]
    delete: Callable[[str], None]

    def keys(self, after: str | None = None) -> list[str]:
        return [found.key for found in self.store.list(after=after)]


@pytest.fixture(scope="module")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    folder = tmp_path_factory.mktemp("s3") / "buckets"
    folder.mkdir()
    with serve_s3(folder) as server:
        yield server


def _folder_owner(folder: Path) -> tuple[Callable[[str, bytes], None], Callable[[str], None]]:
    def put(key: str, data: bytes) -> None:
        (folder / key).parent.mkdir(parents=True, exist_ok=True)
        (folder / key).write_bytes(data)

    return put, lambda key: (folder / key).unlink()


@pytest.fixture(params=KINDS)
def source(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Source]:
    store: ObjectStore
    put: Callable[[str, bytes], None]
    delete: Callable[[str], None]
    if request.param == "memory":
        store = memory = MemoryObjectStore("twin")
        put, delete = memory.put, memory.delete
    elif request.param == "folder":
        store = open_store(str(tmp_path))
        put, delete = _folder_owner(tmp_path)
    else:
        server: S3Server = request.getfixturevalue("s3_server")
        for name, value in server.environment().items():
            monkeypatch.setenv(name, value)
        bucket = f"b{os.urandom(6).hex()}"
        put, delete = _folder_owner(server.make_bucket(bucket) / "catalog")
        store = open_store(f"s3://{bucket}/catalog", StoreOptions(endpoint_url=server.endpoint_url))
    yield Source(store=store, put=put, delete=delete)
    store.close()
    store.close()


def test_an_empty_source_lists_nothing(source: Source) -> None:
    assert source.keys() == []


def test_a_listing_says_what_a_read_says(source: Source) -> None:
    source.put("shoes/left.jpg", b"12345")
    (listed,) = source.store.list()
    fetched = source.store.get("shoes/left.jpg", max_bytes=LIMIT)
    assert (listed.key, listed.size) == ("shoes/left.jpg", 5)
    assert (fetched.key, fetched.data, fetched.size) == ("shoes/left.jpg", b"12345", 5)
    assert fetched.etag == listed.etag
    assert '"' not in listed.etag
    assert listed.modified.utcoffset() == timedelta(0)
    assert fetched.modified.utcoffset() == timedelta(0)
    assert abs(listed.modified - fetched.modified) < timedelta(seconds=1.5)
    assert abs(datetime.now(UTC) - listed.modified) < timedelta(minutes=5)


def test_times_are_utc_wherever_the_machine_stands(source: Source, monkeypatch: pytest.MonkeyPatch) -> None:
    source.put("a.jpg", b"x")
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    try:
        (listed,) = source.store.list()
        fetched = source.store.get("a.jpg", max_bytes=LIMIT)
    finally:
        monkeypatch.undo()
        time.tzset()
    for modified in (listed.modified, fetched.modified):
        assert modified.utcoffset() == timedelta(0)
        assert abs(datetime.now(UTC) - modified) < timedelta(minutes=5)


def test_what_does_not_change_keeps_its_etag(source: Source) -> None:
    source.put("a.jpg", b"same")
    etags = {found.etag for _ in range(3) for found in source.store.list()}
    etags |= {source.store.get("a.jpg", max_bytes=LIMIT).etag for _ in range(3)}
    assert len(etags) == 1


def test_other_bytes_of_the_same_size_have_another_etag(source: Source) -> None:
    source.put("a.jpg", b"black")
    before = source.store.get("a.jpg", max_bytes=LIMIT)
    source.put("a.jpg", b"white")
    after = source.store.get("a.jpg", max_bytes=LIMIT)
    (listed,) = source.store.list()
    assert after.data == b"white"
    assert after.etag != before.etag
    assert listed.etag == after.etag


AWKWARD_ORDER = [
    "Z.jpg", "a b.jpg", "a-1.jpg", "a.jpg", "a/1.jpg", "a/b-c/x.jpg", "a/b/x.jpg", "a/b0.jpg", "a0.jpg", "ab/x.jpg",
    "b", "cafe\u0301.jpg", "caf\u00e9.jpg", "\uff5e.jpg", "\U0001f600.jpg",
]  # fmt: skip
"""Folders sort with their slash; U+1F600 comes after U+FF5E in UTF-8 and before it in UTF-16."""


def test_keys_come_in_byte_order(source: Source) -> None:
    for key in reversed(AWKWARD_ORDER):
        source.put(key, b"x")
    keys = source.keys()
    assert keys == AWKWARD_ORDER
    assert [key.encode() for key in keys] == sorted(key.encode() for key in keys)


def test_after_starts_behind_any_key_there_is_or_not(source: Source) -> None:
    for key in AWKWARD_ORDER:
        source.put(key, b"x")
    for after in (*AWKWARD_ORDER, "", "a", "a/", "a/b", "a/b/", "a/b/x", "a/zzz", "a//", "zzzz", "\U0001f601"):
        assert source.keys(after) == [key for key in AWKWARD_ORDER if key.encode() > after.encode()], after


def test_thousands_of_keys_come_complete_and_in_order_over_several_pages(source: Source) -> None:
    expected = sorted([f"flat-{i:04d}.jpg" for i in range(2_100)] + [f"d{i % 9}/{i:04d}.jpg" for i in range(1_000)])
    for key in expected:
        source.put(key, b"x")
    assert source.keys() == expected
    for position in (0, 999, 1000, 1001, 2000, len(expected) - 1):
        assert source.keys(expected[position]) == expected[position + 1 :]


def test_a_listing_can_be_left_early(source: Source) -> None:
    for i in range(20):
        source.put(f"{i:02d}.jpg", b"x")
    assert [found.key for found in islice(source.store.list(), 3)] == ["00.jpg", "01.jpg", "02.jpg"]
    assert len(source.keys()) == 20


AWKWARD_NAMES = [
    " lead.jpg", "a b.jpg", "a%20b.jpg", "100%.jpg", "a#b.jpg", "#1", "a?b=c&d.jpg", "a+b.jpg", "a*b.jpg", "a:b.jpg",
    "[x]{y}.jpg", "quote'\".jpg", "~t^`.jpg", "a\\b.jpg", ".hidden.jpg", "..a", "...", "no-suffix", "caf\u00e9.jpg",
    "cafe\u0301.jpg", "\u6c49\u5b57/\u5b57.jpg", "\u202etxt.jpg", "\U0001f457.jpg", "a;b,c=d@e!.jpg", "s p/a c/e.jpg",
    "%2e%2e/x.jpg", "<Code>NoSuchBucket<.jpg",
]  # fmt: skip


def test_awkward_names_are_listed_and_read_as_they_are(source: Source) -> None:
    for key in AWKWARD_NAMES:
        source.put(key, key.encode())
    assert source.keys() == sorted(AWKWARD_NAMES)
    for key in AWKWARD_NAMES:
        assert source.store.get(key, max_bytes=LIMIT).data == key.encode()


def test_an_object_may_be_empty(source: Source) -> None:
    source.put("empty.jpg", b"")
    assert [found.size for found in source.store.list()] == [0]
    assert source.store.get("empty.jpg", max_bytes=LIMIT).data == b""


def test_reads_are_bounded(source: Source) -> None:
    source.put("big.jpg", bytes(300_000))
    assert source.store.get("big.jpg", max_bytes=300_000).size == 300_000
    with pytest.raises(ItemError, match=r"300000 bytes.*limit is 299999") as caught:
        source.store.get("big.jpg", max_bytes=299_999)
    assert caught.value.reason is Reason.TOO_LARGE


def test_several_megabytes_arrive_unharmed(source: Source) -> None:
    data = os.urandom(3_500_001)
    source.put("large.jpg", data)
    assert source.store.get("large.jpg", max_bytes=len(data)).data == data


def test_an_object_that_vanished_after_it_was_listed(source: Source) -> None:
    source.put("a.jpg", b"x")
    source.put("b.jpg", b"x")
    listed = source.keys()
    source.delete("a.jpg")
    with pytest.raises(ItemError) as caught:
        source.store.get(listed[0], max_bytes=LIMIT)
    assert caught.value.reason is Reason.VANISHED
    assert "a.jpg" in str(caught.value)
    assert source.keys() == ["b.jpg"]


def reason_of(source: Source, key: str) -> Reason:
    """Why the key cannot be read; the text must stay short whatever the key is."""
    with pytest.raises(ItemError) as caught:
        source.store.get(key, max_bytes=LIMIT)
    assert len(str(caught.value)) < 1000
    return caught.value.reason


def test_what_names_no_object_has_vanished(source: Source) -> None:
    source.put("a/b.jpg", b"x")
    for key in ("never.jpg", "a/never.jpg", "a", "a/b.jpg/c", "a/", "", "A/B.JPG", "\udcff.jpg", "x\0y", "x" * 300):
        assert reason_of(source, key) is Reason.VANISHED, key
    for key in ("x" * 1025, "d/" * 1000 + "x", "x" * 1_000_000):
        assert reason_of(source, key) is Reason.VANISHED, len(key)


def test_a_key_cannot_point_elsewhere(source: Source) -> None:
    source.put("a/b.jpg", b"x")
    for key in ("../secret", "../../etc/passwd", "a/../../secret", "a/./b.jpg", "a/../a/b.jpg", "..", ".", "./a/b.jpg"):
        assert reason_of(source, key) is Reason.ACCESS_DENIED, key
    for key in ("/etc/passwd", "//etc/passwd", "a//b.jpg", "/a/b.jpg"):
        assert reason_of(source, key) in {Reason.ACCESS_DENIED, Reason.VANISHED}, key


def test_many_threads_may_read_at_once(source: Source) -> None:
    for i in range(64):
        source.put(f"{i}.jpg", str(i).encode() * 1000)
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda i: source.store.get(f"{i}.jpg", max_bytes=LIMIT).data, list(range(64)) * 3))
    assert found == [str(i).encode() * 1000 for i in range(64)] * 3


def test_the_url_opens_the_same_source_again(source: Source) -> None:
    source.put("a.jpg", b"x")
    again = open_store(source.store.url)
    assert again.url == source.store.url
    if not source.store.url.startswith("memory:"):
        assert [found.key for found in again.list()] == ["a.jpg"]


def test_no_error_holds_more_than_one_line_or_a_drivers_debug_text(source: Source) -> None:
    with pytest.raises(ItemError) as caught:
        source.store.get("never.jpg", max_bytes=LIMIT)
    assert "\n" not in str(caught.value)
    assert "Debug source" not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize("key", ["a.jpg", "women/été 1+1.jpg", "100%.jpg"])
def test_a_look_at_an_object_says_what_a_listing_would(source: Source, key: str) -> None:
    source.put(key, b"some bytes")
    (listed,) = source.store.list()
    seen = source.store.stat(key)
    assert (seen.key, seen.etag, seen.size) == (listed.key, listed.etag, listed.size)
    source.delete(key)
    with pytest.raises(ItemError) as gone:
        source.store.stat(key)
    assert gone.value.reason is Reason.VANISHED


@pytest.mark.parametrize("key", ["a.jpg", "women/été 1+1.jpg", "100%.jpg", "a//b?c&d=#.jpg"])
def test_a_signed_link_gives_the_bytes_to_whoever_has_it_or_there_is_none(source: Source, key: str) -> None:
    if source.store.url.startswith("s3:") and "//" not in key:
        source.put(key, b"some bytes")
    if "//" in key and not source.store.url.startswith("s3:"):
        return
    url = source.store.presign(key, expires_s=60)
    if not source.store.url.startswith("s3:"):
        assert url is None
        return
    assert url is not None
    assert "60" in parse_qs(urlsplit(url).query)["X-Amz-Expires"]
    if "//" in key:  # rclone serves no such key, but a link to it is signed all the same
        return
    with urllib.request.urlopen(url, timeout=10) as answer:  # noqa: S310 - the test's own server
        assert answer.read() == b"some bytes"
    with pytest.raises(urllib.error.HTTPError, match="403"):
        urllib.request.urlopen(url.replace("X-Amz-Signature=", "X-Amz-Signature=0"), timeout=10)  # noqa: S310


@pytest.mark.parametrize("key", ["../secret", "a/../../secret", ""])
def test_no_link_is_signed_that_points_elsewhere(source: Source, key: str) -> None:
    with pytest.raises(ItemError):
        source.store.presign(key, expires_s=60)


@pytest.mark.parametrize("key", ["", "women", "women/", "women/none.jpg", "../a.jpg", "a\0.jpg", "x" * 2000])
def test_a_look_at_what_no_listing_names_finds_nothing(source: Source, key: str) -> None:
    source.put("women/a.jpg", b"some bytes")
    with pytest.raises(ItemError) as refused:
        source.store.stat(key)
    assert refused.value.reason in (Reason.VANISHED, Reason.ACCESS_DENIED)
