"""The similarity under which the nearest neighbour is no match.

A search always finds something. The threshold is chosen on queries whose catalog holds no match: each query searches only
the images of *other* products (categories, where products are unknown), as if its own were not in the catalog. At the
threshold at most a stated share of such queries still finds something.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from schemas.model_card import NoMatch
from training.evaluation import Estimate
from training.metrics.resampling import Resampling
from training.metrics.retrieval import nearest_match_and_other
from training.predictions import UNKNOWN, Predictions, product_numbers

FALSE_ACCEPTS = 0.05
"""Share of queries without a match that may find something."""

Key = Literal["product", "category"]


def choose_threshold(
    predictions: Predictions, catalog: Predictions | None, *, data: str, false_accepts: float = FALSE_ACCEPTS
) -> NoMatch | None:
    """The lowest threshold, to a thousandth, at which at most `false_accepts` of the queries find a wrong image.

    Args:
        predictions: The queries. Each searches the others too.
        catalog: What they search besides.
        data: What the queries are, as `photographs/holdout`.
        false_accepts: 0..1.

    Returns:
        None where neither product nor category tells a match from another image.
    """
    by = match_key(predictions, catalog)
    if by is None:
        return None
    _, other = _nearest(predictions, catalog, by, itself=True)
    scores = np.sort(other[np.isfinite(other)])
    if not len(scores):
        return None
    highest_refused = scores[len(scores) - 1 - int(false_accepts * len(scores))]
    return NoMatch(
        below=float(np.clip(np.floor(1000 * highest_refused + 1) / 1000, -1.0, 1.0)),
        by=by,
        false_accepts=false_accepts,
        data=data,
        images=len(scores),
        gallery=len(predictions) - 1 + (0 if catalog is None else len(catalog)),
    )


def accept_rates(
    predictions: Predictions,
    catalog: Predictions | None,
    *,
    below: float,
    by: Key,
    itself: bool,
    resampling: Resampling,
) -> Mapping[str, Estimate]:
    """What a threshold does to these queries; empty where their truth does not say.

    `no_match_false_accept`: of queries whose own product (category) is taken out of what they search, the share that
    still finds something at or above the threshold. `no_match_true_accept`: of queries with a match, the share whose
    nearest match is at or above it.

    Args:
        predictions: The queries.
        catalog: What they search.
        below: The threshold.
        by: What two images must share to be a match.
        itself: Whether each query searches the other queries too.
        resampling: Of the queries.
    """
    rates = {}
    for name, scores in zip(("true", "false"), _nearest(predictions, catalog, by, itself=itself), strict=True):
        if np.isfinite(scores).any():
            accepted = np.where(np.isfinite(scores), scores >= below, np.nan)
            rates[f"no_match_{name}_accept"] = resampling.mean(accepted)
    return rates


def match_key(predictions: Predictions, catalog: Predictions | None) -> Key | None:
    """Products if a query has another image of its own, else categories, else None."""
    keys: tuple[Key, ...] = ("product", "category")
    for by in keys:
        match, other = _nearest(predictions, catalog, by, itself=True)
        if np.isfinite(match).any() and np.isfinite(other).any():
            return by
    return None


def _nearest(
    predictions: Predictions, catalog: Predictions | None, by: Key, *, itself: bool
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(N,) cosine to the nearest match and to the nearest other; NaN where there is none or the query's key is unknown.

    An image of unknown product (category) is searched by nobody: it is neither a match nor none.
    """
    mine, theirs = match_keys(predictions, catalog, by)
    known = mine != UNKNOWN
    found = [np.full(len(predictions), np.nan) for _ in range(2)]
    vectors, keys = predictions.vectors[known], mine[known]
    galleries: list[tuple[NDArray[np.float32], NDArray[np.int64]] | None] = [None] if itself else []
    if catalog is not None:
        galleries.append((catalog.vectors[theirs != UNKNOWN], theirs[theirs != UNKNOWN]))
    for gallery in galleries:
        for whole, part in zip(found, nearest_match_and_other(vectors, keys, gallery=gallery), strict=True):
            whole[known] = np.fmax(whole[known], part)
    return found[0], found[1]


def match_keys(
    predictions: Predictions, catalog: Predictions | None, by: Key
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Numbers of the product (category) of the queries and of what they search; -1 where it is unknown."""
    if by == "product":
        found = product_numbers(predictions, *([] if catalog is None else [catalog]))
        return found[0], found[-1]
    return predictions.categories, predictions.categories if catalog is None else catalog.categories
