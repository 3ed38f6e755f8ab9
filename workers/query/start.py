"""Where a query looks: its picture, vector, product or examples as one direction, and what is left out of the answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from schemas.ids import point_id
from schemas.payload import PointRecord
from schemas.query import AnyOf, Condition, Filter, NoneOf
from workers.errors import ContractError, ModelConflictError, NotFoundError
from workers.imaging.decode import DecodeLimits
from workers.imaging.preprocess import prepare
from workers.impressions import Impression, impression_of
from workers.ports import Embedder, VectorIndex
from workers.query.question import Query
from workers.query.resolver import Resolved

PRODUCT_IMAGES: Final = 256
"""Images of one product that make up its direction; more of them would hardly turn it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Start:
    """Where to look."""

    vector: NDArray[np.float32]
    """(D,)"""
    seen: Impression | None = None
    left_out: tuple[Condition, ...] = ()
    """The query's own products."""
    left_out_ids: tuple[str, ...] = ()
    """The examples themselves."""


def picture_start(query: Query, embedder: Embedder, limits: DecodeLimits) -> Start:
    """The direction of the query's picture, or of the part that its crop names.

    Raises:
        ItemError: the picture cannot be used; the reason says why.
        ContractError: the crop holds too few of its pixels.
    """
    if query.image is None:
        raise TypeError("the query has no picture")
    pixels = prepare(query.image, embedder.card.preprocessing, limits, crop=query.crop)
    seen = impression_of(embedder.embed(pixels[np.newaxis]), 0, embedder.card)
    return Start(vector=seen.vector, seen=seen)


def stored_start(query: Query, resolved: Resolved, index: VectorIndex) -> Start:
    """The direction of the query's vector, product or examples.

    Raises:
        ModelConflictError: the vector was made by another model.
        NotFoundError: a key or product that the index does not hold.
        ContractError: likes and dislikes cancel each other out.
    """
    if query.vector is not None:
        _check_model(query.model, resolved)
        return Start(vector=query.vector)
    own: tuple[str, ...] = ()
    if query.product is not None:
        likes, own = _product(index, resolved, query.product), (query.product,)
        named: list[PointRecord] = []  # the whole product is left out by a condition
    else:
        likes = named = _points(index, resolved, query.likes)
        if query.exclude_own_product:
            own = tuple(sorted({p.payload.product_id for p in likes if p.payload.product_id is not None}))
    dislikes = _points(index, resolved, query.dislikes)
    return Start(
        vector=direction(_vectors(likes), _vectors(dislikes)),
        left_out=(NoneOf(field="product_id", values=own),) if own else (),
        left_out_ids=tuple(point.id for point in (*named, *dislikes)),
    )


def direction(likes: NDArray[np.float32], dislikes: NDArray[np.float32]) -> NDArray[np.float32]:
    """Where to look, from (P, D) liked and (Q, D) disliked vectors: mean(likes) + (mean(likes) - mean(dislikes)).

    Qdrant's "average vector" strategy of recommendation; without dislikes, the mean. The result has length 1.

    Raises:
        ContractError: likes and dislikes cancel each other out.
    """
    target = likes.mean(axis=0)
    if len(dislikes):
        target = 2.0 * target - dislikes.mean(axis=0)
    norm = float(np.linalg.norm(target))
    if norm < np.finfo(np.float32).eps:
        raise ContractError("the liked and disliked images cancel each other out; leave one of them away")
    return np.asarray(target / norm, dtype=np.float32)


def _check_model(digest: str | None, resolved: Resolved) -> None:
    own = resolved.generation.model_digest
    if digest is not None and digest != own:
        raise ModelConflictError(
            f"the vector was made by the model {digest[:12]}, the catalog {resolved.generation.catalog!r} answers with "
            f"{own[:12]} ({resolved.card.name}); embed the picture again with that one"
        )


def _product(index: VectorIndex, resolved: Resolved, product: str) -> list[PointRecord]:
    where = Filter(conditions=(AnyOf(field="product_id", values=(product,)),))
    collection = resolved.generation.collection
    ids = [point.id for point in index.scroll(collection, where=where, limit=PRODUCT_IMAGES)]
    found = list(index.retrieve(collection, ids, with_vectors=True)) if ids else []
    if not found:
        raise NotFoundError(
            f"the catalog {resolved.generation.catalog!r} has no searchable image of product {product!r}"
        )
    return sorted(found, key=lambda point: point.id)


def _points(index: VectorIndex, resolved: Resolved, keys: Sequence[str]) -> list[PointRecord]:
    catalog = resolved.generation.catalog
    ids = {point_id(catalog, key): key for key in keys}
    if not ids:
        return []
    found = {p.id: p for p in index.retrieve(resolved.generation.collection, list(ids), with_vectors=True)}
    for identity, key in ids.items():
        if identity not in found:
            raise NotFoundError(
                f"the catalog {catalog!r} has no searchable image {key!r}; "
                "it may be in quarantine (catalog quarantine) or spelled otherwise"
            )
    return [found[identity] for identity in ids]


def _vectors(points: Sequence[PointRecord]) -> NDArray[np.float32]:
    return np.array([point.vector for point in points], dtype=np.float32)
