"""One spelling for one source, no credentials in any of them, and clear words for what is no source."""

from __future__ import annotations

import inspect
import traceback
from pathlib import Path

import botocore.exceptions
import obstore.exceptions
import pytest
from botocore.parsers import ResponseParserError

from workers.adapters.object_store import StoreOptions, open_store
from workers.adapters.object_store.boto_faults import from_botocore
from workers.adapters.object_store.faults import Place, Verdict, judge_text, to_error
from workers.adapters.object_store.remote import OBSTORE_VERDICTS, from_obstore
from workers.errors import CatalogError, ConfigurationError, ItemError, TransientError

PLACE = Place(name="the bucket 'b'")
CANARY = "CANARY-SECRET"


@pytest.fixture(autouse=True)
def quiet_chain(monkeypatch: pytest.MonkeyPatch) -> None:
    """A credential chain that finds these and asks nobody."""
    for name in ("AWS_PROFILE", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    for name in ("GOOGLE_APPLICATION_CREDENTIALS", "AZURE_STORAGE_ACCOUNT_NAME", "AZURE_STORAGE_ACCOUNT_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", CANARY)


LOCAL = StoreOptions(endpoint_url="http://127.0.0.1:9000")


@pytest.mark.parametrize(
    ("url", "options", "canonical"),
    [
        ("s3://photos", StoreOptions(), "s3://photos"),
        ("s3://photos/", StoreOptions(region="eu-west-1"), "s3://photos"),
        ("S3A://photos/a/b/", StoreOptions(), "s3://photos/a/b"),
        ("s3://photos/a b%20#?/\u00e9", StoreOptions(), "s3://photos/a b%20#?/\u00e9"),
        ("s3://photos//a", StoreOptions(), "s3://photos//a"),
        ("s3://photos/a", LOCAL, "s3://photos/a?endpoint=http://127.0.0.1:9000"),
        ("s3://photos/a/?endpoint=HTTP://127.0.0.1:9000/", LOCAL, "s3://photos/a?endpoint=http://127.0.0.1:9000"),
        ("s3://photos?endpoint=https://S3.Example:443", LOCAL, "s3://photos?endpoint=https://s3.example"),
        ("s3://photos?endpoint=http://[::1]:9000/x/", StoreOptions(), "s3://photos?endpoint=http://[::1]:9000/x"),
        ("s3://photos?endpoint=https://s3.eu-west-1.amazonaws.com", StoreOptions(), "s3://photos"),
        ("s3://photos", StoreOptions(endpoint_url="http://nas", allow_http=True), "s3://photos?endpoint=http://nas"),
        ("s3://photos", StoreOptions(endpoint_url="http://a.localhost:1"), "s3://photos?endpoint=http://a.localhost:1"),
        ("gs://photos/a b/", StoreOptions(anonymous=True), "gs://photos/a%20b"),
        ("GS://photos/a%20b", StoreOptions(anonymous=True), "gs://photos/a%20b"),
        (
            "abfs://box@account.dfs.core.windows.net/a/",
            StoreOptions(anonymous=True),
            "abfss://box@account.dfs.core.windows.net/a",
        ),
    ],
)
def test_every_spelling_has_one_url(url: str, options: StoreOptions, canonical: str) -> None:
    store = open_store(url, options)
    assert store.url == canonical
    assert (
        open_store(canonical, StoreOptions(anonymous=options.anonymous, allow_http=options.allow_http)).url == canonical
    )
    assert CANARY not in repr(store)
    assert canonical in repr(store)


def test_azure_takes_the_account_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_NAME", "account")
    assert open_store("az://box/a", StoreOptions(anonymous=True)).url == "abfss://box@account.dfs.core.windows.net/a"


def test_the_aws_chain_may_name_the_endpoint(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:9000")
    assert open_store("s3://photos").url == "s3://photos?endpoint=http://127.0.0.1:9000"
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://nas:9000")
    with pytest.raises(ConfigurationError, match="CATALOG_S3_ALLOW_HTTP"):
        open_store("s3://photos")


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("", "is no source"),
        ("a\0b", "is no source"),
        ("file://", "file:///path"),
        ("file://server/share", "another machine"),
        ("ftp://host/x", "ftp:// are not supported"),
        ("https://host/x", "https:// are not supported"),
        ("s3://", "no bucket name"),
        ("s3:///a", "no bucket name"),
        ("s3://a b/c", "no bucket name"),
        ("s3://photos/a/../b", "between slashes"),
        ("s3://photos?endpoint=nonsense", "no endpoint"),
        ("s3://photos?endpoint=ftp://host", "no endpoint"),
        ("s3://photos?endpoint=http://example.com", "not encrypted"),
        ("s3://photos?endpoint=http://127.0.0.1.example.com", "not encrypted"),
        ("s3://photos?endpoint=https://host:port", "no URL"),
        ("s3://photos?endpoint=https://host/?x=y", "has a query"),
        (f"s3://AK:{CANARY}@photos/a", "holds credentials"),
        (f"s3://photos?endpoint=https://AK:{CANARY}@host", "holds credentials"),
        ("gs://", "written gs://"),
        (f"gs://{CANARY}@photos", "written gs://"),
        (f"az://box/a?sig={CANARY}", "written az://"),
        (f"abfss://box:{CANARY}@account.dfs.core.windows.net/a", "written abfss://"),
        ("az://box/a", "Account must be specified"),
    ],
)
def test_what_is_no_source_is_told_so(url: str, words: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        open_store(url)
    assert words in str(caught.value)
    assert CANARY not in "".join(traceback.format_exception(caught.value))


def test_a_profile_that_does_not_exist(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    with pytest.raises(ConfigurationError, match=r"nobody.*profile or role"):
        open_store("s3://photos")


def test_half_of_the_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(ConfigurationError, match="missing: AWS_SECRET_ACCESS_KEY"):
        open_store("s3://photos")


def test_no_credentials_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    with pytest.raises(ConfigurationError, match="CATALOG_S3_ANONYMOUS"):
        open_store("s3://photos")
    assert open_store("s3://photos", StoreOptions(anonymous=True)).url == "s3://photos"


def test_google_credentials_that_cannot_be_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "none.json"))
    with pytest.raises(ConfigurationError, match="GOOGLE_APPLICATION_CREDENTIALS"):
        open_store("gs://photos")


