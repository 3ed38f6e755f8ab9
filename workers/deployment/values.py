"""Values read back from what a server answers: the inverse of `workers.job_json`."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import fields
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from schemas.ids import point_id
from schemas.outcomes import OutcomeKind, Reason
from schemas.payload import Payload
from schemas.query import FacetCount, Scored
from schemas.records import (
    Counts,
    Job,
    JobActivity,
    JobKind,
    JobOptions,
    JobState,
    ManifestProblem,
    Pulse,
    QuarantineRow,
    ReasonCount,
    StageStat,
    Worker,
    WorkerKind,
    WorkerState,
)
from workers.impressions import Impression
from workers.query.question import Answer

_COUNTS = tuple(one.name for one in fields(Counts))
_NO_VECTOR = np.zeros(0, dtype=np.float32)


def job_of(data: Mapping[str, Any]) -> Job:
    """A job. Where its scan stands is the server's own affair and not told."""
    options = data["options"]
    return Job(
        id=data["job"],
        catalog=data["catalog"],
        generation=data["generation"],
        kind=JobKind(data["kind"]),
        state=JobState(data["state"]),
        options=JobOptions(
            include=tuple(options["include"]),
            exclude=tuple(options["exclude"]),
            allow_deletes=options["allow_deletes"],
            reasons=tuple(Reason(reason) for reason in options["reasons"]),
            failed_only=options["failed_only"],
        ),
        counts=Counts(**{name: data[name] for name in _COUNTS}),
        planned=data["planned"],
        finished=data["finished"],
        scan_complete=data["scan_complete"],
        scan_cursor=None,
        deletes_planned=False,
        cancel_requested=data["cancel_requested"],
        created_at=datetime.fromisoformat(data["created_at"]),
        started_at=_moment(data["started_at"]),
        finished_at=_moment(data["finished_at"]),
        error=data["error"],
        stages=tuple(StageStat(**stage) for stage in data["stages"]),
        wall_s=data["wall_s"],
        manifest_problems=data["manifest_problems"],
        confirmed_deletes=data["confirmed_deletes"],
        priority=data["priority"],
        reasons=tuple(
            ReasonCount(kind=OutcomeKind(one["outcome"]), reason=Reason(one["reason"]), count=one["images"])
            for one in data["reasons"]
        ),
        tripped=tuple(Reason(reason) for reason in data["tripped"]),
    )


def activity_of(data: Mapping[str, Any]) -> JobActivity:
    """What a job is doing now."""
    return JobActivity(
        items_per_s=data["recent_images_per_s"],
        remaining_s=data["remaining_s"],
        oldest_pending_s=data["oldest_pending_s"],
        workers=tuple(data["workers"]),
    )


def problem_of(data: Mapping[str, Any]) -> ManifestProblem:
    """A manifest row that was left out."""
    return ManifestProblem(line=data["line"], key=data["key"], problem=data["problem"])


def left_of(data: Mapping[str, Any]) -> QuarantineRow:
    """An image that is not searchable."""
    return QuarantineRow(
        key=data["key"],
        kind=OutcomeKind(data["outcome"]),
        reason=Reason(data["reason"]),
        detail=data["detail"],
        attempts=data["attempts"],
        at=datetime.fromisoformat(data["at"]),
    )


def worker_of(data: Mapping[str, Any]) -> Worker:
    """A worker. One that fell silent is told by `silent_s`."""
    silent = data["state"] == "silent"
    pulse = Pulse(
        id=data["worker"],
        host=data["host"],
        pid=data["pid"],
        kind=WorkerKind(data["kind"]),
        queues=tuple(data["queues"]),
        version=data["version"],
        state=WorkerState.IDLE if silent else WorkerState(data["state"]),
        job_id=data["job"],
        batch_id=data["batch"],
        images_done=data["images_done"],
    )
    return Worker(
        pulse=pulse,
        started_at=datetime.fromisoformat(data["started_at"]),
        beat_at=datetime.fromisoformat(data["beat_at"]),
        silent_s=data["silent_s"],
    )


def impression_of(data: Mapping[str, Any]) -> Impression:
    """What the model sees in a picture, without the vector unless it was asked for."""
    return Impression(
        vector=_vector(data.get("vector_base64")),
        category=data["category"],
        confidence=data["confidence"],
        categories=None
        if data["categories"] is None
        else tuple((one["category"], one["confidence"]) for one in data["categories"]),
        attributes=None if data["attributes"] is None else tuple(data["attributes"]),
        box=None if data["box"] is None else tuple(data["box"]),
    )


def answer_of(data: Mapping[str, Any]) -> Answer:
    """What a search came to. The hits hold what the server says of them."""
    return Answer(
        model=data["model"],
        collection="",
        generation=data["generation"],
        took_ms=data["took_ms"],
        hits=tuple(_hit(hit, catalog=data["catalog"]) for hit in data["hits"]),
        likeness=tuple(hit["likeness"] for hit in data["hits"]),
        no_match_below=data["no_match_below"],
        vector=_NO_VECTOR,
        seen=None if data["query"] is None else impression_of(data["query"]),
        total=data["total"],
        facets={
            field: tuple(FacetCount(value=one["value"], count=one["count"]) for one in counted)
            for field, counted in data["facets"].items()
        },
        next_cursor=data["next_cursor"],
    )


def _hit(hit: Mapping[str, Any], *, catalog: str) -> Scored:
    vector = hit.get("vector_base64")
    return Scored(
        id=point_id(catalog, hit["key"]),
        score=hit["score"],
        payload=Payload.from_json(hit["payload"]),
        vector=None if vector is None else _vector(vector),
    )


def _vector(text: str | None) -> NDArray[np.float32]:
    return _NO_VECTOR if text is None else np.frombuffer(base64.b64decode(text), dtype="<f4").astype(np.float32)


def _moment(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)
