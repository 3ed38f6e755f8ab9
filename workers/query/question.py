"""What is asked of a catalog, and what it answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from schemas.query import Condition, FacetCount, Scored
from workers.errors import ContractError
from workers.imaging.preprocess import Crop, check_crop
from workers.impressions import Impression


@dataclass(frozen=True, kw_only=True, slots=True)
class Query:
    """What somebody wants to see. Exactly one of `image`, `vector`, `product` and `likes` says where to look."""

    image: bytes | None = None
    """An encoded picture."""
    crop: Crop | None = None
    """Only this part of the picture."""
    vector: NDArray[np.float32] | None = None
    model: str | None = None
    """Digest of the model that made `vector`; None believes that it was the catalog's."""
    product: str | None = None
    """More like this product: like all of its images together. Its own images are never answered."""
    likes: tuple[str, ...] = ()
    """Keys of the catalog to look for more of. These images are never answered."""
    dislikes: tuple[str, ...] = ()
    """Keys to steer away from."""
    conditions: tuple[Condition, ...] = ()
    limit: int = 10
    offset: int = 0
    cursor: str | None = None
    """`Answer.next_cursor` of the page before, with the same query otherwise; `limit` may differ."""
    diversity: float = 0.0
    group_by: str | None = None
    score_threshold: float | None = None
    match_only: bool = False
    """Only hits that reach the model's own level (its card's `no_match_below`)."""
    exclude_own_product: bool = False
    """Leave out every image of the liked products, not only the liked images themselves."""
    facets: tuple[str, ...] = ()
    """Fields whose values are counted among the images that pass `conditions`."""
    exact: bool = False
    with_vectors: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """The nearest images, and what answered."""

    model: str
    """Digest of the generation's model."""
    collection: str
    generation: int
    took_ms: float
    """From the query in hand to the hits, starting of processes excluded."""
    hits: tuple[Scored, ...]
    likeness: tuple[float | None, ...]
    """Beside each hit: how often neighbours this similar were right where the model was measured; None where it was not."""
    no_match_below: float | None
    """The model's own level: what is less similar is no match."""
    vector: NDArray[np.float32]
    """(D,) What was looked for."""
    seen: Impression | None = None
    """What the model sees in the query's picture."""
    total: int | None = None
    """Images that pass the filter; counted only with facets."""
    facets: Mapping[str, tuple[FacetCount, ...]] = field(default_factory=dict)
    """For each field asked for, its values with their number of images, most frequent first."""
    next_cursor: str | None = None
    """Where the next page begins; None at the end."""


def check_query(query: Query) -> None:
    """Judge a query by itself.

    Raises:
        ContractError: what is wrong with it.
    """
    starts = (query.image is not None, query.vector is not None, query.product is not None, bool(query.likes))
    if sum(starts) != 1:
        raise ContractError("a query needs exactly one of: a picture, a vector, a product, keys to look for more of")
    if query.dislikes and not query.likes and query.product is None:
        raise ContractError("images to steer away from need a product or at least one image to look for more of")
    if query.crop is not None:
        if query.image is None:
            raise ContractError("a crop needs a picture to be cut out of")
        check_crop(query.crop)
    if query.model is not None and query.vector is None:
        raise ContractError("the model is named for a vector only; pictures are embedded by the catalog's own")
    if not 0.0 <= query.diversity <= 1.0:
        raise ContractError(f"diversity is {query.diversity:g}; it goes from 0 (most alike) to 1 (most different)")
    if query.limit < 1 or query.offset < 0:
        raise ContractError("a query asks for at least one hit, from offset 0 on")
    if query.cursor is not None and query.offset:
        raise ContractError("a cursor says where to begin; leave the offset out")
