"""What S3, Google, Azure and memory share: bounded reads through obstore, and its exceptions in our own words."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, cast

import obstore
from obstore import exceptions as raised

from schemas.outcomes import Reason
from workers.adapters.object_store.faults import Place, Verdict, judge_text, scrub, to_error
from workers.adapters.object_store.options import StoreOptions
from workers.errors import CatalogError, ConfigurationError, ItemError, TransientError
from workers.ports import Fetched, Listed

if TYPE_CHECKING:
    from obstore import SignCapableStore
    from obstore.store import ClientConfig, RetryConfig
    from obstore.store import ObjectStore as Driver

CHUNK_BYTES = 1024 * 1024
"""A body is counted in steps of this size; most catalog images are one step."""
PAGE_KEYS = 1000
"""What S3, Google and Azure put on a page at most, or nearly so."""
FIRST_WAIT_S = 0.1
LONGEST_WAIT_S = 2.0

OBSTORE_VERDICTS: dict[type[Exception], Verdict] = {
    raised.NotFoundError: Verdict.VANISHED,
    raised.PermissionDeniedError: Verdict.DENIED,
    raised.UnauthenticatedError: Verdict.CREDENTIALS,
    raised.InvalidPathError: Verdict.BAD_NAME,
    raised.NotSupportedError: Verdict.REFUSED,
    raised.UnknownConfigurationKeyError: Verdict.REFUSED,
    raised.AlreadyExistsError: Verdict.BUSY,
    raised.PreconditionError: Verdict.BUSY,
    raised.NotModifiedError: Verdict.BUSY,
    raised.JoinError: Verdict.BUSY,
    raised.GenericError: Verdict.BUSY,
    raised.BaseError: Verdict.BUSY,
    FileNotFoundError: Verdict.VANISHED,
    PermissionError: Verdict.DENIED,
    OSError: Verdict.BUSY,
    ValueError: Verdict.BAD_NAME,
}
"""The verdict where the store's answer says nothing more precise. Found along the class's ancestors."""


def from_obstore(error: Exception, place: Place, *, key: str | None) -> CatalogError:
    """What obstore raised, about `key` or about the source. Shortens the text of `error`, which tracebacks show.

    The key is taken out of the text before it is judged: nobody may steer the verdict by naming an object
    `<Code>NoSuchBucket</Code>`.
    """
    text = str(error)
    precise, said = judge_text(text.replace(key, "") if key else text)
    by_class = next(OBSTORE_VERDICTS[kind] for kind in type(error).__mro__ if kind in OBSTORE_VERDICTS)
    error.args = (scrub(text),)
    return to_error(precise or by_class, place, key=key, said=said)


@contextmanager
def translated(place: Place, *, key: str | None = None) -> Iterator[None]:
    """Turn what obstore raises inside the block into the errors that the port promises."""
    try:
        yield
    except tuple(OBSTORE_VERDICTS) as error:
        raise from_obstore(error, place, key=key) from error


@contextmanager
def built(place: Place) -> Iterator[None]:
    """The same for a block that makes a driver: nothing was asked yet, so every fault is the configuration's."""
    try:
        yield
    except tuple(OBSTORE_VERDICTS) as error:
        error.args = (scrub(str(error)),)
        raise ConfigurationError(f"{place.name} cannot be opened ({error}): check {place.credentials}") from error


def read_object(driver: Driver, path: str, *, key: str, max_bytes: int, place: Place) -> Fetched:
    """One GET of `path`, called `key` in the answer. The announced length is checked first, then what really comes.

    Raises:
        ItemError: too_large, vanished or access_denied.
        TransientError: the store does not answer, or its answer ends early.
    """
    parts: list[bytes] = []
    read = 0
    with translated(place, key=key):
        answer = obstore.get(driver, path)
        meta = answer.meta
        check_size(key, meta["size"], max_bytes)
        for part in answer.stream(min_chunk_size=CHUNK_BYTES):
            read += len(part)
            check_size(key, read, max_bytes)
            parts.append(bytes(part))
    if read != meta["size"]:
        raise TransientError(f"{place.name} sent {read} of {meta['size']} bytes of {key!r}")
    etag = normal_etag(meta["e_tag"], size=read, modified=meta["last_modified"])
    data = parts[0] if len(parts) == 1 else b"".join(parts)
    return Fetched(key=key, data=data, etag=etag, size=read, modified=meta["last_modified"])


def stat_object(driver: Driver, path: str, *, key: str, place: Place) -> Listed:
    """One HEAD of `path`, called `key` in the answer.

    Raises:
        ItemError: vanished or access_denied.
        TransientError: the store does not answer.
    """
    with translated(place, key=key):
        meta = obstore.head(driver, path)
    etag = normal_etag(meta["e_tag"], size=meta["size"], modified=meta["last_modified"])
    return Listed(key=key, etag=etag, size=meta["size"], modified=meta["last_modified"])


def sign_object(driver: Driver, path: str, *, key: str, expires_s: float, place: Place) -> str:
    """A URL that lets anybody GET `path` for so long.

    Raises:
        ItemError, ConfigurationError, TransientError: as `read_object`, where the store had to be asked for a signing key.
    """
    with translated(place, key=key):
        return str(obstore.sign(cast("SignCapableStore", driver), "GET", path, timedelta(seconds=expires_s)))


def check_size(key: str, size: int, max_bytes: int) -> None:
    """Refuse more than `max_bytes`.

    Raises:
        ItemError: too_large.
    """
    if size > max_bytes:
        raise ItemError(Reason.TOO_LARGE, f"{key!r} has {size} bytes or more; the limit is {max_bytes}")


def check_order(previous: str | None, key: str, place: Place) -> None:
    """Refuse a listing that is not in key order: a merge with the ledger would take its images for deleted ones.

    Raises:
        ConfigurationError: the store cannot be indexed.
    """
    if previous is not None and key <= previous:
        raise ConfigurationError(
            f"{place.name} does not list its objects in key order ({key!r} came after {previous!r}), as S3 directory "
            "buckets and some look-alikes do; copy the images to a general purpose bucket or a folder"
        )


def normal_etag(etag: str | None, *, size: int, modified: datetime) -> str:
    """The bare ETag: some servers quote it in answers and not in listings. Without one, size and whole seconds."""
    if etag:
        return etag.removeprefix("W/").strip('"')
    return f"{size:x}-{int(modified.timestamp()):x}"


def client_options(options: StoreOptions, *, allow_http: bool) -> ClientConfig:
    """Timeouts of one request."""
    return {
        "allow_http": allow_http,
        "connect_timeout": timedelta(seconds=options.connect_s),
        "read_timeout": timedelta(seconds=options.stall_s),
        "timeout": timedelta(seconds=options.timeout_s),
    }


def retry_config(options: StoreOptions) -> RetryConfig:
    """Retries with jitter; none is begun in the last third of the time, so that a stalled one ends within it."""
    return {
        "max_retries": options.retries,
        "retry_timeout": timedelta(seconds=options.timeout_s - options.stall_s),
        "backoff": {
            "init_backoff": timedelta(seconds=FIRST_WAIT_S),
            "max_backoff": timedelta(seconds=LONGEST_WAIT_S),
            "base": 2,
        },
    }
