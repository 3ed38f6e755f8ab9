"""Retrieval boards in the seed project's style: a query on the left, its nearest neighbours on the right."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from training.report.evidence import NO_PREDICTIONS, NOT_EVALUATED, Absent, Measurement, Shown
from training.report.pictures import Picture, Pictures

NEIGHBOURS: Final = 8
_ASKED: Final = 2000
"""Queries that are searched for at most: enough to find failures, and a matter of seconds in any gallery."""
_CHUNK: Final = 256

Verdict = Literal["product", "category", "other", "unknown"]
"""What a neighbour has in common with the query."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Tile:
    """One picture of a board."""

    picture: Picture
    name: str
    category: str | None
    similarity: float | None
    """Cosine; None for a query."""
    verdict: Verdict | None
    """None for a query."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """A query with its neighbours, best first."""

    query: Tile
    hits: tuple[Tile, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Boards:
    """The section."""

    data: str
    searched: int
    """Images searched by every query."""
    has_products: bool
    """Whether it is known which images show the same product."""
    drawn: tuple[Row, ...]
    """Queries drawn by lot: what a search usually looks like."""
    failed: tuple[Row, ...]
    """Queries whose nearest neighbour is wrong, the most similar first."""


def retrieval_boards(measurement: Measurement | None, pictures: Pictures, *, rows: int = 6) -> Boards | Absent:
    """The boards of one measured data set, at most `rows` of each kind; the same ones for the same run."""
    if measurement is None:
        return NOT_EVALUATED
    if measurement.shown is None:
        return NO_PREDICTIONS
    queries, gallery = measurement.shown, measurement.gallery or measurement.shown
    itself = measurement.gallery is None
    if len(gallery.names) < 2 + itself:
        return Absent(reason=f"{measurement.data} has too few images to search.")
    asked, has_products = _candidates(queries, gallery, itself=itself)
    nearest, similarity = _neighbours(queries, gallery, asked, itself=itself)
    verdicts = [[_verdict(queries, q, gallery, int(hit)) for hit in nearest[i]] for i, q in enumerate(asked)]
    wrong = {"category", "other"} if has_products else {"other"}
    failed = [i for i, row in enumerate(verdicts) if row[0] in wrong]
    failed.sort(key=lambda i: -similarity[i, 0])
    chosen = _of_different_categories(queries.categories[list(asked)])[:rows]

    def row(i: int) -> Row:
        query = _tile(queries, asked[i], measurement.labels, pictures)
        hits = tuple(
            _tile(gallery, int(hit), measurement.labels, pictures, similarity=float(score), verdict=verdict)
            for hit, score, verdict in zip(nearest[i], similarity[i], verdicts[i], strict=True)
        )
        return Row(query=query, hits=hits)

    return Boards(
        data=measurement.data,
        searched=len(gallery.names) - itself,
        has_products=has_products,
        drawn=tuple(row(i) for i in chosen),
        failed=tuple(row(i) for i in failed[:rows]),
    )


def _candidates(queries: Shown, gallery: Shown, *, itself: bool) -> tuple[tuple[int, ...], bool]:
    """Queries by lot that have a right answer, and whether right means the same product (else the same category)."""
    order = np.random.default_rng(0).permutation(len(queries.names))
    counts: dict[str, int] = {}
    for product in gallery.products:
        if product is not None:
            counts[product] = counts.get(product, 0) + 1
    findable = [int(i) for i in order if counts.get(queries.products[i] or "", 0) > itself]
    if findable:
        return tuple(findable[:_ASKED]), True
    labelled = [int(i) for i in order if queries.categories[i] >= 0]
    return tuple((labelled or [int(i) for i in order])[:_ASKED]), False


def _neighbours(
    queries: Shown, gallery: Shown, asked: tuple[int, ...], *, itself: bool
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """(Q, k) indices into the gallery and cosine similarities, best first."""
    wanted = min(NEIGHBOURS, len(gallery.names) - itself)
    found, scores = [], []
    for start in range(0, len(asked), _CHUNK):
        part = np.array(asked[start : start + _CHUNK])
        similarity = queries.vectors[part] @ gallery.vectors.T
        if itself:
            similarity[np.arange(len(part)), part] = -np.inf
        nearest = np.argsort(-similarity, axis=1, kind="stable")[:, :wanted]
        found.append(nearest)
        scores.append(np.take_along_axis(similarity, nearest, axis=1))
    return np.concatenate(found), np.concatenate(scores)


def _verdict(queries: Shown, query: int, gallery: Shown, hit: int) -> Verdict:
    if queries.products[query] is not None and queries.products[query] == gallery.products[hit]:
        return "product"
    if queries.categories[query] < 0 or gallery.categories[hit] < 0:
        return "unknown"
    return "category" if queries.categories[query] == gallery.categories[hit] else "other"


def _of_different_categories(categories: NDArray[np.int64]) -> tuple[int, ...]:
    """A lot in its order, but no category twice while others are left."""
    times: dict[int, int] = {}
    turns = []
    for category in categories.tolist():
        times[category] = times.get(category, 0) + 1
        turns.append(times[category])
    return tuple(sorted(range(len(turns)), key=turns.__getitem__))


def _tile(
    shown: Shown,
    index: int,
    labels: tuple[str, ...],
    pictures: Pictures,
    *,
    similarity: float | None = None,
    verdict: Verdict | None = None,
) -> Tile:
    number = int(shown.categories[index])
    category = labels[number] if number >= 0 else None
    role = "Query" if verdict is None else "Neighbour"
    return Tile(
        picture=pictures.picture(
            shown.sources[index],
            shown.names[index],
            alt=f"{role} {shown.names[index]}, {category or 'category unknown'}",
        ),
        name=shown.names[index],
        category=category,
        similarity=similarity,
        verdict=verdict,
    )
