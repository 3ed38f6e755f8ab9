"""Object store notifications, read: which objects of which bucket somebody should look at.

Understood are the records of Amazon S3 and of MinIO, EventBridge's S3 events, and all of these wrapped in an SNS
notification. An event is a hint to look at a key: whether it speaks of a creation or a removal, how often it comes and in
which order decides nothing, since what counts is what the object is found to be. So no sequencer has to be compared.

Formats: https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-content-structure.html,
https://docs.aws.amazon.com/AmazonS3/latest/userguide/ev-events.html. They are not ours: fields that are not needed here
are passed over.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal
from urllib.parse import unquote_plus

import orjson
from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, TypeAdapter, ValidationError

from schemas.ids import check_key
from workers.errors import ContractError

MAX_EVENTS: Final = 10_000
"""Of one message; S3 sends one, others a few hundred."""
_WRAPPERS: Final = 2
"""A queue's message may hold an SNS notification, which holds the records."""
_LOOK_PREFIXES: Final = ("ObjectCreated:", "ObjectRemoved:", "LifecycleExpiration:", "ObjectRestore:Completed")
_LOOK_TYPES: Final = frozenset({"Object Created", "Object Deleted", "Object Restore Completed"})


@dataclass(frozen=True, kw_only=True, slots=True)
class ObjectEvent:
    """Something happened to an object."""

    bucket: str
    key: str
    """As the object is called, below the bucket's root."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Notification:
    """What a message said."""

    events: tuple[ObjectEvent, ...] = ()
    passed_over: int = 0
    """Events of other kinds (tags, access lists), and of names that no image can have."""
    subscription_url: str | None = None
    """SNS asks whether its messages are wanted here: a person has to visit this address."""


class _Foreign(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)


class _Bucket(_Foreign):
    name: str = Field(min_length=1, max_length=255)


class _Object(_Foreign):
    key: str


class _Entity(_Foreign):
    bucket: _Bucket
    object: _Object


class _Record(_Foreign):
    event_name: str = Field(alias="eventName")
    s3: _Entity


class _Records(_Foreign):
    records: list[_Record] = Field(alias="Records", max_length=MAX_EVENTS)


class _EventBridge(_Foreign):
    kind: str = Field(alias="detail-type")
    source: str
    detail: dict[str, Any]


class _Sns(_Foreign):
    kind: Literal["Notification", "SubscriptionConfirmation", "UnsubscribeConfirmation"] = Field(alias="Type")
    message: str = Field(alias="Message")
    subscription_url: str | None = Field(default=None, alias="SubscribeURL")


class _Test(_Foreign):
    event: Literal["s3:TestEvent"] = Field(alias="Event")


def _shape(value: Any) -> str | None:
    """Which of the formats a message is, by the field that only that one has."""
    if not isinstance(value, dict):
        return None
    signs = {"Records": "records", "detail-type": "eventbridge", "Type": "sns", "Event": "test"}
    return next((shape for field, shape in signs.items() if field in value), None)


_MESSAGE: TypeAdapter[_Records | _EventBridge | _Sns | _Test] = TypeAdapter(
    Annotated[
        Annotated[_Records, Tag("records")]
        | Annotated[_EventBridge, Tag("eventbridge")]
        | Annotated[_Sns, Tag("sns")]
        | Annotated[_Test, Tag("test")],
        Discriminator(_shape),
    ]
)


def read_notification(body: bytes | str) -> Notification:
    """What a message says.

    Raises:
        ContractError: it is no JSON, or none of the formats; the text says what is missing.
    """
    return _read(body, wrappers=_WRAPPERS)


def _read(body: bytes | str, *, wrappers: int) -> Notification:
    try:
        message = _MESSAGE.validate_python(orjson.loads(body))
    except orjson.JSONDecodeError as error:
        raise ContractError(f"a notification that is no JSON: {error}") from error
    except ValidationError as error:
        fault = error.errors(include_input=False, include_url=False)[0]
        place = ".".join(map(str, fault["loc"])) or "message"
        raise ContractError(
            f"no notification of S3, MinIO, EventBridge or SNS: {place}: {_plain(fault['msg'])}"
        ) from error
    if isinstance(message, _Test):
        return Notification()
    if isinstance(message, _Sns):
        if message.kind != "Notification":
            return Notification(passed_over=1, subscription_url=message.subscription_url)
        if not wrappers:
            raise ContractError("a notification within a notification within a notification")
        return _read(message.message, wrappers=wrappers - 1)
    if isinstance(message, _EventBridge):
        return _from_eventbridge(message)
    return _collected([_of_record(record) for record in message.records])


def _of_record(record: _Record) -> ObjectEvent | None:
    """The event of a record, whose key is encoded as in a form: a plus sign is a blank."""
    if not record.event_name.removeprefix("s3:").startswith(_LOOK_PREFIXES):
        return None
    try:
        key = unquote_plus(record.s3.object.key, errors="strict")
    except UnicodeDecodeError:
        return None
    return _checked(record.s3.bucket.name, key)


def _from_eventbridge(message: _EventBridge) -> Notification:
    """EventBridge's events, whose key is the plain name."""
    if message.kind not in _LOOK_TYPES:
        return Notification(passed_over=1)
    try:
        entity = _Entity.model_validate(message.detail)
    except ValidationError as error:
        raise ContractError("an S3 event of EventBridge without its bucket's name or its object's key") from error
    return _collected([_checked(entity.bucket.name, entity.object.key)])


def _checked(bucket: str, key: str) -> ObjectEvent | None:
    try:
        return ObjectEvent(bucket=bucket, key=check_key(key))
    except ValueError:  # a folder's marker, or what no listing of ours would name
        return None


def _collected(found: list[ObjectEvent | None]) -> Notification:
    events = tuple(dict.fromkeys(event for event in found if event is not None))
    return Notification(events=events, passed_over=sum(event is None for event in found))


def _plain(text: str) -> str:
    return text if len(text) <= 200 else text[:200]
