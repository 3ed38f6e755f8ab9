"""A driver that can write, for what we put into a store ourselves: model bundles. Sources are never written to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from obstore.store import LocalStore

from workers.adapters.object_store.cloud import open_azure, open_google
from workers.adapters.object_store.faults import Place
from workers.adapters.object_store.options import StoreOptions
from workers.adapters.object_store.remote import built
from workers.adapters.object_store.store import AZURE_SCHEMES, path_of
from workers.errors import ConfigurationError

if TYPE_CHECKING:
    from obstore.store import ObjectStore as Driver


@dataclass(frozen=True, kw_only=True, slots=True)
class Writable:
    """A place of a store with its driver. `prefix` (empty, or ending with "/") stands before every path."""

    driver: Driver
    prefix: str
    place: Place


def open_writable(url: str, options: StoreOptions) -> Writable:
    """What lies at `url`, as `open_store` reads it; a folder is made where there is none. Nothing is asked yet.

    Raises:
        ConfigurationError: no such scheme, no credentials, or a URL that cannot be read.
    """
    scheme = url.partition("://")[0].lower() if "://" in url else ""
    if scheme in ("", "file"):
        path = path_of(url)
        place = Place(name=f"the folder {path}", credentials="its owner and permissions", address="the path")
        with built(place):
            return Writable(driver=LocalStore(path, mkdir=True), prefix="", place=place)
    if scheme in ("s3", "s3a"):
        from workers.adapters.object_store.s3 import S3ObjectStore  # boto3 takes a quarter of a second

        source = S3ObjectStore(url, options)
        return Writable(driver=source.driver, prefix=source.prefix, place=source.place)
    if scheme == "gs" or scheme in AZURE_SCHEMES:
        cloud = (open_google if scheme == "gs" else open_azure)(url, options)
        return Writable(driver=cloud.driver, prefix="", place=cloud.place)
    raise ConfigurationError(f"nothing can be written to {scheme}://; give a folder, s3://, gs:// or az://")
