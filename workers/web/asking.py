"""A search request of the HTTP contract as a query of the library."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from schemas.api import MAX_DIMENSION, ConditionIn, SearchRequest
from schemas.query import AnyOf, Condition, Missing, NoneOf, Range
from workers.errors import ContractError
from workers.query.question import Query


def check_start(asked: SearchRequest, *, has_picture: bool) -> None:
    """Judge where a query begins, before anything is fetched for it.

    Raises:
        ContractError: nowhere, or at several places.
    """
    starts = {
        "an uploaded picture": has_picture,
        "image_url": asked.image_url is not None,
        "image_key": asked.image_key is not None,
        "vector": asked.vector is not None,
        "vector_base64": asked.vector_base64 is not None,
        "product": asked.product is not None,
        "likes": bool(asked.likes),
    }
    given = [name for name, there in starts.items() if there]
    if len(given) != 1:
        found = f"this one has {' and '.join(given)}" if given else "this one has none"
        raise ContractError(f"a query needs exactly one of {', '.join(starts)}; {found}")


def query_of(asked: SearchRequest, picture: bytes | None) -> Query:
    """The query; `picture` is the uploaded or fetched one.

    Raises:
        ContractError: a vector that is none.
    """
    match_only = asked.min_score == "match"
    return Query(
        image=picture,
        crop=asked.crop,
        vector=_vector(asked),
        model=asked.model,
        product=asked.product,
        likes=tuple(asked.likes),
        dislikes=tuple(asked.dislikes),
        conditions=tuple(conditions_of(asked.filter)),
        limit=asked.limit,
        cursor=asked.cursor,
        diversity=asked.diversity,
        group_by=asked.group_by,
        score_threshold=asked.min_score if isinstance(asked.min_score, float) else None,
        match_only=match_only,
        exclude_own_product=asked.exclude_own_product,
        facets=tuple(asked.facets),
        exact=asked.exact,
        with_vectors=asked.with_vectors,
    )


def conditions_of(filters: Iterable[ConditionIn]) -> Iterable[Condition]:
    """Conditions as the index takes them."""
    for one in filters:
        if one.any_of is not None:
            yield AnyOf(field=one.field, values=tuple(one.any_of))
        elif one.none_of is not None:
            yield NoneOf(field=one.field, values=tuple(one.none_of))
        elif one.missing is not None:
            yield Missing(field=one.field)
        else:
            yield Range(field=one.field, minimum=one.min, maximum=one.max)


def _vector(asked: SearchRequest) -> NDArray[np.float32] | None:
    if asked.vector is not None:
        return _checked(np.asarray(asked.vector, dtype=np.float32))
    if asked.vector_base64 is None:
        return None
    try:
        data = base64.b64decode(asked.vector_base64, validate=True)
    except (binascii.Error, ValueError):
        raise ContractError("vector_base64 is no base64") from None
    if not data or len(data) % 4 or len(data) > 4 * MAX_DIMENSION:
        raise ContractError(f"vector_base64 holds {len(data)} bytes; a vector has 4 for each of its numbers")
    return _checked(np.frombuffer(data, dtype="<f4"))


def _checked(vector: NDArray[np.float32]) -> NDArray[np.float32]:
    if not np.isfinite(vector).all() or not vector.any():
        raise ContractError("a vector has finite numbers, and not only zeros")
    return vector
