from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from tests.support.browser import Visit, chromium
from tests.support.bundles import write_bundle
from tests.support.commands import Catalog
from tests.support.shop import Shop, shop_served
from tests.support.workshops import picture

pytest.register_assert_rewrite("tests.support.campaign")
# Shells start background jobs with Ctrl-C ignored, and their children inherit that: here commands are to hear it.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def tiny_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bundle(tmp_path_factory.mktemp("bundles") / "colour-grid")


@pytest.fixture
def catalog(tmp_path: Path, tiny_bundle: Path) -> Iterator[Catalog]:
    command = Catalog(home=tmp_path / "home", bundle=tiny_bundle, environment={})
    yield command
    command.end_owner()


@pytest.fixture
def images(tmp_path: Path) -> Path:
    return write_images(tmp_path / "images")


@pytest.fixture(scope="session")
def shop(tmp_path_factory: pytest.TempPathFactory, tiny_bundle: Path) -> Iterator[tuple[Catalog, Path]]:
    """An indexed catalog named "shop" and its folder, for tests that only look."""
    root = tmp_path_factory.mktemp("shop")
    command = Catalog(home=root / "home", bundle=tiny_bundle, environment={})
    folder = write_images(root / "images")
    command.json("ingest", folder, "--manifest", write_manifest(root / "manifest.csv"), "--name", "shop")
    yield command, folder
    command.end_owner()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as opened:
        yield opened


@pytest.fixture(scope="module")
def served_shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    with shop_served(tmp_path_factory.mktemp("served")) as made:
        yield made


@pytest.fixture
def visit(browser: Browser, served_shop: Shop) -> Iterator[Visit]:
    """A tab on the served shop; nothing may go wrong in it that the test does not forgive."""
    opened = Visit(browser, served_shop.url)
    yield opened
    opened.context.close()
    assert opened.troubles == []


def write_images(folder: Path) -> Path:
    """30 pictures, two bad files and one that is no image by name."""
    write_pictures(folder, 30)
    (folder / "empty.jpg").write_bytes(b"")
    (folder / "cut.jpg").write_bytes(picture(99)[:500])
    (folder / "notes.txt").write_text("not an image")
    return folder


def write_pictures(folder: Path, count: int) -> Path:
    """So many different pictures, `000.jpg` and on."""
    folder.mkdir()
    for number in range(count):
        (folder / f"{number:03d}.jpg").write_bytes(picture(number))
    return folder


def write_manifest(path: Path) -> Path:
    """A row for each of the 30 pictures: two views a product, dresses and tees in turn."""
    rows = ["image,product_id,category,brand,price,in_stock,colour"]
    for n in range(30):
        category = "Dress" if n % 2 else "Tees"
        rows.append(f"{n:03d}.jpg,P{n // 2},{category},Brand{n % 3},{n + 0.5},{n % 4 != 0},red")
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def slow_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """About 10 ms an image on one thread: slow enough to be caught in the middle."""
    return write_bundle(tmp_path_factory.mktemp("bundles") / "slow", name="slow", ballast=300)
