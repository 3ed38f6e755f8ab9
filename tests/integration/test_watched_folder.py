"""A watched folder: what happens to its files comes to be in the inbox, and the index follows."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.workshops import Indexer, picture, settled
from workers.adapters.object_store.folder import FolderObjectStore
from workers.watching import FolderWatch

PATIENCE_S = 20.0


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "images"
    (made / "women").mkdir(parents=True)
    for number in range(4):
        (made / "women" / f"{number}.jpg").write_bytes(picture(number))
    return made


@pytest.fixture
def shop(folder: Path) -> Iterator[Indexer]:
    indexer = Indexer(store=FolderObjectStore(folder))  # type: ignore[arg-type]
    settled(indexer.sync())
    with FolderWatch(folder, catalog="shop", store=indexer.store, ledger=indexer.ledger):
        yield indexer


def eventually(shop: Indexer, holds: Callable[[], bool]) -> None:
    """Work off what comes in until it holds; only a watch that sees nothing lets the time run out."""
    deadline = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < deadline, shop.indexed_keys()
        time.sleep(0.05)
        shop.take_inbox()


def test_files_and_folders_that_come_go_and_move_are_followed(shop: Indexer, folder: Path) -> None:
    (folder / "women" / "0.jpg").write_bytes(picture(100))
    (folder / "women" / "1.jpg").unlink()
    (folder / "women" / "2.jpg").rename(folder / "women" / "renamed.jpg")
    (folder / "new.jpg").write_bytes(picture(101))
    (folder / ".new.jpg.part").write_bytes(b"not yet")
    expected = ["new.jpg", "women/0.jpg", "women/3.jpg", "women/renamed.jpg"]
    eventually(shop, lambda: shop.indexed_keys() == expected)
    shutil.move(folder / "women", folder.parent / "elsewhere")
    eventually(shop, lambda: shop.indexed_keys() == ["new.jpg"])
    shutil.move(folder.parent / "elsewhere", folder / "men")
    eventually(shop, lambda: shop.indexed_keys() == ["men/0.jpg", "men/3.jpg", "men/renamed.jpg", "new.jpg"])
    assert shop.sync().planned == 0


def test_a_file_that_is_read_half_written_is_searchable_when_it_is_whole(shop: Indexer, folder: Path) -> None:
    whole = picture(200, side=480)
    with (folder / "slow.jpg").open("wb") as file:
        file.write(whole[: len(whole) // 2])
        file.flush()
        eventually(shop, lambda: [row.key for row in shop.ledger.quarantine("shop")] == ["slow.jpg"])
        file.write(whole[len(whole) // 2 :])
    eventually(shop, lambda: "slow.jpg" in shop.indexed_keys())
    assert shop.ledger.quarantine("shop") == []
