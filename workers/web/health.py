"""Whether the server lives, and whether it can answer."""

from __future__ import annotations

from typing import Literal

from fastapi import APIRouter

from schemas.api import Model
from workers.errors import CatalogError
from workers.telemetry import log
from workers.web.answers import Json
from workers.web.dependencies import Services, ServicesOf
from workers.web.documented import problems
from workers.web.problem import HttpError

router = APIRouter(tags=["health"])


class Health(Model):
    """All is well: anything else is a problem."""

    status: Literal["ok"]


@router.get("/healthz", response_class=Json, responses={200: {"model": Health, "description": "It lives."}})
async def healthz() -> Json:
    """Alive: nothing else is asked."""
    return Json({"status": "ok"})


@router.get(
    "/readyz", response_class=Json, responses={200: {"model": Health, "description": "It answers."}, **problems(503)}
)
async def readyz(services: ServicesOf) -> Json:
    """Able to answer: the ledger, the index and a model are at hand."""
    await services.run(_look, services)
    return Json({"status": "ok"})


def _look(services: Services) -> None:
    """Strangers are told that something is missing, the log what it is."""
    part = "ledger"
    try:
        _ = services.process.ledger.catalogs()
        part = "index"
        _ = services.process.index.collections()
        part = "model"
        _ = services.default_model
    except CatalogError as error:
        log.warning("not ready", part=part, error=str(error))
        raise HttpError(503, f"the {part} is not at hand; the log says more", headers={"Retry-After": "5"}) from error
