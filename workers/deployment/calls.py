"""Requests as values: what is sent, and how the answer is read. Whoever sends them waits in its own way."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from pydantic import ValidationError

from schemas.api import MAX_LIMIT
from schemas.ids import new_id
from schemas.messages import JobRequest, KeysRequest, UpdateRequest
from schemas.payload import JsonValue
from schemas.records import Job
from workers.deployment import requests, values
from workers.errors import ContractError
from workers.impressions import Impression
from workers.indexing.update import Updated
from workers.query.question import Answer, Query

T_co = TypeVar("T_co", covariant=True)


@dataclass(frozen=True, kw_only=True, slots=True)
class Call(Generic[T_co]):
    """One request."""

    method: str
    path: str
    read: Callable[[Any], T_co]
    """The value in the JSON of a good answer."""
    body: Mapping[str, Any] = field(default_factory=dict)
    """Further arguments of `httpx.Client.request`."""
    repeatable: bool = False
    """Whether it does no harm to send it again when nobody knows what became of it."""


def search(catalog: str, query: Query) -> Call[Answer]:
    """Ask for the images nearest to a query."""
    if query.limit > MAX_LIMIT:
        raise ContractError(f"a server answers at most {MAX_LIMIT} hits at once: ask for fewer")
    body = requests.search_body(catalog, query)
    return Call(method="POST", path="/v1/search", read=values.answer_of, body=body, repeatable=True)


def classify(picture: bytes, *, catalog: str | None = None) -> Call[Impression]:
    """Ask what a model sees in a picture: a catalog's, or the one at hand."""
    body = requests.picture_body({"catalog": catalog, "with_vectors": catalog is not None}, picture)
    return Call(method="POST", path="/v1/classify", read=values.impression_of, body=body, repeatable=True)


def submit(request: JobRequest, idempotency_key: str | None) -> Call[Updated]:
    """Ask for jobs; they are made once, however often this is sent."""
    body = {"json": requests.job_body(request), "headers": {"Idempotency-Key": idempotency_key or new_id()}}
    return Call(method="POST", path="/v1/jobs", read=_submitted, body=body, repeatable=True)


def index_keys(catalog: str, keys: Sequence[str], idempotency_key: str | None) -> Call[Updated]:
    """Ask to look at keys."""
    wanted = tuple(dict.fromkeys(keys))
    return submit(_built(lambda: KeysRequest(kind="keys", catalog=catalog, keys=wanted)), idempotency_key)


def update(
    catalog: str,
    fields: Mapping[str, JsonValue],
    keys: Sequence[str],
    products: Sequence[str],
    idempotency_key: str | None,
) -> Call[Updated]:
    """Ask to set product fields."""
    given: dict[str, Any] = dict(fields)

    def request() -> JobRequest:
        return UpdateRequest(kind="update", catalog=catalog, fields=given, keys=tuple(keys), products=tuple(products))

    return submit(_built(request), idempotency_key)


def job(job_id: str) -> Call[Job]:
    """Ask for a job."""
    return Call(method="GET", path=job_path(job_id), read=values.job_of, repeatable=True)


def steer(job_id: str, act: str, body: Mapping[str, Any] | None = None) -> Call[Job]:
    """Pause, resume, confirm, cancel a job, or set its priority."""
    said = {} if body is None else {"json": dict(body)}
    return Call(method="POST", path=f"{job_path(job_id)}/{act}", read=values.job_of, body=said)


def job_path(job_id: str) -> str:
    """Where a job is."""
    return f"/v1/jobs/{requests.segment(job_id)}"


def _submitted(answer: Any) -> Updated:
    return Updated(jobs=tuple(values.job_of(one) for one in answer["jobs"]), images=answer["images"] or 0)


def _built(make: Callable[[], JobRequest]) -> JobRequest:
    """A request, or ContractError where what it is made of cannot be sent."""
    try:
        return make()
    except ValidationError as error:
        faults = [f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()[:5]]
        raise ContractError("; ".join(faults)) from None
