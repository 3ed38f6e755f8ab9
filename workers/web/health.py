"""Whether the server lives, and whether it can answer."""

from __future__ import annotations

from fastapi import APIRouter

from workers.web.answers import Json
from workers.web.dependencies import Services, ServicesOf

router = APIRouter(tags=["health"])


@router.get("/healthz")
async def healthz() -> Json:
    """Alive: nothing else is asked."""
    return Json({"status": "ok"})


@router.get("/readyz")
async def readyz(services: ServicesOf) -> Json:
    """Able to answer: the ledger, the index and the model of every catalog are at hand."""
    return Json(await services.run(_look, services))


def _look(services: Services) -> dict[str, object]:
    process = services.process
    catalogs = process.ledger.catalogs()
    collections = process.index.collections()
    return {"status": "ok", "catalogs": len(catalogs), "collections": len(collections)}
