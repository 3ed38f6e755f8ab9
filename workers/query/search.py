"""Asking a catalog: a picture, a vector, a product or examples in, the nearest products out.

The generation is resolved once: the query is encoded by the model that this generation is bound to, and searches this
very collection, whatever is switched meanwhile.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Final

from schemas.api import MAX_DEPTH
from schemas.model_card import ModelCard
from schemas.query import FacetCount, Filter, Scored, Search
from workers.errors import ContractError, NotFoundError
from workers.imaging.decode import DecodeLimits
from workers.ports import Embedder, Ledger, VectorIndex
from workers.query.conditions import check_conditions, check_facets, check_group
from workers.query.cursor import Place, query_digest, read_cursor, write_cursor
from workers.query.question import Answer, Query, check_query
from workers.query.resolver import Resolved, Resolver, active_generation
from workers.query.start import Start, direction, picture_start, stored_start

__all__ = ["FACET_VALUES", "Answer", "Query", "active_generation", "direction", "search"]

FACET_VALUES: Final = 50
"""Values counted of each field, the most frequent ones."""
POOL_FACTOR: Final = 10
POOL_MINIMUM: Final = 100
POOL_MAXIMUM: Final = MAX_DEPTH


def search(
    catalog: str,
    query: Query,
    *,
    ledger: Ledger,
    index: VectorIndex,
    embedder_for: Callable[[str], Embedder],
    limits: DecodeLimits,
    card_for: Callable[[str], ModelCard] | None = None,
    resolver: Resolver | None = None,
) -> Answer:
    """The images nearest to the query in the catalog's active generation.

    Args:
        catalog: Its name.
        query: What to look for.
        ledger: Asked for the generation that answers, where there is no `resolver`.
        index: Holds the collection.
        embedder_for: The engine of a model by its digest; asked for pictures only where there is a `card_for`.
        limits: Bounds on what is decoded.
        card_for: The card of a model by its digest, which takes no engine.
        resolver: Remembers what answers for a catalog between queries; for servers.

    Raises:
        ContractError: the query is not one (no or several starting points, a bad bound, a field that the catalog does not
            have, a cursor of another query).
        ModelConflictError: the query's vector was made by another model.
        NotFoundError: no such catalog, nothing indexed yet, or a key or product the index does not hold.
        ItemError: the picture cannot be used; the reason says why.
    """
    check_query(query)
    if resolver is None:
        known = card_for or (lambda digest: embedder_for(digest).card)
        resolver = Resolver(ledger=ledger, index=index, card_for=known)
    resolved = resolver.resolve(catalog)
    try:
        return _ask(resolved, query, index=index, embedder_for=embedder_for, limits=limits)
    except NotFoundError:
        current = resolver.renew(catalog)
        if current.generation == resolved.generation:
            raise
        # A reindex switched while we were on the way: the collection we had resolved is gone.
        return _ask(current, query, index=index, embedder_for=embedder_for, limits=limits)


def _ask(
    resolved: Resolved,
    query: Query,
    *,
    index: VectorIndex,
    embedder_for: Callable[[str], Embedder],
    limits: DecodeLimits,
) -> Answer:
    generation, card = resolved.generation, resolved.card
    check_conditions(query.conditions, resolved.spec)
    check_facets(query.facets, resolved.spec)
    check_group(query.group_by, resolved.spec)
    threshold = _threshold(query, card)
    embedder = embedder_for(generation.model_digest) if query.image is not None else None
    started = time.perf_counter()
    place = _place(query, generation.collection)
    start = stored_start(query, resolved, index) if embedder is None else picture_start(query, embedder, limits)
    hits, following = _page(index, generation.collection, query, start, place, threshold)
    total, facets = _counts(index, generation.collection, query)
    following_cursor = None
    if following is not None:
        following_cursor = write_cursor(following, collection=generation.collection, query=_digest(query))
    return Answer(
        model=generation.model_digest,
        collection=generation.collection,
        generation=generation.number,
        took_ms=(time.perf_counter() - started) * 1000,
        hits=hits,
        likeness=tuple(card.likeness.of(hit.score) if card.likeness is not None else None for hit in hits),
        no_match_below=card.no_match_below,
        vector=start.vector,
        seen=start.seen,
        total=total,
        facets=facets,
        next_cursor=following_cursor,
    )


def _threshold(query: Query, card: ModelCard) -> float | None:
    if not query.match_only:
        return query.score_threshold
    if card.no_match_below is None:
        raise ContractError(
            f"the model {card.name} has no measured level under which nothing is a match; name the lowest score as a number"
        )
    return max(card.no_match_below, query.score_threshold if query.score_threshold is not None else -1.0)


def _place(query: Query, collection: str) -> Place:
    if query.cursor is None:
        return Place(offset=query.offset)
    return read_cursor(query.cursor, collection=collection, query=_digest(query), deepest=MAX_DEPTH - 1)


def _digest(query: Query) -> str:
    """Of all that decides the order of the hits; what is only said beside them may change from page to page."""
    return query_digest(
        {
            "image": query.image or b"",
            "crop": query.crop,
            "vector": query.vector.tobytes() if query.vector is not None else b"",
            "product": query.product,
            "likes": query.likes,
            "dislikes": query.dislikes,
            "conditions": query.conditions,
            "diversity": query.diversity,
            "group_by": query.group_by,
            "threshold": (query.score_threshold, query.match_only),
            "own": query.exclude_own_product,
            "exact": query.exact,
        }
    )


def _page(
    index: VectorIndex, collection: str, query: Query, start: Start, place: Place, threshold: float | None
) -> tuple[tuple[Scored, ...], Place | None]:
    """The hits from a place on, and the place behind them where there are more.

    One hit more than wanted is asked for, so that the last page knows itself.
    """
    conditions = (*query.conditions, *start.left_out)
    pool = _pool(query, place)

    def ask(offset: int, limit: int, diversity: float) -> list[Scored]:
        request = Search(
            vector=start.vector,
            limit=limit,
            offset=offset,
            where=Filter(conditions=conditions) if conditions else None,
            score_threshold=threshold,
            diversity=diversity,
            pool=pool if diversity else None,
            group_by=query.group_by,
            exact=query.exact,
            exclude_ids=start.left_out_ids,
            with_vectors=query.with_vectors,
        )
        return list(index.search(collection, request))

    wanted = query.limit if query.cursor is None else min(query.limit, MAX_DEPTH - place.offset)
    following = place.offset + wanted
    count = wanted + 1 if following < MAX_DEPTH else wanted
    diverse = max(0, min(count, pool - place.offset))
    hits = ask(place.offset, diverse, query.diversity) if diverse else []
    if len(hits) == diverse < count:
        hits += ask(place.offset + diverse, count - diverse, 0.0)
    more = len(hits) > wanted
    return tuple(hits[:wanted]), Place(offset=following, pool=pool or None) if more else None


def _pool(query: Query, place: Place) -> int:
    """Candidates that a diverse answer chooses among, ten for each hit of its first page; behind them it goes on by
    similarity. Every page has to choose among the same ones, else hits would change places between pages.
    """
    if not query.diversity:
        return 0
    if place.pool is not None:
        return place.pool
    return min(POOL_MAXIMUM, max(POOL_MINIMUM, POOL_FACTOR * (place.offset + query.limit)))


def _counts(
    index: VectorIndex, collection: str, query: Query
) -> tuple[int | None, Mapping[str, tuple[FacetCount, ...]]]:
    if not query.facets:
        return None, {}
    where = Filter(conditions=query.conditions) if query.conditions else None
    total = index.count(collection, where)
    return total, {
        field: tuple(index.facet(collection, field, where=where, limit=FACET_VALUES)) for field in query.facets
    }
