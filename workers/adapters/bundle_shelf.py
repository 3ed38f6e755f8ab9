"""Model bundles in an object store, each under its digest, so that a worker anywhere can open what a generation is bound to.

`URL/DIGEST/` holds the card and the files that the digest covers. The card is written last: without it a bundle is not
there. What is fetched is never used before its digest has been computed from the bytes that came.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final

import obstore

from schemas.model_card import CARD_FILE, DIGESTED_FILES, GRAPH_FILE
from schemas.outcomes import Reason
from workers.adapters.bundle import Bundle, load_bundle
from workers.adapters.object_store.driver import Writable, open_writable
from workers.adapters.object_store.options import StoreOptions
from workers.adapters.object_store.remote import CHUNK_BYTES, check_size, translated
from workers.errors import ConfigurationError, ContractError, ItemError, TransientError

MAX_FILE_BYTES: Final[Mapping[str, int]] = {CARD_FILE: 4 * 1024**2, GRAPH_FILE: 64 * 1024**2}
"""A card is text, a graph without its weights XML of some hundred kilobytes."""
MAX_WEIGHTS_BYTES: Final = 2 * 1024**3
"""Of any other file: five times a ResNet-152 in float32."""
TRANSFER_TIMEOUT_S: Final = 300.0
"""For one file; a bundle is far larger than the images that `CATALOG_STORE_TIMEOUT_S` is for."""
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")


def split_bundle_url(text: str) -> tuple[str, str] | None:
    """The shelf's URL and the digest, of a bundle named by a URL; None for what is a folder's path.

    Raises:
        ConfigurationError: a URL that does not end with a digest. It is not repeated, for it may hold a password.
    """
    if "://" not in text:
        return None
    url, _, digest = text.rstrip("/").rpartition("/")
    if not _DIGEST.fullmatch(digest) or url.endswith(":/"):
        raise ConfigurationError(
            "the model's URL is no bundle's: behind it has to stand the digest, 64 hexadecimal digits (catalog model show)"
        )
    return url, digest


class BundleShelf:
    """Bundles at one URL of a store."""

    def __init__(self, url: str, options: StoreOptions) -> None:
        """Nothing is asked yet.

        Raises:
            ConfigurationError: the URL, or the credentials it needs.
        """
        self.url = url.rstrip("/")
        options = replace(options, timeout_s=max(options.timeout_s, TRANSFER_TIMEOUT_S))
        self._at: Writable = open_writable(self.url, options)

    def has(self, digest: str) -> bool:
        """Whether the bundle was published, to its end.

        Raises:
            TransientError, ConfigurationError: the store does not answer, or refuses us.
        """
        path = self._path(digest, CARD_FILE)
        try:
            with translated(self._at.place, key=path):
                obstore.head(self._at.driver, path)
        except ItemError as error:
            if error.reason is Reason.VANISHED:
                return False
            raise ConfigurationError(error.detail) from error
        return True

    def publish(self, bundle: Bundle) -> bool:
        """Put a bundle there, unless it is there; False then. Two at once write the same bytes.

        Raises:
            TransientError, ConfigurationError: the store does not answer, or does not let us write.
        """
        digest = bundle.card.digest
        if self.has(digest):
            return False
        for name in (*DIGESTED_FILES, CARD_FILE):
            path = self._path(digest, name)
            try:
                with translated(self._at.place, key=path):
                    obstore.put(self._at.driver, path, bundle.folder / name)
            except ItemError as error:
                raise ConfigurationError(f"the model cannot be published: {error.detail}") from error
        return True

    def fetch(self, digest: str, folder: Path) -> Bundle:
        """Read a bundle into an empty folder and check every byte of it against the digest.

        Raises:
            ConfigurationError: it is not there, not whole, or not what its digest says.
            TransientError: the store does not answer.
            OSError: the folder cannot be written.
        """
        for name in (CARD_FILE, *DIGESTED_FILES):
            try:
                self._read(self._path(digest, name), folder / name, MAX_FILE_BYTES.get(name, MAX_WEIGHTS_BYTES))
            except ItemError as error:
                missing = name == CARD_FILE and error.reason is Reason.VANISHED
                what = "is not published there" if missing else f"cannot be used: {error.detail}"
                raise ConfigurationError(f"the model {digest[:12]} at {self.url} {what}") from error
        try:
            bundle = load_bundle(folder)
        except ContractError as error:
            raise ConfigurationError(f"the model {digest[:12]} at {self.url} is refused: {error}") from error
        if bundle.card.digest != digest:
            raise ConfigurationError(
                f"what lies at {self.url} under {digest[:12]} is another model ({bundle.card.digest[:12]}): refused"
            )
        return bundle

    def _read(self, path: str, target: Path, max_bytes: int) -> None:
        place, read = self._at.place, 0
        with target.open("xb") as file, translated(place, key=path):
            answer = obstore.get(self._at.driver, path)
            expected = answer.meta["size"]
            check_size(path, expected, max_bytes)
            for part in answer.stream(min_chunk_size=CHUNK_BYTES):
                read += len(part)
                check_size(path, read, max_bytes)
                file.write(part)
        if read != expected:
            raise TransientError(f"{place.name} sent {read} of {expected} bytes of {path!r}")

    def _path(self, digest: str, name: str) -> str:
        return f"{self._at.prefix}{digest}/{name}"
