"""Bundles that machines share through a real S3 server: whole or not at all."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from schemas.model_card import CARD_FILE, WEIGHTS_FILE
from tests.support.bundles import write_bundle
from tests.support.s3_server import S3Server, serve_s3
from workers.adapters.bundle import Bundle, load_bundle
from workers.adapters.bundle_home import BundleHome
from workers.bootstrap import Process
from workers.errors import CatalogError, ConfigurationError, TransientError
from workers.settings import load_settings

URL = "s3://models/bundles"


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return load_bundle(write_bundle(tmp_path_factory.mktemp("bundles") / "colour-grid"))


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return load_bundle(write_bundle(tmp_path_factory.mktemp("bundles") / "other", name="other"))


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[S3Server]:
    folder = tmp_path / "buckets"
    folder.mkdir()
    with serve_s3(folder, cache_s=1) as running:  # without a cache rclone takes seconds for a PUT now and then
        running.make_bucket("models")
        for name in ("AWS_PROFILE", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_REGION", "AWS_DEFAULT_REGION"):
            monkeypatch.delenv(name, raising=False)
        for name, value in running.environment().items():
            monkeypatch.setenv(name, value)
        yield running


def machine(home: Path, server: S3Server, **settings: object) -> Process:
    return Process(
        load_settings(home=home, s3_endpoint_url=server.endpoint_url, **({"models_url": URL, "model": None} | settings))
    )


def published(server: S3Server, bundle: Bundle) -> Path:
    return server.folder / "models" / "bundles" / bundle.card.digest


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_what_one_machine_keeps_another_one_finds(server: S3Server, tmp_path: Path, bundle: Bundle) -> None:
    with machine(tmp_path / "a", server) as first:
        first.keep_bundle(bundle)
        first.keep_bundle(bundle)
    assert names(published(server, bundle)) == names(bundle.folder)
    with machine(tmp_path / "b", server) as second:
        found = second.bundle(bundle.card.digest)
        assert found.card == bundle.card
        assert found.folder.parent == tmp_path / "b" / "models"
    shutil.rmtree(published(server, bundle))
    with machine(tmp_path / "b", server) as again:
        assert again.bundle(bundle.card.digest).card == bundle.card, "it was fetched for good"


def test_a_bundle_is_named_by_its_url(server: S3Server, tmp_path: Path, bundle: Bundle, other: Bundle) -> None:
    with machine(tmp_path / "a", server) as first:
        first.keep_bundle(bundle)
    with machine(tmp_path / "b", server, model=f"{URL}/{bundle.card.digest}", models_url=None) as second:
        assert second.chosen_bundle().card == bundle.card
        assert second.bundle(bundle.card.digest).card == bundle.card
        with pytest.raises(ConfigurationError, match="which is not under"):
            second.bundle(other.card.digest)
        for wrong in (URL, f"{URL}/{bundle.card.digest[:12]}", f"s3://{bundle.card.digest}"):
            with pytest.raises(ConfigurationError, match="has to stand the digest"):
                second.chosen_bundle(wrong)


def test_a_tampered_file_is_never_used(server: S3Server, tmp_path: Path, bundle: Bundle) -> None:
    with machine(tmp_path / "a", server) as first:
        first.keep_bundle(bundle)
    weights = published(server, bundle) / WEIGHTS_FILE
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(bytes(data))
    refuses(server, tmp_path / "b", bundle, "is refused: .* is not what its card says")


def test_another_bundle_under_the_digest_is_refused(
    server: S3Server, tmp_path: Path, bundle: Bundle, other: Bundle
) -> None:
    shutil.copytree(other.folder, published(server, bundle))
    refuses(server, tmp_path / "b", bundle, "is another model")


def test_without_its_card_a_bundle_is_not_there(server: S3Server, tmp_path: Path, bundle: Bundle) -> None:
    shutil.copytree(bundle.folder, published(server, bundle), ignore=shutil.ignore_patterns(CARD_FILE))
    refuses(server, tmp_path / "b", bundle, "which is not under .* nor at s3://models/bundles")
    refuses(server, tmp_path / "b", bundle, "is not published there", model=f"{URL}/{bundle.card.digest}")
    with machine(tmp_path / "a", server) as first:
        first.keep_bundle(bundle)
    with machine(tmp_path / "b", server) as second:
        assert second.bundle(bundle.card.digest).card == bundle.card, "publishing again completes it"


def test_a_bundle_that_lost_a_file_is_refused(server: S3Server, tmp_path: Path, bundle: Bundle) -> None:
    shutil.copytree(bundle.folder, published(server, bundle), ignore=shutil.ignore_patterns(WEIGHTS_FILE))
    refuses(server, tmp_path / "b", bundle, f"cannot be used: .*{WEIGHTS_FILE}")


def test_files_are_bounded(server: S3Server, tmp_path: Path, bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workers.adapters.bundle_shelf.MAX_WEIGHTS_BYTES", 1000)
    with machine(tmp_path / "a", server) as first:
        first.keep_bundle(bundle)
    refuses(server, tmp_path / "b", bundle, "the limit is 1000")


def test_a_store_that_is_away_is_worth_waiting_for(server: S3Server, tmp_path: Path, bundle: Bundle) -> None:
    settings = load_settings(
        home=tmp_path / "b", s3_endpoint_url="http://127.0.0.1:9", models_url=URL, model=None, store_timeout_s=1.0
    )
    with Process(settings) as lost:
        with pytest.raises(TransientError, match="gives no answer"):
            lost.bundle(bundle.card.digest)
        assert not list((tmp_path / "b").rglob("*.bin"))


def test_two_at_once(server: S3Server, tmp_path: Path, bundle: Bundle) -> None:
    def at_once(work: list[threading.Thread]) -> None:
        for thread in work:
            thread.start()
        for thread in work:
            thread.join(30)

    failures: list[CatalogError] = []

    def keep(home: Path) -> None:
        try:
            with machine(home, server) as process:
                process.keep_bundle(bundle)
        except CatalogError as error:
            failures.append(error)

    def fetch() -> None:
        try:
            with machine(tmp_path / "shared", server) as process:
                process.bundle(bundle.card.digest)
        except CatalogError as error:
            failures.append(error)

    at_once([threading.Thread(target=keep, args=(tmp_path / f"home{n}",)) for n in range(2)])
    at_once([threading.Thread(target=fetch) for _ in range(2)])
    assert failures == []
    assert load_bundle(published(server, bundle)).card == bundle.card
    assert names(tmp_path / "shared" / "models") == {bundle.card.digest[:32]}


def test_what_a_killed_process_left_is_swept_after_an_hour(
    tmp_path: Path, bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = tmp_path / "models" / f".{bundle.card.digest[:32]}.abandoned"
    left.mkdir(parents=True)
    BundleHome(tmp_path / "models").keep(bundle)
    assert left.exists()
    shutil.rmtree(tmp_path / "models" / bundle.card.digest[:32])
    monkeypatch.setattr("workers.adapters.bundle_home.ABANDONED_S", -1.0)
    BundleHome(tmp_path / "models").keep(bundle)
    assert names(tmp_path / "models") == {bundle.card.digest[:32]}


def refuses(server: S3Server, home: Path, bundle: Bundle, text: str, **settings: object) -> None:
    """Asking for the bundle raises, and nothing of it stays."""
    with machine(home, server, **settings) as process, pytest.raises(ConfigurationError, match=text):
        process.bundle(bundle.card.digest)
    assert not (home / "models").exists() or not list((home / "models").iterdir())
