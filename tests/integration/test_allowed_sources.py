"""CATALOG_SOURCES guards every way to a store, whoever asks."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.bundles import write_bundle
from tests.support.commands import Catalog
from tests.support.workshops import picture
from workers.bootstrap import Process
from workers.errors import ContractError
from workers.settings import load_settings

ENDPOINT = "http://127.0.0.1:9"


@pytest.fixture(autouse=True)
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_PROFILE", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")


def process(home: Path, sources: str | None, *, endpoint: str | None = ENDPOINT) -> Process:
    return Process(load_settings(home=home, sources=sources, s3_endpoint_url=endpoint))


@pytest.mark.parametrize(
    ("sources", "url"),
    [
        ("s3://images/", "s3://images/women"),
        ("s3://images/", f"s3://images?endpoint={ENDPOINT}"),
        (f"s3://images?endpoint={ENDPOINT}", "s3://images"),
        ("s3://models/ , s3://images/women/", "s3://images/women"),
        (None, "s3://anything"),
    ],
)
def test_what_is_allowed_opens(tmp_path: Path, sources: str | None, url: str) -> None:
    with process(tmp_path, sources) as allowed:
        assert allowed.open_source(url).url == allowed.store(url).url


@pytest.mark.parametrize(
    "url",
    [
        "s3://images-of-others",
        "s3://images/men",
        "s3://images?endpoint=http://127.0.0.1:10",
        "gs://images",
        "memory://images",
        "/etc",
        "file:///etc",
    ],
)
def test_what_is_not_allowed_is_never_opened(tmp_path: Path, url: str) -> None:
    with process(tmp_path, "s3://images/women/") as guarded:
        for way in (guarded.store, guarded.open_source, guarded.desk(lambda _: None).open_store):
            with pytest.raises(Exception, match=r"CATALOG_SOURCES|credentials") as caught:
                way(url)
            if not url.startswith("gs"):  # which has no credentials here, and so is not even opened
                assert isinstance(caught.value, ContractError)


def test_without_an_endpoint_of_ours_another_server_is_refused(tmp_path: Path) -> None:
    with process(tmp_path, "s3://images/", endpoint=None) as guarded, pytest.raises(ContractError, match="SOURCES"):
        guarded.store(f"s3://images?endpoint={ENDPOINT}")


def test_a_link_does_not_lead_out(tmp_path: Path) -> None:
    (tmp_path / "inside").mkdir()
    (tmp_path / "outside").mkdir()
    (tmp_path / "inside" / "link").symlink_to(tmp_path / "outside")
    with process(tmp_path / "home", f"file://{tmp_path}/inside/") as guarded:
        assert guarded.open_source(str(tmp_path / "inside")).url
        with pytest.raises(ContractError, match="CATALOG_SOURCES"):
            guarded.open_source(str(tmp_path / "inside" / "link"))


def test_a_catalog_from_before_the_rule_is_not_read_any_more(tmp_path: Path) -> None:
    images = tmp_path / "images"
    images.mkdir()
    (images / "a.jpg").write_bytes(picture(1))
    bundle = write_bundle(tmp_path / "bundle")
    free = Catalog(home=tmp_path / "home", bundle=bundle, environment={"CATALOG_THREADS": "1"})
    try:
        assert free.json("ingest", images, "--name", "shop")["state"] == "done"
        ruled = Catalog(home=free.home, bundle=bundle, environment={"CATALOG_SOURCES": "s3://images/"})
        for command in (("ingest", str(images), "--name", "shop"), ("reindex", "--name", "shop")):
            refused = ruled.run(*command)
            assert refused.code == 1, refused
            assert "is not under any of CATALOG_SOURCES" in refused.err + refused.out
    finally:
        free.end_owner()
