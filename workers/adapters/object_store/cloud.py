"""Google Cloud Storage, Azure and memory: whatever obstore reaches and lists in key order.

A key that obstore's path type cannot say (an empty segment, a control character) ends the listing with an error that
names it; only `S3ObjectStore`, which lists by itself, reads such keys.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, quote, urlsplit

import obstore
from obstore.store import AzureStore, GCSStore

from schemas.outcomes import Reason
from workers.adapters.object_store.faults import Place
from workers.adapters.object_store.keys import check_key, is_plain
from workers.adapters.object_store.options import StoreOptions
from workers.adapters.object_store.remote import (
    PAGE_KEYS,
    built,
    check_order,
    client_options,
    normal_etag,
    read_object,
    retry_config,
    sign_object,
    stat_object,
    translated,
)
from workers.errors import ConfigurationError, ItemError
from workers.ports import Fetched, Listed

if TYPE_CHECKING:
    from obstore.store import ObjectStore as Driver

_AZURE_ACCOUNT = "AZURE_STORAGE_ACCOUNT_NAME"
"""obstore reads it by itself, but does not tell what it found."""


class CloudObjectStore:
    """A source that is one obstore store, whose prefix is the source's root."""

    def __init__(self, driver: Driver, *, url: str, place: Place) -> None:
        self._driver = driver
        self._url = url
        self._place = place

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._url!r})"

    @property
    def driver(self) -> Driver:
        """The store itself; its root is the source's."""
        return self._driver

    @property
    def place(self) -> Place:
        """For texts of errors."""
        return self._place

    @property
    def url(self) -> str:
        """See the port."""
        return self._url

    @property
    def skipped(self) -> Mapping[str, int]:
        """Nothing: what cannot be listed here is an error."""
        return {}

    def list(self, *, after: str | None = None) -> Iterator[Listed]:
        """See the port. `after` becomes the request's offset where the store can take it, and is filtered anyway."""
        with translated(self._place):
            pages = obstore.list(
                self._driver, offset=after if after and is_plain(after) else None, chunk_size=PAGE_KEYS
            )
        previous: str | None = None
        while True:
            with translated(self._place):
                page = next(pages, None)
            if page is None:
                return
            for meta in page:
                key = meta["path"]
                check_order(previous, key, self._place)
                previous = key
                if after is None or key > after:
                    etag = normal_etag(meta["e_tag"], size=meta["size"], modified=meta["last_modified"])
                    yield Listed(key=key, etag=etag, size=meta["size"], modified=meta["last_modified"])

    def stat(self, key: str) -> Listed:
        """See the port."""
        check_key(key)
        if not is_plain(key):
            raise ItemError(Reason.VANISHED, f"no object of {self._place.name} can have the key {key!r}")
        return stat_object(self._driver, key, key=key, place=self._place)

    def get(self, key: str, *, max_bytes: int) -> Fetched:
        """See the port."""
        check_key(key)
        if not is_plain(key):
            raise ItemError(Reason.VANISHED, f"no object of {self._place.name} can have the key {key!r}")
        return read_object(self._driver, key, key=key, max_bytes=max_bytes, place=self._place)

    def presign(self, key: str, *, expires_s: float) -> str | None:
        """See the port. Google and Azure may have to be asked for a signing key, where the credentials hold none."""
        check_key(key)
        if not is_plain(key):
            raise ItemError(Reason.VANISHED, f"no object of {self._place.name} can have the key {key!r}")
        return sign_object(self._driver, key, key=key, expires_s=expires_s, place=self._place)

    def close(self) -> None:
        """Nothing to do: the driver's connections end with it."""


def open_google(url: str, options: StoreOptions) -> CloudObjectStore:
    """The source at `gs://bucket/prefix`, with Google's application default credentials.

    Raises:
        ConfigurationError: the URL holds more than that, or the credentials cannot be read.
    """
    bucket = _checked(url, secret="@" in urlsplit(url).netloc).netloc
    place = Place(name=f"the bucket {bucket!r} at Google", credentials="GOOGLE_APPLICATION_CREDENTIALS")
    with built(place):
        driver = GCSStore.from_url(
            url,
            skip_signature=options.anonymous,
            client_options=client_options(options, allow_http=False),
            retry_config=retry_config(options),
        )
    return CloudObjectStore(driver, url=_join("gs", bucket, driver.prefix), place=place)


def open_azure(url: str, options: StoreOptions) -> CloudObjectStore:
    """The source at `az://container/prefix` (account from the environment) or `abfss://container@account.../prefix`.

    Raises:
        ConfigurationError: the URL holds more than that, or no account is named.
    """
    parts = _checked(url, secret=":" in urlsplit(url).netloc)
    place = Place(
        name=f"the container {parts.netloc!r} at Azure",
        credentials=f"{_AZURE_ACCOUNT} and AZURE_STORAGE_ACCOUNT_KEY",
    )
    with built(place):
        driver = AzureStore.from_url(
            url,
            skip_signature=options.anonymous,
            client_options=client_options(options, allow_http=False),
            retry_config=retry_config(options),
        )
    account = driver.config.get("account_name") or os.environ.get(_AZURE_ACCOUNT, "")
    host = f"{driver.config['container_name']}@{account}.dfs.core.windows.net"
    return CloudObjectStore(driver, url=_join("abfss", host, driver.prefix), place=place)


def _checked(url: str, *, secret: bool) -> SplitResult:
    """The URL's parts; one that holds a user, a token or anything but a place is refused without repeating it."""
    parts = urlsplit(url)
    if secret or parts.query or parts.fragment or not parts.netloc:
        raise ConfigurationError(
            f"a {parts.scheme}:// source is written {parts.scheme}://name/prefix, with nothing else in it; "
            "credentials and tokens come from the environment"
        )
    return parts


def _join(scheme: str, host: str, prefix: str | None) -> str:
    return f"{scheme}://{host}/{quote(prefix)}" if prefix else f"{scheme}://{host}"
