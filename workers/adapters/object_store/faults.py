"""What the drivers raise, told in the system's own errors: one table per driver, one text per verdict.

Texts name the place, the object and the store's error code, and never quote a whole answer: AWS repeats session tokens
in the body of a refused signature. `scrub` shortens the driver's own text for the same reason, as tracebacks show it.
"""

from __future__ import annotations

import errno
import re
from dataclasses import dataclass
from enum import Enum, auto

from schemas.outcomes import Reason
from workers.errors import CatalogError, ConfigurationError, ItemError, TransientError


class Verdict(Enum):
    """What a fault means, whoever reported it."""

    VANISHED = auto()
    DENIED = auto()
    LINK = auto()
    ARCHIVED = auto()
    NO_SOURCE = auto()
    CREDENTIALS = auto()
    REGION = auto()
    CLOCK = auto()
    CERTIFICATE = auto()
    BAD_NAME = auto()
    BAD_KEY = auto()
    REFUSED = auto()
    BUSY = auto()


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """The source as error texts name it."""

    name: str
    """For example "the bucket 'photos' at https://s3.eu-west-1.amazonaws.com"."""
    credentials: str = "the credentials"
    """Where this kind of store takes its credentials from."""
    address: str = "the source's URL"
    """What says where it is."""


def to_error(verdict: Verdict, place: Place, *, key: str | None, said: str) -> CatalogError:
    """The error to raise: about the item `key`, or about the source as a whole when it is None.

    Args:
        verdict: what happened.
        place: where.
        key: the object that was asked for; None while listing or opening.
        said: the store's error code or a few words; no secrets.
    """
    if key is not None:
        match verdict:
            case Verdict.VANISHED | Verdict.BAD_NAME | Verdict.BAD_KEY:
                return ItemError(Reason.VANISHED, f"{key!r} is not in {place.name} ({said})")
            case Verdict.DENIED:
                return ItemError(Reason.ACCESS_DENIED, f"{place.name} does not let us read {key!r} ({said})")
            case Verdict.LINK:
                return ItemError(
                    Reason.ACCESS_DENIED, f"{key!r} is a symbolic link; links in a folder are not followed"
                )
            case Verdict.ARCHIVED:
                return ItemError(Reason.ACCESS_DENIED, f"{key!r} is archived; restore it in {place.name} ({said})")
            case _:
                pass
    if verdict is Verdict.BUSY:
        about = "" if key is None else f" for {key!r}"
        return TransientError(f"{place.name} gives no answer{about} ({said})")
    advice = _ADVICE[verdict]
    return ConfigurationError(
        advice.format(name=place.name, credentials=place.credentials, address=place.address, said=said)
    )


_ADVICE = {
    Verdict.VANISHED: "{name} does not exist ({said}): check {address}",
    Verdict.NO_SOURCE: "{name} does not exist ({said}): check {address}",
    Verdict.DENIED: "{name} does not let us list it ({said}): grant list and read access, or check {credentials}",
    Verdict.LINK: "{name} is a symbolic link to nothing ({said})",
    Verdict.ARCHIVED: "{name} is archived ({said}): restore it",
    Verdict.CREDENTIALS: "{name} refuses the credentials ({said}): check {credentials}",
    Verdict.REGION: "{name} is in another region ({said}): set CATALOG_S3_REGION or AWS_REGION to the bucket's region",
    Verdict.CLOCK: "{name} refuses the request's time ({said}): set this machine's clock",
    Verdict.CERTIFICATE: "{name} has no TLS certificate this machine trusts ({said}): check {address}",
    Verdict.BAD_NAME: "{name} holds an object with a name the driver cannot read ({said}): rename that object",
    Verdict.BAD_KEY: "{name} refuses a key we asked for ({said}): check {address}",
    Verdict.REFUSED: "{name} refuses the request ({said}): check {address}",
}

# ---------------------------------------------------------------------------------------------------- S3's own codes

