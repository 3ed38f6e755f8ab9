"""The pages: files of this package, read once, nothing from elsewhere.

Everything but the pages themselves lies under an address with a digest of all files in it, so browsers keep it for good
and never mix files of two releases.
"""

from __future__ import annotations

import gzip
import hashlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from fastapi import APIRouter, HTTPException, Request
from starlette.responses import Response

from workers.settings import Settings
from workers.web.dependencies import services_of

FOLDER: Final = Path(__file__).parent / "static"
FOREVER: Final = "public, max-age=31536000, immutable"
_KINDS: Final = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
_PRELOAD: Final = "{preload lib "
_CLOUDS: Final = ("https://*.amazonaws.com", "https://storage.googleapis.com", "https://*.blob.core.windows.net")
"""Where presigned links lead without an endpoint of one's own."""

router = APIRouter(include_in_schema=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class Asset:
    """A file as it is sent."""

    body: bytes
    zipped: bytes
    kind: str
    etag: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Site:
    """All files by their path below the folder, and the digest that stands in their address."""

    version: str
    assets: dict[str, Asset]
    pages: dict[str, Asset]


@cache
def site() -> Site:
    """The files of the package."""
    bodies = {
        path.relative_to(FOLDER).as_posix(): path.read_bytes()
        for path in sorted(FOLDER.rglob("*"))
        if path.suffix in _KINDS
    }
    digest = hashlib.sha256()
    for name, body in bodies.items():
        digest.update(f"{name}\0{len(body)}\0".encode() + body)
    version = digest.hexdigest()[:16]
    html = {
        name: _filled(body.decode(), version, list(bodies)) for name, body in bodies.items() if name.endswith(".html")
    }
    return Site(
        version=version,
        assets={name: _asset(name, body) for name, body in bodies.items() if name not in html},
        pages={name: _asset(name, text.encode()) for name, text in html.items()},
    )


def _filled(page: str, version: str, names: list[str]) -> str:
    """A page with the addresses of its files; the modules it names by folder are asked for before anyone imports them."""
    root = f"static/{version}"
    before, found, rest = page.partition(_PRELOAD)
    if found:
        folder, _, after = rest.partition("}")
        modules = [name for name in names if name.endswith(".js") and name.split("/")[0] in ("lib", folder)]
        links = "\n    ".join(f'<link rel="modulepreload" href="{root}/{name}">' for name in modules)
        page = before + links + after
    return page.replace("{static}", root)


def _asset(name: str, body: bytes) -> Asset:
    return Asset(
        body=body,
        zipped=gzip.compress(body, mtime=0),
        kind=_KINDS[Path(name).suffix],
        etag=f'"{hashlib.sha256(body).hexdigest()[:20]}"',
    )


def content_policy(settings: Settings) -> str:
    """What the pages may load and do: this server's files, and pictures of the store."""
    pictures = " ".join(picture_origins(settings))
    return (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; "
        f"frame-ancestors 'none'; img-src 'self' blob: data: {pictures}"
    ).strip()


def picture_origins(settings: Settings) -> tuple[str, ...]:
    """Origins that presigned links may lead to: the endpoint, also with the bucket as a part of its name, or the clouds."""
    if settings.s3_endpoint_url is None:
        return _CLOUDS
    parts = urlsplit(settings.s3_endpoint_url)
    own = f"{parts.scheme}://{parts.netloc}"
    is_name = not parts.netloc.startswith("[") and any(letter.isalpha() for letter in parts.netloc.partition(":")[0])
    return (own, f"{parts.scheme}://*.{parts.netloc}") if is_name else (own,)


@router.get("/")
async def search_page(request: Request) -> Response:
    """The page to search with."""
    return _page(request, "index.html")


@router.get("/jobs")
async def jobs_page(request: Request) -> Response:
    """The page about jobs."""
    return _page(request, "jobs.html")


@router.get("/favicon.ico")
async def favicon(request: Request) -> Response:
    """The icon, for those who ask where it used to be."""
    return _answer(request, site().assets["favicon.svg"], "public, max-age=86400")


@router.get("/static/{version}/{name:path}")
async def static_file(request: Request, version: str, name: str) -> Response:
    """A file that the pages name. One of another release is not here."""
    asset = site().assets.get(name) if version == site().version else None
    if asset is None:
        raise HTTPException(404, "no such file")
    return _answer(request, asset, FOREVER)


def _page(request: Request, name: str) -> Response:
    response = _answer(request, site().pages[name], "no-cache")
    response.headers["Content-Security-Policy"] = content_policy(services_of(request).process.settings)
    response.headers["Permissions-Policy"] = "geolocation=(), microphone=(), payment=(), usb=()"
    return response


def _answer(request: Request, asset: Asset, cache_control: str) -> Response:
    headers = {"ETag": asset.etag, "Cache-Control": cache_control, "Vary": "Accept-Encoding"}
    if asset.etag in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    if "gzip" in request.headers.get("accept-encoding", ""):
        return Response(asset.zipped, media_type=asset.kind, headers=headers | {"Content-Encoding": "gzip"})
    return Response(asset.body, media_type=asset.kind, headers=headers)
