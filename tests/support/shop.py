"""A small catalog of drawn garments with the model that ships, served by the real command."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support.commands import Catalog
from tests.support.served import command_served

IMAGES = 36
BUNDLE = Path(__file__).parents[2] / "workers/models/default"


@dataclass(frozen=True)
class Shop:
    """A served catalog and its pictures."""

    url: str
    folder: Path
    command: Catalog

    @property
    def photo(self) -> Path:
        return sorted((self.folder / "images" / "dress").glob("*.jpg"))[0]


@contextmanager
def shop_served(root: Path) -> Iterator[Shop]:
    """`IMAGES` drawn images under the name `shop`, and two that cannot be read."""
    command = Catalog(home=root / "home", bundle=BUNDLE, environment={})
    folder = root / "shop"
    command.json("sample", folder, "--images", str(IMAGES))
    (folder / "images/cut.jpg").write_bytes(sorted((folder / "images/dress").glob("*.jpg"))[0].read_bytes()[:2000])
    (folder / "images/empty.jpg").write_bytes(b"")
    command.json("ingest", folder, "--manifest", folder / "manifest.csv", "--name", "shop")
    try:
        with command_served(command) as (url, _):
            yield Shop(url=url, folder=folder, command=command)
    finally:
        command.end_owner()
