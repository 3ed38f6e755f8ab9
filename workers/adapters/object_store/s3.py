"""S3 and what speaks it: botocore lists, obstore reads.

Reading is where the time goes, and obstore takes a sixth of boto3's CPU for it. Listing is botocore's because obstore
ends a whole listing at the first key with an empty segment or a control character, and drops leading slashes; a
botocore page takes some 25 ms of CPU for 1,000 keys.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import botocore.session
from botocore import UNSIGNED
from botocore.config import Config
from botocore.utils import parse_timestamp
from obstore.auth.boto3 import Boto3CredentialProvider
from obstore.store import S3Store

from workers.adapters.object_store.boto_faults import translated_boto
from workers.adapters.object_store.endpoints import canonical_endpoint, is_aws
from workers.adapters.object_store.faults import Place, Verdict, to_error
from workers.adapters.object_store.keys import check_key, has_dot_segment, is_plain
from workers.adapters.object_store.options import StoreOptions
from workers.adapters.object_store.remote import (
    PAGE_KEYS,
    built,
    check_order,
    check_size,
    client_options,
    normal_etag,
    read_object,
    retry_config,
    sign_object,
    stat_object,
)
from workers.adapters.object_store.skips import SkipReason, Skips, counts
from workers.errors import ConfigurationError, TransientError
from workers.ports import Fetched, Listed

_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,254}")
_ENDPOINT_QUERY = "?endpoint="
_CREDENTIALS_TTL = timedelta(minutes=5)
"""How long obstore keeps what botocore gave it. botocore renews at the latest 10 minutes before expiry, so what it
hands out is good for longer than this; the provider's own default of 30 minutes would outlive a role's credentials."""
_LIST_ATTEMPTS = 3
_ADDRESS = "the source's URL, CATALOG_S3_ENDPOINT_URL and CATALOG_S3_REGION"
_CREDENTIALS = "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or the profile or role in use"


@dataclass(frozen=True, kw_only=True, slots=True)
class S3Location:
    """A bucket, and a prefix in it that is literal: nothing in it is percent-decoded, "?" and "#" are characters."""

    bucket: str
    prefix: str
    """Empty, or ending with "/"."""
    endpoint: str | None
    """Of a service that is not AWS; None: not said."""

    @property
    def url(self) -> str:
        """One spelling for one source; `parse_s3_url` reads it."""
        tail = f"/{self.prefix.removesuffix('/')}" if self.prefix else ""
        return f"s3://{self.bucket}{tail}{_ENDPOINT_QUERY + self.endpoint if self.endpoint else ''}"


def parse_s3_url(url: str, *, allow_http: bool) -> S3Location:
    """Read `s3://bucket[/prefix][?endpoint=URL]`.

    Raises:
        ConfigurationError: no such URL, or one with credentials in it (which are not repeated).
    """
    rest, _, endpoint = url.partition("://")[2].partition(_ENDPOINT_QUERY)
    bucket, _, prefix = rest.partition("/")
    if "@" in bucket:
        raise ConfigurationError("the source's URL holds credentials; give them to the AWS chain and write s3://bucket")
    if not _BUCKET.fullmatch(bucket):
        raise ConfigurationError(f"{bucket!r} is no bucket name; write s3://bucket or s3://bucket/prefix")
    if has_dot_segment(prefix):
        raise ConfigurationError(f"the prefix {prefix!r} has '.' or '..' between slashes; write it without")
    if prefix and not prefix.endswith("/"):
        prefix += "/"
    return S3Location(
        bucket=bucket,
        prefix=prefix,
        endpoint=canonical_endpoint(endpoint, allow_http=allow_http) if endpoint else None,
    )


class S3ObjectStore:
    """The objects of a bucket below a prefix."""

    def __init__(self, url: str, options: StoreOptions) -> None:
        """Find credentials, region and endpoint; the bucket itself is not asked yet.

        Raises:
            ConfigurationError: the URL, the endpoint or the AWS configuration cannot work.
        """
        asked = parse_s3_url(url, allow_http=options.allow_http)
        opening = Place(name=f"the bucket {asked.bucket!r}", credentials=_CREDENTIALS, address=_ADDRESS)
        with translated_boto(opening):
            session = _session(options.region)
            self._client = _botocore_client(session, asked.endpoint or options.endpoint_url, options)
        self._endpoint = canonical_endpoint(self._client.meta.endpoint_url, allow_http=options.allow_http)
        self._at = S3Location(
            bucket=asked.bucket,
            prefix=asked.prefix,
            endpoint=None if is_aws(self._endpoint) else self._endpoint,
        )
        self._place = Place(
            name=f"the bucket {asked.bucket!r} at {self._endpoint}", credentials=_CREDENTIALS, address=_ADDRESS
        )
        self._driver = self._obstore_driver(session, options)
        self._anonymous = options.anonymous
        self._skips: Skips = Counter()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.url!r})"

    @property
    def url(self) -> str:
        """See the port: `s3://bucket/prefix`, with `?endpoint=` where the service is not AWS."""
        return self._at.url

    @property
    def skipped(self) -> Mapping[str, int]:
        """How much the latest listing left out before the object it handed out last, by `SkipReason`.

        At its end: everything behind `after`. So a listing cut off there and gone on with elsewhere counts nothing twice.
        """
        return counts(self._skips)

    @property
    def driver(self) -> S3Store:
        """The reading side, of the whole bucket."""
        return self._driver

    @property
    def prefix(self) -> str:
        """What stands before every key: empty, or ending with "/"."""
        return self._at.prefix

    @property
    def place(self) -> Place:
        """For texts of errors."""
        return self._place

    def close(self) -> None:
        """Close idle connections."""
        self._client.close()

    def list(self, *, after: str | None = None) -> Iterator[Listed]:
        """See the port. Raises `ConfigurationError` too where the service does not list in key order."""
        self._skips = Counter()
        ask: dict[str, Any] = {"Bucket": self._at.bucket, "Prefix": self._at.prefix, "MaxKeys": PAGE_KEYS}
        if after:
            ask["StartAfter"] = self._at.prefix + after
        previous: str | None = None
        passed: Skips = Counter()
        while True:
            with translated_boto(self._place):
                page = self._client.list_objects_v2(**ask)
            if "IsTruncated" not in page:
                # botocore takes any XML or HTML for an empty page, and an empty page for a bucket without images
                raise to_error(Verdict.REFUSED, self._place, key=None, said="the answer is no S3 listing")
            for found in page.get("Contents", ()):
                path: str = found["Key"]
                check_order(previous, path, self._place)
                previous = path
                key = path.removeprefix(self._at.prefix)
                if key == "" or (after is not None and key <= after):  # the prefix's own marker is not worth a count
                    continue
                if (reason := _obstacle(key)) is not None:
                    passed[reason] += 1
                else:
                    size, modified = found["Size"], found["LastModified"]
                    etag = normal_etag(found.get("ETag"), size=size, modified=modified)
                    yield Listed(key=key, etag=etag, size=size, modified=modified)
                    if (
                        passed
                    ):  # not before this object is done with: who goes on behind its predecessor meets them again
                        self._skips.update(passed)
                        passed.clear()
            token = page.get("NextContinuationToken") if page.get("IsTruncated") else None
            if token is None:
                self._skips.update(passed)
                return
            if token == ask.get("ContinuationToken"):
                raise TransientError(f"{self._place.name} repeats a page of its listing")
            ask["ContinuationToken"] = token

    def stat(self, key: str) -> Listed:
        """See the port."""
        check_key(key)
        path = self._at.prefix + key
        if is_plain(path):
            return stat_object(self._driver, path, key=key, place=self._place)
        with translated_boto(self._place, key=key):
            answer = self._client.head_object(Bucket=self._at.bucket, Key=path)
        size, modified = int(answer["ContentLength"]), answer["LastModified"]
        return Listed(
            key=key, etag=normal_etag(answer.get("ETag"), size=size, modified=modified), size=size, modified=modified
        )

    def get(self, key: str, *, max_bytes: int) -> Fetched:
        """See the port. Keys that obstore cannot say are read by botocore."""
        check_key(key)
        path = self._at.prefix + key
        if is_plain(path):
            return read_object(self._driver, path, key=key, max_bytes=max_bytes, place=self._place)
        return self._read_with_botocore(path, key, max_bytes)

    def presign(self, key: str, *, expires_s: float) -> str | None:
        """See the port. A public bucket's objects need no signature, but are not told to be public: None."""
        check_key(key)
        if self._anonymous:
            return None
        path = self._at.prefix + key
        if is_plain(path):
            return sign_object(self._driver, path, key=key, expires_s=expires_s, place=self._place)
        with translated_boto(self._place, key=key):
            url: str = self._client.generate_presigned_url(
                "get_object", Params={"Bucket": self._at.bucket, "Key": path}, ExpiresIn=int(expires_s)
            )
        return url

    def _read_with_botocore(self, path: str, key: str, max_bytes: int) -> Fetched:
        with translated_boto(self._place, key=key):
            answer = self._client.get_object(Bucket=self._at.bucket, Key=path)
            with closing(answer["Body"]) as body:
                size = int(answer["ContentLength"])
                check_size(key, size, max_bytes)
                data = body.read(size)
        if len(data) != size:
            raise TransientError(f"{self._place.name} sent {len(data)} of {size} bytes of {key!r}")
        modified = answer["LastModified"]
        etag = normal_etag(answer.get("ETag"), size=size, modified=modified)
        return Fetched(key=key, data=data, etag=etag, size=size, modified=modified)

    def _obstore_driver(self, session: boto3.Session, options: StoreOptions) -> S3Store:
        """The reading side, told what botocore found out so that both speak to the same place in the same name."""
        if options.anonymous:
            provider = None
        else:
            with translated_boto(self._place):
                if session.get_credentials() is None:
                    raise ConfigurationError(
                        f"no credentials for {self._place.name}: set {_CREDENTIALS}, "
                        "or CATALOG_S3_ANONYMOUS=true for a public bucket"
                    )
                provider = Boto3CredentialProvider(session, ttl=_CREDENTIALS_TTL)
        with built(self._place):
            return S3Store(
                self._at.bucket,
                endpoint=self._endpoint,
                region=self._client.meta.region_name,
                skip_signature=options.anonymous,
                virtual_hosted_style_request=False,
                credential_provider=provider,
                client_options=client_options(options, allow_http=self._endpoint.startswith("http://")),
                retry_config=retry_config(options),
            )


