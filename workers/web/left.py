"""Images that are not searchable, over HTTP: of a catalog, and of one job."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query, Request
from starlette.responses import Response, StreamingResponse

from schemas.api import LeftPage
from schemas.outcomes import Reason
from schemas.records import QuarantineRow
from workers.failures_csv import csv_pages
from workers.job_json import left_json
from workers.web.answers import Json
from workers.web.dependencies import Ingester, ServicesOf
from workers.web.jobs import found_job
from workers.web.links import Links

MAX_LEFT: Final = 1000
Cursor = Annotated[str | None, Query(min_length=1, max_length=1024)]
Limit = Annotated[int, Query(ge=1, le=MAX_LEFT)]

router = APIRouter(prefix="/v1", tags=["quarantine"])


def page_json(rows: Sequence[QuarantineRow], limit: int, *, catalog: str, links: Links) -> dict[str, Any]:
    """A page of them; the key of its last one leads to the next."""
    items = [left_json(row) | {"thumbnail": links.thumbnail(catalog, row.key)} for row in rows]
    return {"items": items, "next_cursor": rows[-1].key if len(rows) == limit else None}


@router.get("/quarantine", response_model=LeftPage)
async def quarantine(
    services: ServicesOf,
    caller: Ingester,
    catalog: Annotated[str, Query(min_length=1, max_length=48)] = "default",
    reason: Reason | None = None,
    cursor: Cursor = None,
    limit: Limit = 100,
) -> Response:
    """Quarantined and failed images of a catalog as it stands, by key, each with what to do about it."""
    caller.check_catalog(catalog)

    def look() -> Sequence[QuarantineRow]:
        ledger = services.process.ledger
        ledger.catalog(catalog)
        wanted = None if reason is None else reason.value
        return ledger.quarantine(catalog, after=cursor, limit=limit, reason=wanted)

    return Json(page_json(await services.run(look), limit, catalog=catalog, links=services.links))


@router.get(
    "/jobs/{job_id}/failures",
    response_model=LeftPage,
    responses={200: {"content": {"text/csv": {"schema": {"type": "string"}}}}},
)
async def failures(
    job_id: str, request: Request, services: ServicesOf, caller: Ingester, cursor: Cursor = None, limit: Limit = 100
) -> Response:
    """What a job left out, by key, as it was then. With `Accept: text/csv` all of it, as a file for a spreadsheet."""
    ledger = services.process.ledger
    job = await services.run(found_job, services.process, caller, job_id)
    if request.headers.get("accept", "").split(";")[0].strip() == "text/csv":
        # Starlette takes a plain iterator on a thread of its own, page by page: nothing grows with the job.
        return StreamingResponse(
            (text for _, text in csv_pages(ledger, job.id)),
            media_type="text/csv; charset=utf-8",
            headers={"Content-Disposition": f'attachment; filename="failures-{job.id[:8]}.csv"'},
        )
    rows = await services.run(lambda: ledger.failures(job.id, after=cursor, limit=limit))
    return Json(page_json(rows, limit, catalog=job.catalog, links=services.links))
