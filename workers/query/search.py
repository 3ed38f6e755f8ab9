"""Asking a catalog: a picture, a key or examples in, the nearest products out.

The generation is resolved once: the query is encoded by the model that this generation is bound to, and searches this
very collection, whatever is switched meanwhile.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from schemas.ids import point_id
from schemas.payload import PointRecord
from schemas.query import Condition, Filter, NoneOf, Scored, Search
from schemas.records import Generation
from workers.errors import ContractError, NotFoundError
from workers.imaging.decode import DecodeLimits
from workers.imaging.preprocess import prepare
from workers.ports import Embedder, Ledger, VectorIndex


@dataclass(frozen=True, kw_only=True, slots=True)
class Query:
    """What somebody wants to see. Exactly one of `image`, `vector` and `likes` says where to look."""

    image: bytes | None = None
    """An encoded picture."""
    vector: NDArray[np.float32] | None = None
    likes: tuple[str, ...] = ()
    """Keys of the catalog to look for more of."""
    dislikes: tuple[str, ...] = ()
    """Keys to steer away from."""
    conditions: tuple[Condition, ...] = ()
    limit: int = 10
    offset: int = 0
    diversity: float = 0.0
    group_by: str | None = None
    score_threshold: float | None = None
    exclude_own_product: bool = False
    """Leave out every image of the liked products, not only the liked images themselves."""
    exact: bool = False
    with_vectors: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """The nearest images, and what answered."""

    model: str
    """Digest of the generation's model."""
    collection: str
    took_ms: float
    """From the query in hand to the hits, starting of processes excluded."""
    hits: tuple[Scored, ...]


def search(
    catalog: str,
    query: Query,
    *,
    ledger: Ledger,
    index: VectorIndex,
    embedder_for: Callable[[str], Embedder],
    limits: DecodeLimits,
) -> Answer:
    """The images nearest to the query in the catalog's active generation.

    Raises:
        ContractError: the query is not one (no or several starting points, a bad bound).
        NotFoundError: no such catalog, nothing indexed yet, or a key the index does not hold.
        ItemError: the picture cannot be used; the reason says why.
    """
    _check(query)
    generation = active_generation(catalog, ledger)
    try:
        return _ask(generation, query, index=index, embedder_for=embedder_for, limits=limits)
    except NotFoundError:
        current = active_generation(catalog, ledger)
        if current == generation:
            raise
        # A reindex switched while we were on the way: the collection we had resolved is gone.
        return _ask(current, query, index=index, embedder_for=embedder_for, limits=limits)


def _ask(
    generation: Generation,
    query: Query,
    *,
    index: VectorIndex,
    embedder_for: Callable[[str], Embedder],
    limits: DecodeLimits,
) -> Answer:
    embedder = embedder_for(generation.model_digest) if query.image is not None else None
    started = time.perf_counter()
    likes = _points(index, generation, query.likes)
    dislikes = _points(index, generation, query.dislikes)
    if query.image is not None and embedder is not None:
        pixels = prepare(query.image, embedder.card.preprocessing, limits)
        vector = embedder.embed(pixels[np.newaxis]).vectors[0]
    elif query.vector is not None:
        vector = query.vector
    else:
        vector = direction(_vectors(likes), _vectors(dislikes))
    conditions = list(query.conditions)
    own = tuple(sorted({p.payload.product_id for p in likes if p.payload.product_id is not None}))
    if query.exclude_own_product and own:
        conditions.append(NoneOf(field="product_id", values=own))
    hits = index.search(
        generation.collection,
        Search(
            vector=vector,
            limit=query.limit,
            offset=query.offset,
            where=Filter(conditions=tuple(conditions)) if conditions else None,
            score_threshold=query.score_threshold,
            diversity=query.diversity,
            group_by=query.group_by,
            exact=query.exact,
            exclude_ids=tuple(point.id for point in (*likes, *dislikes)),
            with_vectors=query.with_vectors,
        ),
    )
    return Answer(
        model=generation.model_digest,
        collection=generation.collection,
        took_ms=(time.perf_counter() - started) * 1000,
        hits=tuple(hits),
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


def active_generation(catalog: str, ledger: Ledger) -> Generation:
    """The generation that answers for a catalog.

    Raises:
        NotFoundError: no such catalog, or it was never indexed.
    """
    row = ledger.catalog(catalog)
    if row.active_generation is None:
        raise NotFoundError(f"the catalog {catalog!r} has not been indexed yet; run: catalog ingest {row.source_url}")
    return ledger.generation(catalog, row.active_generation)


def _points(index: VectorIndex, generation: Generation, keys: Sequence[str]) -> list[PointRecord]:
    ids = {point_id(generation.catalog, key): key for key in keys}
    found = {point.id: point for point in index.retrieve(generation.collection, list(ids), with_vectors=True)}
    for identity, key in ids.items():
        if identity not in found:
            raise NotFoundError(
                f"the catalog {generation.catalog!r} has no searchable image {key!r}; "
                "it may be in quarantine (catalog quarantine) or spelled otherwise"
            )
    return [found[identity] for identity in ids]


def _vectors(points: Sequence[PointRecord]) -> NDArray[np.float32]:
    return np.array([point.vector for point in points], dtype=np.float32)


def _check(query: Query) -> None:
    starts = [query.image is not None, query.vector is not None, bool(query.likes)]
    if sum(starts) != 1:
        raise ContractError("a query needs exactly one of: a picture, a vector, keys to look for more of")
    if query.dislikes and not query.likes:
        raise ContractError("images to steer away from need at least one image to look for more of")
    if not 0.0 <= query.diversity <= 1.0:
        raise ContractError(f"diversity is {query.diversity:g}; it goes from 0 (most alike) to 1 (most different)")
    if query.limit < 1 or query.offset < 0:
        raise ContractError("a query asks for at least one hit, from offset 0 on")
