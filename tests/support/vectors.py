"""Points, vectors and collections for tests of the vector index."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from uuid import NAMESPACE_URL, uuid5

import numpy as np
from numpy.typing import NDArray

from schemas.collection import CollectionSpec, PayloadIndex
from schemas.payload import Payload, Point

DIMENSION = 16
MODEL = "a" * 64


def spec(name: str = "shop--1", *, dimension: int = DIMENSION, model: str = MODEL) -> CollectionSpec:
    """A collection with one declared field of each kind beyond the standard ones."""
    return CollectionSpec(
        name=name,
        catalog="shop",
        dimension=dimension,
        model_digest=model,
        extra_indexes=(
            PayloadIndex(field="season", kind="keyword"),
            PayloadIndex(field="stock", kind="integer"),
            PayloadIndex(field="größe", kind="keyword"),
        ),
    )


def point_id(number: int) -> str:
    """A stable id."""
    return str(uuid5(NAMESPACE_URL, f"test/{number}"))


def vectors(count: int, dimension: int = DIMENSION, *, seed: int = 0, clusters: int = 0) -> NDArray[np.float32]:
    """(count, dimension) unit vectors, around `clusters` centres if any."""
    rng = np.random.default_rng(seed)
    drawn = rng.standard_normal((count, dimension))
    if clusters:
        drawn = rng.standard_normal((clusters, dimension))[rng.integers(0, clusters, count)] + 0.7 * drawn
    unit: NDArray[np.float32] = (drawn / np.linalg.norm(drawn, axis=1, keepdims=True)).astype(np.float32)
    return unit


def point(number: int, vector: NDArray[np.float32], *, version: int = 1, **fields: Any) -> Point:
    """A point with the required payload and the given fields."""
    known = {name: fields.pop(name) for name in list(fields) if name in Payload.__dataclass_fields__}
    payload = Payload(
        **{
            "catalog": "shop",
            "key": f"{number:06}.jpg",
            "etag": f"etag-{number}",
            "content_digest": f"digest-{number}",
            "model_digest": MODEL,
            "version": version,
            "job": "job",
            "indexed_at": "2026-01-01T00:00:00Z",
            "category": None,
            **known,
        },
        extra=fields or None,
    )
    return Point(id=point_id(number), version=version, vector=vector, payload=payload)


def points(numbers: Iterable[int], dimension: int = DIMENSION, *, version: int = 1, seed: int = 0) -> list[Point]:
    """Points with random vectors and nothing but the required payload."""
    chosen = list(numbers)
    drawn = vectors(max(chosen, default=0) + 1, dimension, seed=seed)
    return [point(number, drawn[number], version=version) for number in chosen]


def assortment(count: int = 120, *, seed: int = 3) -> list[Point]:
    """Garments with every kind of payload field, each of them missing somewhere."""
    rng = np.random.default_rng(seed)
    drawn = vectors(count, seed=seed, clusters=12)
    made = []
    for number in range(count):
        fields: dict[str, Any] = {
            "category": ["dress", "hat", "shoes", None][number % 4],
            "attributes": (("striped", "cotton"), ("cotton",), (), None)[number % 4],
            "price": float(rng.integers(1, 40)) * 2.5 if number % 5 else None,
            "in_stock": [True, False, None][number % 3],
            "brand": ["Ærlig", "東京", "plain"][number % 3] if number % 7 else None,
            "product_id": f"p{number // 3}" if number % 10 else None,
            "box": (0.1, 0.2, 0.8, 0.9) if number % 2 else None,
            "season": ["summer", "winter"][number % 2],
            "größe": ["M", "L"][number % 2],
        }
        if number % 6:
            fields["stock"] = number % 4
        made.append(point(number, drawn[number], **fields))
    return made
