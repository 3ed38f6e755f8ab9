"""Images whose category or product somebody knows: what a catalog's answers are measured on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from schemas.taxonomy import map_category
from workers.errors import ContractError
from workers.ports import VectorIndex
from workers.query.resolver import Resolved

_PAGE = 1000


@dataclass(frozen=True, kw_only=True, slots=True)
class Labelled:
    """One image with what is known of it; at least one of category and product."""

    name: str
    path: Path | None
    """None: an image of the catalog itself, with the point `id`."""
    id: str | None = None
    category: str | None = None
    """A category id of the taxonomy."""
    product_id: str | None = None


def labelled_catalog(index: VectorIndex, resolved: Resolved) -> tuple[Labelled, ...]:
    """The catalog's own images with a declared category or a product, in the index's order.

    Raises:
        ContractError: there is none.
    """
    found: list[Labelled] = []
    after = None
    while True:
        page = index.scroll(resolved.generation.collection, after=after, limit=_PAGE)
        for point in page:
            category, product = category_of(point.payload.category_declared), point.payload.product_id
            if category is not None or product is not None:
                found.append(
                    Labelled(name=point.payload.key, path=None, id=point.id, category=category, product_id=product)
                )
        if len(page) < _PAGE:
            break
        after = page[-1].id
    if not found:
        raise ContractError(
            f"no image of the catalog {resolved.generation.catalog!r} has a declared category or product; name a labelled "
            "folder, or ingest with a manifest that has them"
        )
    return tuple(found)


def sample(images: Sequence[Labelled], count: int, *, seed: int) -> tuple[Labelled, ...]:
    """At most `count` of them, drawn by the seed, in their order."""
    if len(images) <= count:
        return tuple(images)
    chosen = np.random.default_rng(seed).choice(len(images), count, replace=False)
    return tuple(images[i] for i in np.sort(chosen))


def category_of(word: object) -> str | None:
    """The taxonomy's id for somebody's word, or None."""
    mapped = map_category(word) if isinstance(word, str) else None
    return None if mapped is None else mapped.value
