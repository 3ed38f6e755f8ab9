"""S3 when things go wrong: on a real server, and on one that answers what a real one would only on a bad day."""

from __future__ import annotations

import socket
import traceback
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from schemas.outcomes import Reason
from tests.support.s3_server import S3Server, free_port, serve_s3
from tests.support.scripted_s3 import Reply, Request, ScriptedS3, image, listing, refusal, scripted_s3
from workers.adapters.object_store import StoreOptions, open_store
from workers.errors import CatalogError, ConfigurationError, ItemError, TransientError
from workers.ports import ObjectStore

LIMIT = 1_000_000
CANARY = "CANARY-SECRET"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    folder = tmp_path_factory.mktemp("s3") / "buckets"
    folder.mkdir()
    with serve_s3(folder) as running:
        photos = running.make_bucket("photos")
        for key in ("spring/a.jpg", "spring/b/c.jpg", "springtime.jpg", "spring.jpg", "summer/d.jpg"):
            (photos / key).parent.mkdir(parents=True, exist_ok=True)
            (photos / key).write_bytes(key.encode())
        yield running


@pytest.fixture(autouse=True)
def allowed(server: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_PROFILE", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    for name, value in server.environment().items():
        monkeypatch.setenv(name, value)


def open_at(endpoint: str, url: str = "s3://photos", *, timeout_s: float = 30.0, retries: int = 2) -> ObjectStore:
    return open_store(url, StoreOptions(endpoint_url=endpoint, timeout_s=timeout_s, retries=retries))


def both_raise(store: ObjectStore, kind: type[CatalogError], key: str = "spring/a.jpg") -> list[str]:
    """List and get, and return the texts of what they raise with everything a log would show."""
    texts = []
    with pytest.raises(kind) as listed:
        list(store.list())
    with pytest.raises(kind) as fetched:
        store.get(key, max_bytes=LIMIT)
    for caught in (listed, fetched):
        assert CANARY not in "".join(traceback.format_exception(caught.value))
        texts.append(str(caught.value))
    return texts


# ------------------------------------------------------------------------------------------------------ a real server


def test_a_prefix_is_a_folder_not_the_start_of_a_name(server: S3Server) -> None:
    store = open_at(server.endpoint_url, "s3://photos/spring")
    assert [found.key for found in store.list()] == ["a.jpg", "b/c.jpg"]
    assert store.get("b/c.jpg", max_bytes=LIMIT).data == b"spring/b/c.jpg"
    assert [found.key for found in store.list(after="a.jpg")] == ["b/c.jpg"]


def test_a_wrong_secret(server: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", CANARY)
    for text in both_raise(open_at(server.endpoint_url), ConfigurationError):
        assert "refuses the credentials (SignatureDoesNotMatch)" in text
        assert "AWS_SECRET_ACCESS_KEY" in text


def test_a_wrong_key_id(server: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", CANARY)
    for text in both_raise(open_at(server.endpoint_url), ConfigurationError):
        assert "refuses the credentials (InvalidAccessKeyId)" in text


def test_no_credentials_where_some_are_needed(server: S3Server) -> None:
    store = open_store("s3://photos", StoreOptions(endpoint_url=server.endpoint_url, anonymous=True))
    both_raise(store, ConfigurationError)


def test_credentials_of_a_profile(server: S3Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    (tmp_path / "credentials").write_text(
        f"[shop]\naws_access_key_id = {server.access_key_id}\naws_secret_access_key = {server.secret_access_key}\n"
    )
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_PROFILE", "shop")
    store = open_at(server.endpoint_url)
    assert len(list(store.list())) == 5
    assert store.get("summer/d.jpg", max_bytes=LIMIT).size == 12


def test_a_missing_bucket(server: S3Server) -> None:
    for text in both_raise(open_at(server.endpoint_url, "s3://nobucket"), ConfigurationError):
        assert "the bucket 'nobucket'" in text
        assert server.endpoint_url in text
        assert "does not exist (NoSuchBucket)" in text


def test_nobody_listens() -> None:
    texts = both_raise(open_at(f"http://127.0.0.1:{free_port()}", retries=1), TransientError)
    assert all("gives no answer" in text for text in texts)


def test_a_server_that_dies_and_comes_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "s3" / "photos").mkdir(parents=True)
    (tmp_path / "s3" / "photos" / "a.jpg").write_bytes(b"x")
    with serve_s3(tmp_path / "s3") as first:
        for name, value in first.environment().items():
            monkeypatch.setenv(name, value)
        store = open_at(first.endpoint_url, retries=1)
        assert store.get("a.jpg", max_bytes=LIMIT).data == b"x"
    both_raise(store, TransientError, key="a.jpg")


# -------------------------------------------------------------------------------------------------- a scripted server


@pytest.fixture
def script() -> Iterator[ScriptedS3]:
    with scripted_s3(lambda _: image()) as running:
        yield running


ODD_KEYS = ["/lead.jpg", "a//b.jpg", "a\nb.jpg", "a\tb.jpg", "b/", "b/./c.jpg", "b/../c.jpg", "c.jpg", "c/", "c//"]
READABLE = ["/lead.jpg", "a//b.jpg", "a\nb.jpg", "a\tb.jpg", "c.jpg"]


def test_keys_that_other_tools_stumble_over_are_listed_or_counted(script: ScriptedS3) -> None:
    script.reply = lambda _: listing(sorted(ODD_KEYS))
    store = open_at(script.endpoint_url)
    assert [found.key for found in store.list()] == sorted(READABLE)
    assert store.skipped == {"dot_segment": 2, "folder_marker": 3}
    script.reply = lambda _: listing(sorted(f"p/{key}" for key in [*ODD_KEYS, ""]))
    below = open_at(script.endpoint_url, "s3://photos/p")
    assert [found.key for found in below.list()] == sorted(READABLE)
    assert below.skipped == store.skipped


@pytest.mark.parametrize("cut", range(len(READABLE) - 1))
def test_a_listing_in_two_parts_counts_no_skipped_key_twice(script: ScriptedS3, cut: int) -> None:
    """The first part looks one object ahead; the service ignores where the second one is to begin, as some do."""
    script.reply = lambda _: listing(sorted(ODD_KEYS))
    store = open_at(script.endpoint_url)
    first = store.list()
    for _ in range(cut + 2):
        next(first, None)
    counted = Counter(store.skipped)
    keys = sorted(READABLE)
    assert [found.key for found in store.list(after=keys[cut])] == keys[cut + 1 :]
    assert counted + Counter(store.skipped) == {"dot_segment": 2, "folder_marker": 3}


def test_keys_that_other_tools_stumble_over_are_read(script: ScriptedS3) -> None:
    store = open_at(script.endpoint_url)
    script.reply = lambda _: listing(sorted(READABLE))
    listed = {found.key: found.etag for found in store.list()}
    script.reply = lambda _: image()
    for key in READABLE:
        fetched = store.get(key, max_bytes=LIMIT)
        assert (fetched.key, fetched.data, fetched.etag) == (key, b"abc", listed[key])
    asked = [request.path for request in script.asked[1:]]
    assert asked == ["/photos//lead.jpg", "/photos/a//b.jpg", "/photos/a%0Ab.jpg", "/photos/a%09b.jpg", "/photos/c.jpg"]
    script.reply = lambda _: refusal(404, "NoSuchKey")
    with pytest.raises(ItemError, match="NoSuchKey"):
        store.get("a//b.jpg", max_bytes=LIMIT)
    script.reply = lambda _: image(bytes(100))
    with pytest.raises(ItemError, match="limit is 99"):
        store.get("a//b.jpg", max_bytes=99)


def test_a_key_with_dots_never_reaches_the_network(script: ScriptedS3) -> None:
    store = open_at(script.endpoint_url, "s3://photos/p")
    with pytest.raises(ItemError) as caught:
        store.get("../../other/secret.jpg", max_bytes=LIMIT)
    assert caught.value.reason is Reason.ACCESS_DENIED
    assert script.asked == []


def test_pages_follow_their_tokens_and_empty_ones_do_not_end(script: ScriptedS3) -> None:
    pages = {None: listing(["a"], token="1"), "1": listing([], token="2"), "2": listing(["b"])}
    script.reply = lambda request: pages[request.query.get("continuation-token")]
    store = open_at(script.endpoint_url)
    assert [found.key for found in store.list()] == ["a", "b"]
    listing_started = store.list()
    assert next(listing_started).key == "a"
    assert len(script.asked) == 4  # the second listing has asked for its first page only


def test_a_listing_that_repeats_a_page_ends(script: ScriptedS3) -> None:
    script.reply = lambda request: listing([], token="1")
    with pytest.raises(TransientError, match="repeats a page"):
        list(open_at(script.endpoint_url).list())
    script.reply = lambda request: listing(["a"], token=str(len(script.asked)))
    with pytest.raises(ConfigurationError, match="key order"):
        list(open_at(script.endpoint_url).list())


def test_a_listing_out_of_order_is_refused_before_it_looks_like_deletions(script: ScriptedS3) -> None:
    script.reply = lambda _: listing(["b.jpg", "a.jpg"])
    with pytest.raises(ConfigurationError, match=r"'a.jpg' came after 'b.jpg'.*directory"):
        list(open_at(script.endpoint_url).list())


def test_a_store_without_etags_is_told_apart_by_size_and_second(script: ScriptedS3) -> None:
    script.reply = lambda _: listing(["a.jpg"], etag=None)
    store = open_at(script.endpoint_url)
    (listed,) = store.list()
    script.reply = lambda _: image(etag=None)
    assert store.get("a.jpg", max_bytes=LIMIT).etag == listed.etag == "3-65920080"


def test_an_announced_length_beyond_the_limit_is_not_waited_for(script: ScriptedS3) -> None:
    script.reply = lambda _: image(b"abc", length=10**12, hold=True)
    with pytest.raises(ItemError, match="limit is 1000000"):
        open_at(script.endpoint_url).get("a.jpg", max_bytes=LIMIT)


@pytest.mark.parametrize("key", ["a.jpg", "a//b.jpg"])
def test_a_body_longer_than_announced_is_cut(script: ScriptedS3, key: str) -> None:
    script.reply = lambda _: image(bytes(500_000), length=10)
    assert open_at(script.endpoint_url).get(key, max_bytes=10).size == 10


@pytest.mark.parametrize("key", ["a.jpg", "a//b.jpg"])
def test_a_body_shorter_than_announced_is_never_taken_for_the_whole(script: ScriptedS3, key: str) -> None:
    script.reply = lambda _: image(b"abc", length=1000)
    with pytest.raises(TransientError):
        open_at(script.endpoint_url, retries=1).get(key, max_bytes=LIMIT)


def test_an_interrupted_body_is_resumed(script: ScriptedS3) -> None:
    whole = bytes(range(256)) * 40

    def cut_first(request: Request) -> Reply:
        if "Range" not in request.headers and "range" not in request.headers:
            return image(whole[:5000], length=len(whole))
        start = int((request.headers.get("Range") or request.headers["range"]).removeprefix("bytes=").split("-")[0])
        span = {"Content-Range": f"bytes {start}-{len(whole) - 1}/{len(whole)}"}
        return Reply(status=206, body=whole[start:], headers=image().headers | span)

    script.reply = cut_first
    assert open_at(script.endpoint_url).get("a.jpg", max_bytes=LIMIT).data == whole


def test_a_busy_store_is_asked_again(script: ScriptedS3) -> None:
    script.reply = lambda _: image() if len(script.asked) > 2 else refusal(503, "SlowDown")
    assert open_at(script.endpoint_url).get("a.jpg", max_bytes=LIMIT).data == b"abc"
    script.asked.clear()
    script.reply = lambda _: listing(["a.jpg"]) if len(script.asked) > 1 else refusal(503, "SlowDown")
    assert len(list(open_at(script.endpoint_url).list())) == 1


@pytest.mark.parametrize("answer", [refusal(503, "SlowDown"), refusal(500, "InternalError"), Reply(status=429)])
def test_a_store_that_stays_busy_is_transient(script: ScriptedS3, answer: Reply) -> None:
    script.reply = lambda _: answer
    both_raise(open_at(script.endpoint_url, retries=1), TransientError)


@pytest.mark.parametrize("answer", [Reply(hold=True, length=10), image(b"abc", length=10, hold=True)])
def test_a_silent_store_is_given_up(script: ScriptedS3, answer: Reply) -> None:
    script.reply = lambda _: answer
    store = open_at(script.endpoint_url, timeout_s=0.9, retries=1)
    both_raise(store, TransientError)
    both_raise(store, TransientError, key="a//b.jpg")


def test_a_host_that_takes_no_connection_is_given_up() -> None:
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        both_raise(open_at(f"http://127.0.0.1:{deaf.getsockname()[1]}", timeout_s=0.9, retries=1), TransientError)


def test_an_object_that_must_not_be_read_is_that_objects_trouble(script: ScriptedS3) -> None:
    script.reply = lambda _: refusal(403, "AccessDenied")
    store = open_at(script.endpoint_url)
    for key in ("a.jpg", "a//b.jpg"):
        with pytest.raises(ItemError, match="AccessDenied") as caught:
            store.get(key, max_bytes=LIMIT)
        assert caught.value.reason is Reason.ACCESS_DENIED
    with pytest.raises(ConfigurationError, match="does not let us list it"):
        list(store.list())


def test_an_archived_object_says_so(script: ScriptedS3) -> None:
    script.reply = lambda _: refusal(403, "InvalidObjectState")
    with pytest.raises(ItemError, match="archived") as caught:
        open_at(script.endpoint_url).get("a.jpg", max_bytes=LIMIT)
    assert caught.value.reason is Reason.ACCESS_DENIED


@pytest.mark.parametrize(
    ("status", "code", "words"),
    [
        (403, "SignatureDoesNotMatch", "refuses the credentials"),
        (400, "ExpiredToken", "refuses the credentials"),
        (403, "RequestTimeTooSkewed", "clock"),
        (400, "AuthorizationHeaderMalformed", "CATALOG_S3_REGION"),
        (404, "NoSuchBucket", "does not exist"),
        (400, "UnheardOf", "refuses the request (UnheardOf)"),
    ],
)
def test_what_waiting_cannot_heal_is_loud_and_tells_no_secret(
    script: ScriptedS3, monkeypatch: pytest.MonkeyPatch, status: int, code: str, words: str
) -> None:
    monkeypatch.setenv("AWS_SESSION_TOKEN", CANARY)
    echoed = f"<CanonicalRequest>GET\nx-amz-security-token:{CANARY}</CanonicalRequest>"
    script.reply = lambda _: refusal(status, code, echoed)
    store = open_at(script.endpoint_url)
    for text in both_raise(store, ConfigurationError):
        assert words in text
    sent = {name.lower(): value for name, value in script.asked[-1].headers.items()}
    assert sent["x-amz-security-token"] == CANARY


def test_a_bucket_of_another_region(script: ScriptedS3) -> None:
    script.reply = lambda _: Reply(status=301, headers={"x-amz-bucket-region": "eu-west-1"})
    with pytest.raises(ConfigurationError, match="AWS_REGION"):
        open_at(script.endpoint_url).get("a.jpg", max_bytes=LIMIT)


def test_an_answer_that_is_no_s3_is_not_an_empty_catalog(script: ScriptedS3) -> None:
    script.reply = lambda _: Reply(
        body=b"<html><body>please log in</body></html>", headers={"Content-Type": "text/html"}
    )
    with pytest.raises(CatalogError):
        list(open_at(script.endpoint_url).list())
