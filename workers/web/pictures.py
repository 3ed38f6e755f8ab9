"""Pictures through this server: originals as they are, and small JPEGs of them."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from schemas.access import Scope
from schemas.api import CatalogName
from workers.errors import ItemError
from workers.imaging.formats import Format, sniff
from workers.imaging.thumbnail import thumbnail as make_thumbnail
from workers.web.dependencies import Services, ServicesOf, client_of, require
from workers.web.documented import problems
from workers.web.problem import HttpError

SIDE_PX: Final = 480
_TYPES: Final = {
    Format.JPEG: "image/jpeg",
    Format.PNG: "image/png",
    Format.GIF: "image/gif",
    Format.WEBP: "image/webp",
    Format.AVIF: "image/avif",
}
_KEEP: Final = "private, max-age=600"
_SANDBOX: Final = "default-src 'none'; sandbox"
Kind = Literal["image", "thumbnail"]

router = APIRouter(tags=["items"])
_search = require(Scope.SEARCH)
CatalogOf = Annotated[CatalogName, Query(description="The catalog's name.")]
Expires = Annotated[int | None, Query(ge=0, le=2**53, description="Of a link: seconds since 1970.")]
Signature = Annotated[str | None, Query(max_length=64, description="Of a link.")]
_IMAGES: Final = {kind: {"schema": {"type": "string", "format": "binary"}} for kind in _TYPES.values()}


@router.get(
    "/v1/items/{key:path}/image",
    response_class=Response,
    responses={
        200: {
            "description": "The original.",
            "content": {**_IMAGES, "application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
        },
        304: {"description": "It is as the caller has it."},
        **problems(401, 403, 404, 422, 429, 503),
    },
)
async def image(
    request: Request,
    services: ServicesOf,
    key: str,
    catalog: CatalogOf = "default",
    expires: Expires = None,
    signature: Signature = None,
) -> Response:
    """The original picture: with a link's signature, or an API key."""
    await _admit(request, services, "image", catalog, key, expires, signature)
    known = request.headers.get("if-none-match", "")
    return await services.run(_original, services, catalog, key, known)


@router.get(
    "/v1/items/{key:path}/thumbnail",
    response_class=Response,
    responses={
        200: {
            "description": f"A JPEG of at most {SIDE_PX} pixels a side.",
            "content": {"image/jpeg": {"schema": {"type": "string", "format": "binary"}}},
        },
        304: {"description": "It is as the caller has it."},
        **problems(401, 403, 404, 422, 429, 503),
    },
)
async def thumbnail(
    request: Request,
    services: ServicesOf,
    key: str,
    catalog: CatalogOf = "default",
    expires: Expires = None,
    signature: Signature = None,
) -> Response:
    """A small JPEG of the picture: with a link's signature, or an API key."""
    await _admit(request, services, "thumbnail", catalog, key, expires, signature)
    known = request.headers.get("if-none-match", "")
    return await services.run(_small, services, catalog, key, known)


async def _admit(
    request: Request, services: Services, kind: Kind, catalog: str, key: str, expires: int | None, signature: str | None
) -> None:
    """Let the bearer of a good link in, else a caller who may search the catalog."""
    if expires is not None and signature is not None:
        services.count(f"from {client_of(request)}")
        if not services.links.is_good(kind, catalog, key, expires, signature):
            raise HttpError(403, "the link has ended, or is not one of this server; ask for the picture again")
        return
    caller = await _search(request)
    caller.check_catalog(catalog)


def _original(services: Services, catalog: str, key: str, known: str) -> Response:
    store = services.process.store(services.process.ledger.catalog(catalog).source_url)
    if known and _is_known(known, etag := _etag(store.stat(key).etag, "o")):
        return Response(status_code=304, headers={"ETag": etag, "Cache-Control": _KEEP})
    found = store.get(key, max_bytes=services.process.limits.max_bytes)
    headers = {
        "ETag": _etag(found.etag, "o"),
        "Cache-Control": _KEEP,
        "Content-Security-Policy": _SANDBOX,
        "Content-Disposition": "inline",
    }
    try:
        kind = _TYPES[sniff(found.data)]
    except ItemError:  # nothing that a browser is to interpret
        kind, headers["Content-Disposition"] = "application/octet-stream", "attachment"
    return Response(found.data, media_type=kind, headers=headers)


def _small(services: Services, catalog: str, key: str, known: str) -> Response:
    store = services.process.store(services.process.ledger.catalog(catalog).source_url)
    if known and _is_known(known, etag := _etag(store.stat(key).etag, "t")):
        return Response(status_code=304, headers={"ETag": etag, "Cache-Control": _KEEP})
    found = store.get(key, max_bytes=services.process.limits.max_bytes)
    jpeg = make_thumbnail(found.data, side_px=SIDE_PX, limits=services.process.limits)
    headers = {"ETag": _etag(found.etag, "t"), "Cache-Control": _KEEP, "Content-Security-Policy": _SANDBOX}
    return Response(jpeg, media_type="image/jpeg", headers=headers)


def _etag(etag: str, kind: str) -> str:
    plain = "".join(c for c in etag if (c.isascii() and c.isalnum()) or c in "-._")
    return f'"{kind}-{plain}"'


def _is_known(header: str, etag: str) -> bool:
    return any(one.strip().removeprefix("W/") == etag for one in header.split(","))
