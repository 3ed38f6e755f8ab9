"""How good the embedding is for search: are an image's nearest neighbours of its category, of its product?"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.float32]
Keys = NDArray[np.int64]
_QUERIES = 1024
"""Queries compared at a time: 50 MB of similarities against 12,000 images."""


def neighbour_precision(
    vectors: Vectors, keys: Keys, *, k: int, gallery: tuple[Vectors, Keys] | None = None
) -> NDArray[np.float64]:
    """(N,) for each query the share of its `k` nearest neighbours (by cosine) with the query's key.

    Without a gallery the queries search each other, each leaving itself out, as in a catalog of held-out images.

    Args:
        vectors: (N, D), L2-normalised.
        keys: (N,) category or product numbers.
        k: Neighbours counted; at most the size of what is searched.
        gallery: Vectors and keys searched instead.

    Raises:
        ValueError: fewer than `k` neighbours exist.
    """
    return np.asarray(_right(vectors, keys, k, gallery).mean(axis=1))


def recall_at(
    vectors: Vectors, keys: Keys, *, k: int, gallery: tuple[Vectors, Keys] | None = None
) -> NDArray[np.float64]:
    """(N,) 1.0 where one of the `k` nearest neighbours has the query's key; NaN where nothing searched has it.

    As DeepFashion's in-shop benchmark counts a query as found. Arguments and errors as `neighbour_precision`.
    """
    found = _right(vectors, keys, k, gallery).any(axis=1)
    return np.where(_matches(keys, gallery) > 0, found, np.nan)


def map_at_r(vectors: Vectors, keys: Keys, *, gallery: tuple[Vectors, Keys] | None = None) -> NDArray[np.float64]:
    """(N,) average precision over the first R neighbours, R being how many have the query's key; NaN where R is 0.

    Musgrave, Belongie and Lim 2020: the precision at each right place up to R, summed and divided by R.
    Arguments as `neighbour_precision`.
    """
    count = _matches(keys, gallery)
    most = int(count.max(initial=0))
    if most == 0:
        return np.full(len(keys), np.nan)
    right = _right(vectors, keys, most, gallery)
    places = np.arange(1, most + 1)
    counted = right & (places <= count[:, None])
    precision = np.cumsum(right, axis=1) / places
    return np.where(count > 0, (precision * counted).sum(1) / np.maximum(count, 1), np.nan)


def nearest_match_and_other(
    vectors: Vectors, keys: Keys, *, gallery: tuple[Vectors, Keys] | None = None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(N,) cosine of each query to the nearest image with its key, and to the nearest with another; NaN where none is.

    Arguments as `neighbour_precision`.
    """
    searched = gallery[1] if gallery is not None else keys
    match, other = [], []
    for rows, similarity in _similarities(vectors, gallery):
        same = searched[None, :] == keys[rows, None]
        match.append(np.where(same, similarity, -np.inf).max(1, initial=-np.inf))
        other.append(np.where(same, -np.inf, similarity).max(1, initial=-np.inf))
    return _finite(match), _finite(other)


def neighbours(
    vectors: Vectors, keys: Keys, *, k: int, gallery: tuple[Vectors, Keys] | None = None
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """(N, k) cosine of each neighbour, the nearest first, and whether it has the query's key.

    Arguments and errors as `neighbour_precision`.
    """
    found_keys = gallery[1] if gallery is not None else keys
    available = len(found_keys) - (gallery is None)
    if available < k:
        raise ValueError(f"{k} neighbours wanted, {available} exist")
    cosines, right = [np.zeros((0, k), dtype=np.float32)], [np.zeros((0, k), dtype=bool)]
    for rows, similarity in _similarities(vectors, gallery):
        nearest = np.argpartition(-similarity, k - 1, axis=1)[:, :k]
        order = np.argsort(-np.take_along_axis(similarity, nearest, axis=1), axis=1, kind="stable")
        nearest = np.take_along_axis(nearest, order, axis=1)
        cosines.append(np.take_along_axis(similarity, nearest, axis=1))
        right.append(found_keys[nearest] == keys[rows, None])
    return np.concatenate(cosines), np.concatenate(right)


def _right(vectors: Vectors, keys: Keys, k: int, gallery: tuple[Vectors, Keys] | None) -> NDArray[np.bool_]:
    return neighbours(vectors, keys, k=k, gallery=gallery)[1]


def _similarities(
    vectors: Vectors, gallery: tuple[Vectors, Keys] | None
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float32]]]:
    """Rows of queries with their similarity to all that is searched; -inf to themselves."""
    searched = gallery[0] if gallery is not None else vectors
    for start in range(0, len(vectors), _QUERIES):
        rows = np.arange(start, min(start + _QUERIES, len(vectors)))
        similarity = vectors[rows] @ searched.T
        if gallery is None:
            similarity[rows - start, rows] = -np.inf
        yield rows, similarity


def _matches(keys: Keys, gallery: tuple[Vectors, Keys] | None) -> NDArray[np.int64]:
    """(N,) how many of what is searched have each query's key."""
    searched = gallery[1] if gallery is not None else keys
    values, counts = np.unique(searched, return_counts=True)
    if not len(values):
        return np.zeros(len(keys), dtype=np.int64)
    place = np.minimum(np.searchsorted(values, keys), len(values) - 1)
    return np.where(values[place] == keys, counts[place], 0) - (gallery is None)


def _finite(parts: list[NDArray[np.floating]]) -> NDArray[np.float64]:
    joined = np.concatenate(parts).astype(np.float64) if parts else np.zeros(0)
    return np.where(np.isfinite(joined), joined, np.nan)
