"""Pictures for a result board: the query's and the hits' own, read from the catalog's source."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from schemas.ids import point_id
from schemas.payload import Payload
from schemas.query import AnyOf, Filter, Scored
from workers.board import Board, Row, Tile
from workers.bootstrap import Process
from workers.errors import ItemError, TransientError
from workers.imaging.decode import decode
from workers.imaging.preprocess import cut_out
from workers.ports import ObjectStore
from workers.query.evaluate import Judged
from workers.query.labelled import Labelled
from workers.query.search import Answer, Query

TILE_PX = 320
"""Smallest side a picture is decoded to: a tile is drawn smaller than that."""
WORST_HITS = 6
"""Of each of the worst queries: one line."""


def answer_board(process: Process, name: str, query: Query, answer: Answer) -> Board:
    """The query at the left, its neighbours at its right; hits of the query's own product are marked."""
    store = process.store(process.ledger.catalog(name).source_url)
    liked = _liked(process, answer.collection, name, query)
    asked = (
        _picture_tile(process, query, query.image, answer)
        if query.image is not None
        else _key_tile(process, store, liked)
    )
    own = {payload.product_id for payload in liked if payload.product_id is not None}
    hits = tuple(
        _hit_tile(
            process,
            store,
            hit,
            same_product=hit.payload.product_id is not None and hit.payload.product_id in own,
        )
        for hit in answer.hits
    )
    subheading = f"{len(hits)} nearest of {process.index.count(answer.collection):,} images · model {answer.model[:12]}"
    return Board(heading=f"Catalog {name}", subheading=subheading, rows=(Row(query=asked, hits=hits),))


def worst_board(process: Process, name: str, worst: Sequence[Judged]) -> Board:
    """Labelled images at the left, what the catalog answered at their right; images of their own product are marked."""
    store = process.store(process.ledger.catalog(name).source_url)
    rows = []
    for judged in worst:
        asked = Tile(
            image=_labelled_picture(process, store, judged.image),
            title=judged.image.name,
            category=judged.image.category,
            confidence=None,
            score=None,
            same_product=False,
            lines=(f"{judged.precision:.0%} of its hits are of its category",),
        )
        product = judged.image.product_id
        hits = [
            _hit_tile(process, store, hit, same_product=product is not None and hit.payload.product_id == product)
            for hit in judged.hits[:WORST_HITS]
        ]
        rows.append(Row(query=asked, hits=tuple(hits)))
    return Board(
        heading=f"Catalog {name}",
        subheading="queries with the fewest hits of their own category, the worst first",
        rows=tuple(rows),
    )


def _labelled_picture(process: Process, store: ObjectStore, image: Labelled) -> NDArray[np.uint8] | None:
    if image.path is None:
        return _picture(process, store, image.name)
    try:
        return decode(process.read_picture(image.path), min_side_px=TILE_PX, limits=process.limits).pixels
    except ItemError:
        return None


def _hit_tile(process: Process, store: ObjectStore, hit: Scored, *, same_product: bool) -> Tile:
    return Tile(
        image=_picture(process, store, hit.payload.key),
        title=hit.payload.key,
        category=hit.payload.category_predicted,
        confidence=hit.payload.category_confidence,
        score=hit.score,
        same_product=same_product,
        lines=_lines(hit.payload),
        box=hit.payload.box,
    )


def _picture_tile(process: Process, query: Query, image: bytes, answer: Answer) -> Tile:
    seen, crop = answer.seen, query.crop
    side = TILE_PX if crop is None else math.ceil(TILE_PX / min(crop[2] - crop[0], crop[3] - crop[1]))
    picture = decode(image, min_side_px=side, limits=process.limits)
    return Tile(
        image=(picture if crop is None else cut_out(picture, crop, process.limits)).pixels,
        title="query",
        category=seen.category if seen is not None else None,
        confidence=seen.confidence if seen is not None else None,
        score=None,
        same_product=False,
        box=seen.box if seen is not None else None,
    )


def _key_tile(process: Process, store: ObjectStore, liked: Sequence[Payload]) -> Tile:
    first = liked[0]
    more = (f"and {len(liked) - 1} more",) if len(liked) > 1 else ()
    return Tile(
        image=_picture(process, store, first.key),
        title=first.key,
        category=first.category_predicted,
        confidence=first.category_confidence,
        score=None,
        same_product=False,
        lines=(*_lines(first), *more),
        box=first.box,
    )


def _liked(process: Process, collection: str, name: str, query: Query) -> list[Payload]:
    """Payloads of the liked images in the order they were named, or of the product asked for."""
    if query.product is not None:
        of_product = Filter(conditions=(AnyOf(field="product_id", values=(query.product,)),))
        return [point.payload for point in process.index.scroll(collection, where=of_product, limit=100)]
    ids = [point_id(name, key) for key in query.likes]
    found = {point.id: point.payload for point in process.index.retrieve(collection, ids)}
    return [found[identity] for identity in ids if identity in found]


def _picture(process: Process, store: ObjectStore, key: str) -> NDArray[np.uint8] | None:
    try:
        fetched = store.get(key, max_bytes=process.limits.max_bytes)
        return decode(fetched.data, min_side_px=TILE_PX, limits=process.limits).pixels
    except (ItemError, TransientError):
        return None


def _lines(payload: Payload) -> tuple[str, ...]:
    price = f"{payload.price:,.2f} {payload.currency or ''}".strip() if payload.price is not None else None
    return tuple(text for text in (payload.brand, price) if text)