S3_CODES: dict[str, Verdict] = {
    "NoSuchKey": Verdict.VANISHED,
    "KeyTooLongError": Verdict.BAD_KEY,
    "InvalidArgument": Verdict.BAD_KEY,
    "InvalidURI": Verdict.BAD_KEY,
    "XMinioInvalidObjectName": Verdict.BAD_KEY,
    "NoSuchBucket": Verdict.NO_SOURCE,
    "InvalidBucketName": Verdict.NO_SOURCE,
    "AccessDenied": Verdict.DENIED,
    "AllAccessDisabled": Verdict.DENIED,
    "InvalidObjectState": Verdict.ARCHIVED,
    "InvalidAccessKeyId": Verdict.CREDENTIALS,
    "SignatureDoesNotMatch": Verdict.CREDENTIALS,
    "ExpiredToken": Verdict.CREDENTIALS,
    "InvalidToken": Verdict.CREDENTIALS,
    "TokenRefreshRequired": Verdict.CREDENTIALS,
    "InvalidSecurity": Verdict.CREDENTIALS,
    "MissingSecurityHeader": Verdict.CREDENTIALS,
    "RequestTimeTooSkewed": Verdict.CLOCK,
    "AuthorizationHeaderMalformed": Verdict.REGION,
    "PermanentRedirect": Verdict.REGION,
    "TemporaryRedirect": Verdict.REGION,
    "IllegalLocationConstraintException": Verdict.REGION,
    "RequestTimeout": Verdict.BUSY,
    "SlowDown": Verdict.BUSY,
}
"""https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html; other codes are judged by their HTTP status."""

_STATUSES = {401: Verdict.CREDENTIALS, 403: Verdict.DENIED, 404: Verdict.VANISHED, 408: Verdict.BUSY, 425: Verdict.BUSY,
             409: Verdict.BUSY, 412: Verdict.BUSY, 429: Verdict.BUSY, 301: Verdict.REGION, 307: Verdict.REGION}  # fmt: skip
"""409 and 412 mean that somebody is changing the object right now."""


def judge_answer(code: str | None, status: int | None) -> Verdict:
    """The verdict on an HTTP answer: by its S3 error code where that is known, else by its status."""
    if code in S3_CODES:
        return S3_CODES[code]
    if status is None:
        return Verdict.BUSY
    return _STATUSES.get(status, Verdict.REFUSED if 400 <= status < 500 else Verdict.BUSY)


# ------------------------------------------------------------------------------------------------------- file system

_ERRNOS = {
    errno.ENOENT: Verdict.VANISHED,
    errno.ENOTDIR: Verdict.VANISHED,
    errno.ENAMETOOLONG: Verdict.VANISHED,
    errno.EINVAL: Verdict.VANISHED,
    errno.ENXIO: Verdict.VANISHED,
    errno.EACCES: Verdict.DENIED,
    errno.EPERM: Verdict.DENIED,
    errno.ELOOP: Verdict.LINK,
    errno.EMLINK: Verdict.LINK,
}
"""ENXIO is a socket, EMLINK what FreeBSD says of a link. Everything else (EIO, ESTALE, EMFILE ...) may pass."""


def from_os(error: OSError, place: Place, *, key: str | None) -> CatalogError:
    """What the file system said about `key`, or about the folder itself."""
    verdict = _ERRNOS.get(error.errno or 0, Verdict.BUSY)
    return to_error(verdict, place, key=key, said=error.strerror or type(error).__name__)


# ---------------------------------------------------------------------------------------------------- obstore's texts

_CODE = re.compile(r"<Code>\s*([A-Za-z0-9.]{1,64})\s*</Code>")
_STATUS = re.compile(r"non-2xx status code: (\d{3})")
_PHRASES = (
    (re.compile(r"redirect without LOCATION", re.IGNORECASE), Verdict.REGION, "redirected"),
    (re.compile(r"invalid peer certificate|certificate verify", re.IGNORECASE), Verdict.CERTIFICATE, "certificate"),
    (re.compile(r"builder error|not allowed|invalid url", re.IGNORECASE), Verdict.REFUSED, "URL not allowed"),
    (re.compile(r"timed ?out", re.IGNORECASE), Verdict.BUSY, "timed out"),
    (re.compile(r"kind: Connect", re.IGNORECASE), Verdict.BUSY, "no connection"),
)
_LONGEST_TEXT = 300


def judge_text(text: str) -> tuple[Verdict | None, str]:
    """What an obstore text says beyond its class: a verdict, if it holds one, and a few words without secrets."""
    code, status = _CODE.search(text), _STATUS.search(text)
    if code or status:
        said = code[1] if code else f"HTTP {status[1]}" if status else ""
        return judge_answer(code[1] if code else None, int(status[1]) if status else None), said
    for pattern, verdict, said in _PHRASES:
        if pattern.search(text):
            return verdict, said
    return None, scrub(text)


def scrub(text: str) -> str:
    """The first line of a driver's text without the store's answer."""
    head = re.split(r"\n|<\?xml|<Error|Debug source", text, maxsplit=1)[0]
    return head.strip()[:_LONGEST_TEXT]
