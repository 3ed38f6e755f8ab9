"""The bundles of one machine, under `home/models`: copies of local ones, and what was fetched from the shelf."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from workers.adapters.bundle import Bundle, load_bundle
from workers.adapters.bundle_shelf import BundleShelf
from workers.errors import ConfigurationError

ABANDONED_S: Final = 3600.0
"""A staging folder that old belongs to a process that was killed."""


class BundleHome:
    """Any number of processes may keep and fetch at once: what counts is renamed into place, whole."""

    def __init__(self, folder: Path) -> None:
        """Nothing is made yet."""
        self.folder = folder

    def find(self, digest: str) -> Bundle | None:
        """The bundle, if it is here.

        Raises:
            ContractError: it is damaged.
        """
        kept = self._kept(digest)
        return load_bundle(kept) if kept.exists() else None

    def keep(self, bundle: Bundle) -> None:
        """Copy a bundle here.

        Raises:
            ConfigurationError: the copy cannot be made (a full disk, a file that cannot be read); nothing of it stays.
        """

        def copy(staging: Path) -> None:
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(bundle.folder, staging, ignore=ignored, dirs_exist_ok=True)

        self._adopt(bundle.card.digest, copy)

    def fetch(self, digest: str, shelf: BundleShelf) -> Bundle:
        """The bundle from here, else from the shelf, after which it is here.

        Raises:
            ConfigurationError: the shelf has none that is whole, or it cannot be written here.
            TransientError: the shelf's store does not answer.
        """
        found = self.find(digest)
        if found is None:
            self._adopt(digest, lambda staging: shelf.fetch(digest, staging))
            found = load_bundle(self._kept(digest))
        return found

    def _adopt(self, digest: str, fill: Callable[[Path], object]) -> None:
        """Fill a staging folder and rename it into place; leave everything as it is when it is there already."""
        kept = self._kept(digest)
        if kept.exists():
            return
        try:
            self.folder.mkdir(exist_ok=True)
            self._sweep(kept.name)
            staging = Path(tempfile.mkdtemp(prefix=f".{kept.name}.", dir=self.folder))
            try:
                fill(staging)
                staging.rename(kept)
            finally:
                shutil.rmtree(staging, ignore_errors=True)  # what is left of it: nothing when it was renamed
        except OSError as error:
            if not kept.exists():  # otherwise another process was quicker
                raise ConfigurationError(f"the model cannot be copied to {kept}: {_first_reason(error)}") from error

    def _sweep(self, name: str) -> None:
        for left in self.folder.glob(f".{name}.*"):
            try:
                old = time.time() - left.stat().st_mtime > ABANDONED_S
            except FileNotFoundError:
                continue
            if old:
                shutil.rmtree(left, ignore_errors=True)

    def _kept(self, digest: str) -> Path:
        return self.folder / digest[:32]


def _first_reason(error: OSError) -> str:
    """What the operating system said; `shutil.Error` holds (source, target, text) of every file it could not copy."""
    if isinstance(error, shutil.Error) and isinstance(error.args[0], list) and error.args[0]:
        source, target, said = error.args[0][0]
        return f"{said} ({source} to {target})"
    return error.strerror or str(error)
