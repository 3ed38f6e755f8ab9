"""What the library answers, as the HTTP contract (`schemas.api`) spells it: plain objects, written as JSON at once."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np
from numpy.typing import NDArray

from schemas.payload import Payload, PointRecord
from schemas.query import Scored
from schemas.records import Catalog
from workers.impressions import Impression
from workers.query.question import Answer
from workers.web.links import Links


def answer_json(
    row: Catalog, answer: Answer, links: Links, *, with_vectors: bool, with_payloads: bool = False
) -> dict[str, Any]:
    """As `schemas.api.SearchAnswer`."""
    hits = [
        _hit(row, hit, likeness, answer.no_match_below, links, with_vectors=with_vectors)
        | ({"payload": hit.payload.to_json()} if with_payloads else {})
        for hit, likeness in zip(answer.hits, answer.likeness, strict=True)
    ]
    facets = {
        field: [{"value": one.value, "count": one.count} for one in counts] for field, counts in answer.facets.items()
    }
    return {
        "catalog": row.name,
        "model": answer.model,
        "generation": answer.generation,
        "took_ms": round(answer.took_ms, 3),
        "total": answer.total,
        "no_match_below": answer.no_match_below,
        "query": seen_json(answer.seen, with_vectors=with_vectors) if answer.seen is not None else None,
        "hits": hits,
        "facets": facets,
        "next_cursor": answer.next_cursor,
    }


def _hit(
    row: Catalog, hit: Scored, likeness: float | None, level: float | None, links: Links, *, with_vectors: bool
) -> dict[str, Any]:
    p = hit.payload
    return {
        "key": p.key,
        "product_id": p.product_id,
        "score": hit.score,
        "likeness": likeness,
        "is_match": hit.score >= level if level is not None else None,
        "category": p.category,
        "category_declared": p.category_declared,
        "category_predicted": p.category_predicted,
        "category_confidence": p.category_confidence,
        "attributes": p.attributes,
        "box": p.box,
        "brand": p.brand,
        "price": p.price,
        "currency": p.currency,
        "colour": p.colour,
        "in_stock": p.in_stock,
        "title": p.title,
        "url": p.url,
        "extra": p.extra or {},
        "image": links.image(row.name, row.source_url, p.key),
        "thumbnail": links.thumbnail(row.name, p.key),
        "vector_base64": encoded(hit.vector) if with_vectors and hit.vector is not None else None,
    }


def seen_json(seen: Impression, *, with_vectors: bool) -> dict[str, Any]:
    """As `schemas.api.Seen`."""
    categories = seen.categories
    return {
        "category": seen.category,
        "confidence": seen.confidence,
        "categories": [{"category": c, "confidence": share} for c, share in categories] if categories else None,
        "attributes": seen.attributes,
        "box": seen.box,
        "vector_base64": encoded(seen.vector) if with_vectors else None,
        "heat_map": None,
    }


def item_json(row: Catalog, point: PointRecord, links: Links) -> dict[str, Any]:
    """As `schemas.api.Item`."""
    p: Payload = point.payload
    return {
        "key": p.key,
        "product_id": p.product_id,
        "category": p.category,
        "payload": p.to_json(),
        "image": links.image(row.name, row.source_url, p.key),
        "thumbnail": links.thumbnail(row.name, p.key),
    }


def encoded(vector: NDArray[np.float32]) -> str:
    """Little-endian float32 in base64."""
    return base64.b64encode(np.ascontiguousarray(vector, dtype="<f4").tobytes()).decode("ascii")
