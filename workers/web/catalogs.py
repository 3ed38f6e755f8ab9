"""The routes that look: catalogs, what is in one, one image of it."""

from __future__ import annotations

import uuid
from typing import Annotated, Any, Final

from fastapi import APIRouter, Path, Query
from pydantic import TypeAdapter, ValidationError

from schemas.api import MAX_CONDITIONS, MAX_LIMIT, CatalogInfo, CatalogList, CatalogName, ConditionIn, Item, ItemPage
from schemas.ids import point_id
from schemas.outcomes import OutcomeKind
from schemas.query import Filter
from schemas.records import Catalog
from workers.errors import ConfigurationError, ContractError, NotFoundError
from workers.query.conditions import check_conditions
from workers.telemetry import masked
from workers.web.answers import Json
from workers.web.asking import conditions_of
from workers.web.dependencies import Searcher, Services, ServicesOf
from workers.web.documented import problems
from workers.web.reading import as_request_error
from workers.web.searching import parsed_filter
from workers.web.telling import item_json

INTERNAL: Final = frozenset({"version", "content_digest"})
"""Payload indexes that the indexer needs for itself."""
_CONDITIONS: Final = TypeAdapter(list[ConditionIn])
_LEFT: Final = (OutcomeKind.QUARANTINED.value, OutcomeKind.FAILED.value)

router = APIRouter(tags=["catalogs"])
Name = Annotated[CatalogName, Path(description="The catalog's name.")]


@router.get(
    "/v1/catalogs",
    response_class=Json,
    responses={200: {"model": CatalogList, "description": "By name."}, **problems(401, 403, 429, 503)},
)
async def catalogs(services: ServicesOf, caller: Searcher) -> Json:
    """The catalogs that the caller may use."""

    def listed() -> dict[str, Any]:
        rows = [row for row in services.process.ledger.catalogs() if caller.may_use(row.name)]
        return {"catalogs": [_info(services, row) for row in rows]}

    return Json(await services.run(listed))


@router.get(
    "/v1/catalogs/{name}",
    response_class=Json,
    responses={200: {"model": CatalogInfo, "description": "The catalog."}, **problems(401, 403, 404, 422, 429, 503)},
)
async def catalog(services: ServicesOf, caller: Searcher, name: Name) -> Json:
    """One catalog, what answers for it, and what it can be filtered by."""
    caller.check_catalog(name)
    return Json(await services.run(lambda: _info(services, services.process.ledger.catalog(name))))


@router.get(
    "/v1/catalogs/{name}/items",
    response_class=Json,
    responses={
        200: {"model": ItemPage, "description": "Images in the index's own order."},
        **problems(400, 401, 403, 404, 422, 429, 503),
    },
)
async def items(
    services: ServicesOf,
    caller: Searcher,
    name: Name,
    filter_text: Annotated[
        str, Query(alias="filter", max_length=8192, description="Conditions as in `POST /v1/search`, as JSON text.")
    ] = "[]",
    limit: Annotated[int, Query(ge=1, le=MAX_LIMIT, description="Images of a page.")] = 24,
    cursor: Annotated[str | None, Query(max_length=64, description="`next_cursor` of the page before.")] = None,
) -> Json:
    """Browse a catalog, page by page."""
    caller.check_catalog(name)
    return Json(await services.run(_browse, services, name, filter_text, limit, cursor))


@router.get(
    "/v1/items/{key:path}",
    tags=["items"],
    response_class=Json,
    responses={200: {"model": Item, "description": "The image."}, **problems(401, 403, 404, 422, 429, 503)},
)
async def item(
    services: ServicesOf,
    caller: Searcher,
    key: str,
    catalog: Annotated[CatalogName, Query(description="The catalog's name.")] = "default",
) -> Json:
    """One indexed image."""
    caller.check_catalog(catalog)
    return Json(await services.run(_item, services, catalog, key))


def _browse(services: Services, name: str, text: str, limit: int, cursor: str | None) -> dict[str, Any]:
    row = services.process.ledger.catalog(name)
    resolved = services.process.resolver.resolve(name)
    conditions = tuple(conditions_of(_filter(text)))
    check_conditions(conditions, resolved.spec)
    index, where = services.process.index, Filter(conditions=conditions) if conditions else None
    page = index.scroll(
        resolved.generation.collection,
        where=where,
        after=_place(cursor),
        limit=limit,
    )
    return {
        "items": [item_json(row, point, services.links) for point in page],
        "total": index.count(resolved.generation.collection, where),
        "next_cursor": page[-1].id if len(page) == limit else None,
    }


def _item(services: Services, catalog: str, key: str) -> dict[str, Any]:
    row = services.process.ledger.catalog(catalog)
    resolved = services.process.resolver.resolve(catalog)
    found = services.process.index.retrieve(resolved.generation.collection, [point_id(catalog, key)])
    if not found:
        raise NotFoundError(
            f"the catalog {catalog!r} has no searchable image {key!r}; it may be in quarantine or spelled otherwise"
        )
    return item_json(row, found[0], services.links)


def _filter(text: str) -> list[ConditionIn]:
    parsed = parsed_filter(text)
    if isinstance(parsed, list) and len(parsed) > MAX_CONDITIONS:
        raise ContractError(f"a filter has at most {MAX_CONDITIONS} conditions")
    try:
        return _CONDITIONS.validate_python(parsed)
    except ValidationError as error:
        raise as_request_error(error) from None


def _place(cursor: str | None) -> str | None:
    if cursor is None:
        return None
    try:
        return str(uuid.UUID(cursor))
    except ValueError:
        raise ContractError("the cursor is none; take `next_cursor` of the page before") from None


def _info(services: Services, row: Catalog) -> dict[str, Any]:
    """As `schemas.api.CatalogInfo`."""
    process = services.process
    about: dict[str, Any] = {
        "name": row.name,
        "source": masked(row.source_url),
        "created_at": row.created_at,
        "images": None,
        "generation": None,
        "model": None,
        "model_name": None,
        "dimension": None,
        "no_match_below": None,
        "fields": [],
        "quarantined": 0,
    }
    if row.active_generation is None:
        return about
    generation = process.ledger.generation(row.name, row.active_generation)
    info = process.index.info(generation.collection)
    counts = process.ledger.outcome_counts(row.name, generation.number)
    about |= {
        "images": info.points,
        "generation": generation.number,
        "model": generation.model_digest,
        "dimension": info.spec.dimension,
        "fields": [{"field": one.field, "kind": one.kind} for one in info.spec.indexes if one.field not in INTERNAL],
        "quarantined": sum(counts.get(kind, 0) for kind in _LEFT),
    }
    try:
        card = process.card(generation.model_digest)
    except ConfigurationError:  # the bundle is not here: the rest is told all the same
        return about
    return about | {"model_name": card.name, "no_match_below": card.no_match_below}
