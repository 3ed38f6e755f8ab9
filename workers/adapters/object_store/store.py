"""Which adapter a source's URL asks for."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING
from urllib.parse import unquote_to_bytes

from workers.adapters.object_store.folder import FolderObjectStore
from workers.adapters.object_store.options import StoreOptions
from workers.errors import ConfigurationError

if TYPE_CHECKING:
    from workers.ports import ObjectStore

SUPPORTED = "a folder, file:///path, s3://bucket/prefix, gs://bucket/prefix, az://container/prefix or memory://"

AZURE_SCHEMES = frozenset({"az", "azure", "abfs", "abfss"})


def open_store(url: str, options: StoreOptions | None = None) -> ObjectStore:
    """The source at `url`: a path, `file://`, `s3://` (`s3a://`), `gs://`, `az://` (`abfs://`, `abfss://`) or `memory://`.

    Nothing remote is asked yet; a bucket that does not exist shows with the first listing. `open_store(store.url)`
    opens the same source again, except for `memory://`, which is a new one every time.

    Raises:
        ConfigurationError: no such scheme, no such folder, no credentials, or a URL that cannot be read.
    """
    options = options or StoreOptions()
    scheme, separator, rest = url.partition("://")
    scheme = scheme.lower() if separator else ""
    match scheme:
        case "" | "file":
            return FolderObjectStore(path_of(url))
        case "s3" | "s3a":
            from workers.adapters.object_store.s3 import S3ObjectStore

            return S3ObjectStore(url, options)
        case "gs":
            from workers.adapters.object_store.cloud import open_google

            return open_google(url, options)
        case "memory":
            from workers.adapters.object_store.memory import MemoryObjectStore

            return MemoryObjectStore(rest)
        case _ if scheme in AZURE_SCHEMES:
            from workers.adapters.object_store.cloud import open_azure

            return open_azure(url, options)
    raise ConfigurationError(f"sources of the kind {scheme}:// are not supported; give {SUPPORTED}")


def path_of(url: str) -> str:
    """The path of a folder that is named by its path or by a `file://` URL.

    Raises:
        ConfigurationError: it names none.
    """
    _, separator, rest = url.partition("://")
    return _path_of_file_url(rest) if separator else _checked_path(url)


def _checked_path(path: str) -> str:
    if not path or "\0" in path:
        raise ConfigurationError(f"{path!r} is no source; give {SUPPORTED}")
    return path


def _path_of_file_url(rest: str) -> str:
    """The path of what follows `file://`; percent-encoding says bytes, which need not be text."""
    host, slash, path = rest.partition("/")
    if host not in {"", "localhost"} or not slash:
        raise ConfigurationError(f"file://{rest} names another machine or no absolute path; write file:///path")
    return _checked_path("/" + os.fsdecode(unquote_to_bytes(path)))