def _obstacle(key: str) -> SkipReason | None:
    """Why an object of this key cannot be read; None if it can."""
    if key.endswith("/"):
        return SkipReason.FOLDER_MARKER
    return SkipReason.DOT_SEGMENT if has_dot_segment(key) else None


def _session(region: str | None) -> boto3.Session:
    """A session of our own, whose clients read times with `_timestamp`.

    botocore's way through dateutil takes two thirds of the CPU of a listing: 61 instead of 22 microseconds an object.
    """
    core = botocore.session.Session()
    core.get_component("response_parser_factory").set_parser_defaults(timestamp_parser=_timestamp)
    return boto3.Session(botocore_session=core, region_name=region)


def _timestamp(text: str) -> datetime:
    """A time in UTC, from ISO 8601 as in listings or anything else that botocore can read."""
    try:
        return datetime.fromisoformat(text).astimezone(UTC)
    except ValueError:
        read: datetime = parse_timestamp(text)
        return read.astimezone(UTC)


def _botocore_client(session: boto3.Session, endpoint: str | None, options: StoreOptions) -> Any:
    """The listing side. With its attempts it keeps to about the same time as obstore."""
    return session.client(
        "s3",
        endpoint_url=endpoint,
        config=Config(
            signature_version=UNSIGNED if options.anonymous else "s3v4",
            connect_timeout=options.connect_s,
            read_timeout=options.stall_s,
            retries={"mode": "standard", "total_max_attempts": min(_LIST_ATTEMPTS, options.retries + 1)},
            s3={"addressing_style": "path"},
            response_checksum_validation="when_required",
            request_checksum_calculation="when_required",
        ),
    )
