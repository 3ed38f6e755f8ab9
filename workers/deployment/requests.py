"""What is sent to a server: a query of the library as the HTTP contract spells it."""

from __future__ import annotations

import base64
from typing import Any
from urllib.parse import quote

import numpy as np
import orjson

from schemas.messages import JobRequest
from schemas.query import AnyOf, Condition, Missing, NoneOf
from workers.errors import ContractError
from workers.query.question import Query

Parts = dict[str, Any]
"""Arguments of a request that say what its body is."""


def search_body(catalog: str, query: Query) -> Parts:
    """The body of `POST /v1/search`.

    Raises:
        ContractError: what a server does not take.
    """
    if query.offset:
        raise ContractError("a server pages by cursor: leave --offset out, and ask for more hits with --limit")
    asked: dict[str, Any] = {
        "catalog": catalog,
        "filter": [_condition(one) for one in query.conditions],
        "limit": query.limit,
        "cursor": query.cursor,
        "diversity": query.diversity,
        "group_by": query.group_by,
        "exclude_own_product": query.exclude_own_product,
        "min_score": "match" if query.match_only else query.score_threshold,
        "facets": list(query.facets),
        "exact": query.exact,
        "with_vectors": query.with_vectors,
        "with_payloads": True,
        "crop": query.crop,
        "model": query.model,
        "product": query.product,
        "likes": list(query.likes),
        "dislikes": list(query.dislikes),
    }
    if query.vector is not None:
        data = np.ascontiguousarray(query.vector, dtype="<f4").tobytes()
        asked["vector_base64"] = base64.b64encode(data).decode("ascii")
    return picture_body(asked, query.image)


def picture_body(asked: dict[str, Any], picture: bytes | None) -> Parts:
    """JSON, or a form where there is a picture beside it."""
    text = orjson.dumps({name: value for name, value in asked.items() if value is not None or name == "group_by"})
    if picture is None:
        return {"content": text, "headers": {"Content-Type": "application/json"}}
    return {"files": {"image": ("image", picture), "query": (None, text, "application/json")}}


def job_body(request: JobRequest) -> dict[str, Any]:
    """The body of `POST /v1/jobs`. Null in an update removes a field, so it is sent; elsewhere it says nothing."""
    body = request.model_dump(mode="json", exclude_none=True)
    return body | request.model_dump(mode="json", include={"fields"})


def item_path(catalog: str) -> str:
    """Where a catalog's images are listed."""
    return f"/v1/catalogs/{segment(catalog)}/items"


def segment(text: str) -> str:
    """A text as one part of a path, whatever it holds."""
    return quote(text, safe="")


def text_of(value: object) -> str:
    """JSON for a parameter of an address."""
    return orjson.dumps(value).decode()


def _condition(one: Condition) -> dict[str, Any]:
    if isinstance(one, AnyOf):
        return {"field": one.field, "any_of": list(one.values)}
    if isinstance(one, NoneOf):
        return {"field": one.field, "none_of": list(one.values)}
    if isinstance(one, Missing):
        return {"field": one.field, "missing": True}
    bounds = {"min": one.minimum, "max": one.maximum}
    return {"field": one.field, **{name: bound for name, bound in bounds.items() if bound is not None}}
