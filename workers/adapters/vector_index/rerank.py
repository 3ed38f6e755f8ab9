"""Choosing among candidates in order of similarity: one hit a group, and diversity. Pure functions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from schemas.payload import JsonValue
from workers.adapters.vector_index.matching import elements, typed


@dataclass(frozen=True, kw_only=True, slots=True)
class Candidate:
    """A point that a search may answer."""

    id: str
    score: float
    """Cosine similarity with the query."""
    group: JsonValue = None
    """Value of the field to group by."""
    vector: NDArray[np.float32] | None = None
    """(D,) of length 1; needed for `diverse`."""


def group_best(candidates: Sequence[Candidate], limit: int) -> list[Candidate]:
    """The first candidate of every group, at most `limit` of them, in their order.

    A candidate without a group value is a group of its own. One with several values takes its place only where none
    of them has a hit yet. The answer for a longer list begins with the answer for its beginning.
    """
    taken: set[tuple[str, object]] = set()
    best: list[Candidate] = []
    for candidate in candidates:
        values = {typed(value) for value in elements(candidate.group)}
        if values & taken:
            continue
        taken |= values
        best.append(candidate)
        if len(best) == limit:
            break
    return best


def diverse(candidates: Sequence[Candidate], limit: int, diversity: float) -> list[Candidate]:
    """Maximal marginal relevance: up to `limit` candidates, each next one maximising
    `lambda * similarity to the query - (1 - lambda) * highest similarity to those chosen`, lambda = 1 - diversity.

    Carbonell and Goldstein, "The Use of MMR, Diversity-Based Reranking", SIGIR 1998, equation 1. Equal values keep
    the order of `candidates`, whose first is the most similar one.
    """
    if not candidates:
        return []
    vectors = np.stack([_vector(candidate) for candidate in candidates])
    relevance = np.array([candidate.score for candidate in candidates], dtype=np.float64)
    redundancy = np.full(len(candidates), -np.inf)
    open_ = np.ones(len(candidates), dtype=bool)
    chosen = [0]  # nothing is chosen yet, so the first is the most similar whatever lambda is
    while len(chosen) < min(limit, len(candidates)):
        open_[chosen[-1]] = False
        redundancy = np.maximum(redundancy, vectors @ vectors[chosen[-1]])
        value = (1.0 - diversity) * relevance - diversity * redundancy
        chosen.append(int(np.argmax(np.where(open_, value, -np.inf))))
    return [candidates[i] for i in chosen]


def _vector(candidate: Candidate) -> NDArray[np.float32]:
    if candidate.vector is None:
        raise TypeError("diversity needs the candidates' vectors")
    return candidate.vector