# ------------------------------------------------------------------------------------------------------------- faults


def test_every_exception_of_obstore_has_a_verdict() -> None:
    kinds = {kind for _, kind in inspect.getmembers(obstore.exceptions, inspect.isclass) if issubclass(kind, Exception)}
    assert len(kinds) >= 12
    assert kinds <= OBSTORE_VERDICTS.keys()


@pytest.mark.parametrize("kind", OBSTORE_VERDICTS)
def test_every_exception_of_obstore_becomes_one_of_ours(kind: type[Exception]) -> None:
    for key in (None, "a.jpg"):
        error = from_obstore(kind(f"odd\n<Error>{CANARY}</Error>"), PLACE, key=key)
        assert isinstance(error, CatalogError)
        assert "the bucket 'b'" in str(error)
        assert CANARY not in str(error)
        assert key is not None or not isinstance(error, ItemError)


def test_every_exception_of_botocore_becomes_one_of_ours() -> None:
    kinds = [kind for _, kind in inspect.getmembers(botocore.exceptions, inspect.isclass)]
    kinds = [kind for kind in kinds if issubclass(kind, botocore.exceptions.BotoCoreError)]
    assert len(kinds) > 80
    for kind in (*kinds, ResponseParserError):
        error = kind.__new__(kind)
        for key in (None, "a.jpg"):
            ours = from_botocore(error, PLACE, key=key)
            assert isinstance(ours, (ConfigurationError, TransientError)), kind


@pytest.mark.parametrize("verdict", Verdict)
@pytest.mark.parametrize("key", [None, "a.jpg"])
def test_every_verdict_has_words(verdict: Verdict, key: str | None) -> None:
    text = str(to_error(verdict, PLACE, key=key, said="E42"))
    assert "E42" in text or verdict is Verdict.LINK
    assert "{" not in text


def test_a_key_cannot_steer_the_verdict() -> None:
    key = "<Code>NoSuchBucket</Code>.jpg"
    error = from_obstore(FileNotFoundError(f"Object at location {key} not found"), PLACE, key=key)
    assert isinstance(error, ItemError)


@pytest.mark.parametrize(
    ("text", "verdict"),
    [
        ("status code: 404 Not Found: nothing", None),
        ("non-2xx status code: 503 Service: <Error><Code>SlowDown</Code></Error>", Verdict.BUSY),
        ("non-2xx status code: 500 X", Verdict.BUSY),
        ("non-2xx status code: 429 X", Verdict.BUSY),
        ("non-2xx status code: 400 X: <Code>Unheard</Code>", Verdict.REFUSED),
        ("non-2xx status code: 400 X: <Code>ExpiredToken</Code>", Verdict.CREDENTIALS),
        ("non-2xx status code: 403 X: <Code>RequestTimeTooSkewed</Code>", Verdict.CLOCK),
        ("Received redirect without LOCATION, this normally", Verdict.REGION),
        ("client error: invalid peer certificate: UnknownIssuer", Verdict.CERTIFICATE),
    ],
)
def test_texts_are_judged_by_code_then_status(text: str, verdict: Verdict | None) -> None:
    assert judge_text(text)[0] is verdict
