"""The routes that ask: search, more like an item, classify."""

from __future__ import annotations

import time
from typing import Annotated, Any, Final

import orjson
from fastapi import APIRouter, Query, Request
from pydantic import ValidationError

from schemas.access import Scope
from schemas.api import (
    MAX_FACETS,
    MAX_LIMIT,
    CatalogName,
    ClassifyAnswer,
    ClassifyRequest,
    FieldName,
    SearchAnswer,
    SearchRequest,
    Share,
)
from schemas.records import Catalog
from workers.errors import ContractError
from workers.query.search import search as find
from workers.web import examples
from workers.web.answers import Json
from workers.web.asking import check_start, query_of
from workers.web.dependencies import Searcher, Services, ServicesOf, require, services_of
from workers.web.documented import problems
from workers.web.looking import look
from workers.web.reading import as_request_error, read_request
from workers.web.telling import answer_json, seen_json

router = APIRouter(tags=["search"])
SEARCH_PATH: Final = "/v1/search"
_searcher: Final = require(Scope.SEARCH)
_PROBLEMS: Final = problems(400, 401, 403, 404, 408, 409, 413, 415, 422, 429, 503)


@router.post(
    SEARCH_PATH,
    response_class=Json,
    responses={200: {"model": SearchAnswer, "description": "A page of hits."}, **_PROBLEMS},
    openapi_extra=examples.body(SearchRequest, part="query", shown=examples.SEARCHES),
)
async def search(request: Request, services: ServicesOf, caller: Searcher) -> Json:
    """Find what looks like a picture, a vector, a product or liked images.

    The body is JSON, or a form with the picture as the file part `image` and the rest as the JSON part `query`.
    """
    asked, picture = await read_request(request, SearchRequest)
    caller.check_catalog(asked.catalog)
    check_start(asked, has_picture=picture is not None)
    return Json(await services.run(_search, services, asked, picture))


async def search_directly(request: Request) -> Json:
    """The same route without FastAPI around it; see `workers.web.direct`."""
    return await search(request, services_of(request), await _searcher(request))


@router.get(
    "/v1/items/{key:path}/similar",
    response_class=Json,
    responses={
        200: {"model": SearchAnswer, "description": "A page of hits."},
        **problems(400, 401, 403, 404, 422, 429, 503),
    },
)
async def similar(
    services: ServicesOf,
    caller: Searcher,
    key: str,
    catalog: Annotated[CatalogName, Query(description="The catalog's name.")] = "default",
    limit: Annotated[int, Query(ge=1, le=MAX_LIMIT, description="Hits of a page.")] = 12,
    cursor: Annotated[str | None, Query(max_length=512, description="`next_cursor` of the page before.")] = None,
    diversity: Annotated[Share, Query(description="0: most alike; towards 1: more different from each other.")] = 0.0,
    group_by: Annotated[
        str, Query(max_length=64, description="At most one hit per value of this field; empty: every image.")
    ] = "product_id",
    exclude_own_product: Annotated[bool, Query(description="Leave out other images of its product.")] = True,
    min_score: Annotated[
        str | None, Query(max_length=32, description="Lowest cosine similarity, or `match`: the model's own level.")
    ] = None,
    facets: Annotated[list[FieldName] | None, Query(max_length=MAX_FACETS, description="Fields to count.")] = None,
    filter_text: Annotated[
        str, Query(alias="filter", max_length=8192, description="Conditions as in `POST /v1/search`, as JSON text.")
    ] = "[]",
    exact: Annotated[bool, Query(description="Compare with every image.")] = False,
    with_vectors: Annotated[bool, Query(description="Answer vectors too.")] = False,
) -> Json:
    """Find what looks like an indexed image."""
    caller.check_catalog(catalog)
    try:
        asked = SearchRequest.model_validate(
            {
                "catalog": catalog,
                "likes": [key],
                "limit": limit,
                "cursor": cursor,
                "diversity": diversity,
                "group_by": group_by or None,
                "exclude_own_product": exclude_own_product,
                "min_score": _score(min_score),
                "facets": facets or [],
                "filter": parsed_filter(filter_text),
                "exact": exact,
                "with_vectors": with_vectors,
            }
        )
    except ValidationError as error:
        raise as_request_error(error) from None
    return Json(await services.run(_search, services, asked, None))


@router.post(
    "/v1/classify",
    response_class=Json,
    responses={200: {"model": ClassifyAnswer, "description": "What the model sees."}, **_PROBLEMS},
    openapi_extra=examples.body(ClassifyRequest, part="query", shown=examples.CLASSIFICATIONS),
)
async def classify(request: Request, services: ServicesOf, caller: Searcher) -> Json:
    """Say what the model sees in a picture: category, attributes, box, and where it looked.

    The body is JSON, or a form with the picture as the file part `image` and the rest as the JSON part `query`.
    """
    asked, picture = await read_request(request, ClassifyRequest)
    if asked.catalog is not None:
        caller.check_catalog(asked.catalog)
    given = [picture is not None, asked.image_url is not None, asked.image_key is not None]
    if sum(given) != 1:
        raise ContractError("give exactly one of an uploaded picture, image_url, image_key")
    if asked.image_key is not None and asked.catalog is None:
        raise ContractError("image_key needs the catalog that it belongs to")
    return Json(await services.run(_classify, services, asked, picture))


def parsed_filter(text: str) -> Any:
    """A filter from a query parameter. ContractError: no JSON."""
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise ContractError(f"filter is no JSON: {error}") from None


def _score(text: str | None) -> float | str | None:
    if text is None or text == "match":
        return text
    try:
        return float(text)
    except ValueError:
        raise ContractError("min_score is a number from -1 to 1, or match") from None


def _search(services: Services, asked: SearchRequest, picture: bytes | None) -> dict[str, Any]:
    process = services.process
    row = services.rows.get(asked.catalog)
    picture = _picture(services, asked.image_url, asked.image_key, row, picture)
    answer = find(
        asked.catalog,
        query_of(asked, picture),
        ledger=process.ledger,
        index=process.index,
        embedder_for=process.serving_embedder,
        limits=services.limits,
        resolver=process.resolver,
    )
    return answer_json(row, answer, services.links, with_vectors=asked.with_vectors, with_payloads=asked.with_payloads)


def _classify(services: Services, asked: ClassifyRequest, picture: bytes | None) -> dict[str, Any]:
    started = time.perf_counter()
    process = services.process
    row = services.rows.get(asked.catalog) if asked.catalog is not None else None
    found = _picture(services, asked.image_url, asked.image_key, row, picture)
    if asked.catalog is not None:
        digest = process.resolver.resolve(asked.catalog).generation.model_digest
    else:
        digest = services.default_model
    seen, heat = look(process, digest, found or b"", crop=asked.crop, heat_map=asked.heat_map, limits=services.limits)
    return {
        **seen_json(seen, with_vectors=asked.with_vectors),
        "heat_map": heat,
        "model": digest,
        "took_ms": round((time.perf_counter() - started) * 1000, 3),
    }


def _picture(
    services: Services, url: str | None, key: str | None, row: Catalog | None, uploaded: bytes | None
) -> bytes | None:
    if url is not None:
        return services.fetcher.fetch(url)
    if key is not None and row is not None:
        store = services.process.store(row.source_url)
        return store.get(key, max_bytes=services.limits.max_bytes).data
    return uploaded
