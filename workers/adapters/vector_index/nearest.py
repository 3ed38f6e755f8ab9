"""From an engine's plain ranking to the hits of a search that groups or diversifies."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from schemas.query import Search
from workers.adapters.vector_index.rerank import Candidate, diverse, group_best

POOL_FACTOR: Final = 10
POOL_MINIMUM: Final = 100
POOL_MAXIMUM: Final = 1_000
"""Candidates of a diverse search: ten for each hit within these bounds, so that there is something to choose from."""
GROUP_FACTOR: Final = 4
"""Points fetched for each group wanted, and the growth when they were too few: a product has two to four views."""

Fetch = Callable[[int], Sequence[Candidate]]
"""The best `count` candidates, best first; fewer mean that there are no more."""


def is_plain(request: Search) -> bool:
    """Whether the engine's own ranking already is the answer."""
    return request.group_by is None and request.diversity == 0.0


def pool_size(request: Search) -> int:
    """Candidates (or groups) that a search chooses among."""
    wanted = request.offset + request.limit
    if not request.diversity:
        return wanted
    if request.pool is not None:
        return request.pool
    return max(wanted, min(POOL_MAXIMUM, max(POOL_MINIMUM, POOL_FACTOR * wanted)))


def choose(request: Search, fetch: Fetch) -> Sequence[Candidate]:
    """The candidates a grouped or diverse search answers, offset and limit applied.

    Groups are formed first, so that diversity chooses among the best of each.
    """
    wanted, size = request.offset + request.limit, pool_size(request)
    pool = fetch(size) if request.group_by is None else _groups(fetch, size)
    if request.diversity:
        pool = diverse(pool, wanted, request.diversity)
    return pool[request.offset : wanted]


def _groups(fetch: Fetch, wanted: int) -> Sequence[Candidate]:
    count = GROUP_FACTOR * wanted
    while True:
        candidates = fetch(count)
        best = group_best(candidates, wanted)
        if len(best) >= wanted or len(candidates) < count:
            return best
        count *= GROUP_FACTOR
