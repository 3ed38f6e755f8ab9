"""Messages between processes. They are hints: all they carry is an id, the ledger holds the truth.

Unknown fields and other versions are refused, so that a newer producer never half-works with an older worker.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from schemas.outcomes import Reason
from schemas.records import HIGHEST_PRIORITY, LOWEST_PRIORITY

Id = Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]


class _Message(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    v: Literal[1] = 1


class AdvanceJob(_Message):
    """Bring a job one step further: scan a slice, publish batches, or finish it."""

    job_id: Id


class IndexBatch(_Message):
    """Claim this batch and index it."""

    batch_id: Id
    job_id: Id
    """The batch's job, so that a worker that cannot even claim knows whom to tell."""


class Tick(_Message):
    """Look whether anything has come to rest that should not, and whether a schedule is due."""


Text = Annotated[str, Field(min_length=1, max_length=1024)]
Texts = Annotated[tuple[Text, ...], Field(strict=False, max_length=1000)]
"""A JSON array. Longer lists do not belong in a message: make several, or name a file to the command line."""
Name = Annotated[str, Field(min_length=1, max_length=48)]


class _Request(_Message):
    """What every request from elsewhere says."""

    catalog: Name
    idempotency_key: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    """The same key again answers the job it made before; without one, the message's own id serves."""


class _ScanRequest(_Request):
    priority: Annotated[int, Field(ge=LOWEST_PRIORITY, le=HIGHEST_PRIORITY)] | None = None
    """Whatever is higher is served first; default: 0, or what the job that is taken up again has."""


class SyncRequest(_ScanRequest):
    """Bring a catalog in line with its source."""

    kind: Literal["sync"]
    source: Text | None = None
    """URL of the source, for a catalog that does not exist yet; under CATALOG_SOURCES."""
    include: Texts = ()
    exclude: Texts = ()
    allow_deletes: bool = False


class ReindexRequest(_ScanRequest):
    """Index a catalog anew with the model of the worker that takes the message."""

    kind: Literal["reindex"]


class RetryRequest(_ScanRequest):
    """Try quarantined and failed images again: all of them, or those chosen."""

    kind: Literal["retry"]
    reasons: Annotated[tuple[Annotated[Reason, Field(strict=False)], ...], Field(strict=False, max_length=100)] = ()
    """Only images with one of these."""
    failed_only: bool = False
    """Only images whose store or index was down, not the quarantined ones."""


class KeysRequest(_Request):
    """Look at these keys: what is there is indexed, what is gone is deleted."""

    kind: Literal["keys"]
    keys: Annotated[Texts, Field(min_length=1)]


class UpdateRequest(_Request):
    """Change product fields of images, by key or by product, without embedding them again."""

    kind: Literal["update"]
    fields: Annotated[dict[str, str | float | int | bool | None], Field(min_length=1, max_length=100)]
    """New values by field; null removes one."""
    keys: Texts = ()
    products: Texts = ()


JobRequest = Annotated[
    SyncRequest | ReindexRequest | RetryRequest | KeysRequest | UpdateRequest, Field(discriminator="kind")
]
_REQUEST: TypeAdapter[JobRequest] = TypeAdapter(JobRequest)


def parse_request(body: Any) -> JobRequest:
    """The request in `body`, a JSON object as `catalog.submit` takes it.

    Raises:
        ValueError: a field is missing, unknown or malformed, or the version is another one; the text names it.
    """
    try:
        return _REQUEST.validate_python(body)
    except ValidationError as error:
        raise ValueError(f"not a job request: {_faults(error)}") from error


M = TypeVar("M", bound=_Message)


def parse(kind: type[M], body: object) -> M:
    """The message in `body`.

    Raises:
        ValueError: a field is missing, unknown or malformed; the text names it.
    """
    try:
        return kind.model_validate(body)
    except ValidationError as error:
        raise ValueError(f"not a {kind.__name__} message: {_faults(error)}") from error


def _faults(error: ValidationError) -> str:
    faults = error.errors(include_input=False, include_url=False)
    return "; ".join(f"{'.'.join(map(str, e['loc'])) or 'message'}: {e['msg']}" for e in faults[:5])
