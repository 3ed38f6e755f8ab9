"""How good a catalog's answers are, measured on labelled images against the very index that serves them."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from schemas.query import AnyOf, Filter, Scored, Search
from workers.errors import ContractError, ItemError
from workers.imaging.decode import DecodeLimits
from workers.ports import Embedder, VectorIndex
from workers.query.classify import classify
from workers.query.labelled import Labelled
from workers.query.resolver import Resolved
from workers.query.selectivity import Passing, conditions_by_share

DEPTH = 10
"""Hits of each answer that are judged."""
SHARES = (0.5, 0.05, 0.005)
"""Of the images that pass a filter: recall of approximate search depends on it most."""
RESAMPLES = 2000
_WORST = 8
_PAGE = 256


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """A query that was embedded."""

    image: Labelled
    vector: NDArray[np.float32]
    own: tuple[str, ...]
    """Points of the catalog that are this very image; no answer may be itself."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Figure:
    """A mean with its 95 % bootstrap interval over products (images, where products are unknown)."""

    value: float
    low: float | None
    high: float | None
    queries: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Recall:
    """The approximate index against the exact answer, under a filter or none."""

    wanted_share: float | None
    """None: no filter."""
    passing: Passing | None
    """The filter; None with a wanted share: the catalog has none near it."""
    recall: Figure | None
    latency_ms: Mapping[str, float]
    """p50, p95, p99 of the approximate search by itself."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Judged:
    """A query with its answer."""

    image: Labelled
    hits: tuple[Scored, ...]
    precision: float
    """Share of the hits of its category."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Evaluation:
    """Everything that was measured."""

    queries: int
    themselves_indexed: int
    """Queries that the catalog holds, and that were left out of their own answers."""
    unusable: Mapping[str, str]
    """Images that could not be embedded, with the reason."""
    figures: Mapping[str, Figure]
    """`category_precision_at_1`, `_at_10`, `product_recall_at_1`, `_at_10`; those that the labels allow."""
    recalls: tuple[Recall, ...]
    worst: tuple[Judged, ...]
    """Queries with the fewest hits of their own category, the worst first."""


def embed_labelled(
    images: Sequence[Labelled],
    *,
    resolved: Resolved,
    index: VectorIndex,
    embedder_for: Callable[[str], Embedder],
    limits: DecodeLimits,
    read: Callable[[Labelled], bytes],
) -> Iterator[Asked | tuple[Labelled, ItemError]]:
    """The images as queries: files are embedded by the catalog's model, the catalog's own images come with their vectors."""
    collection = resolved.generation.collection
    files = [image for image in images if image.id is None]
    if files:
        yield from _embedded(files, collection, index, embedder_for(resolved.generation.model_digest), limits, read)
    stored = [image for image in images if image.id is not None]
    for start in range(0, len(stored), _PAGE):
        page = {str(image.id): image for image in stored[start : start + _PAGE]}
        for point in index.retrieve(collection, list(page), with_vectors=True):
            if point.vector is not None:
                yield Asked(image=page[point.id], vector=point.vector, own=(point.id,))


def evaluate(
    asked: Sequence[Asked],
    *,
    resolved: Resolved,
    index: VectorIndex,
    unusable: Mapping[str, str] | None = None,
    on_progress: Callable[[int], None] = lambda done: None,
) -> Evaluation:
    """Search with every query, approximately and exactly, unfiltered and under real filters.

    Args:
        asked: The queries.
        resolved: The generation that is measured.
        index: Holds it.
        unusable: Images that gave no query, for the report.
        on_progress: Called with the number of searches done so far, of `searches(len(asked))`.

    Raises:
        ContractError: no query.
    """
    if not asked:
        raise ContractError("no labelled image could be embedded, so there is nothing to measure")
    bench = _Bench(index, resolved.generation.collection, on_progress)
    groups = _groups(asked)
    answers, plain = bench.compare(asked, None, None, groups)
    recalls = [plain]
    for share, passing in conditions_by_share(index, resolved.spec, SHARES).items():
        recalls.append(bench.compare(asked, share, passing, groups)[1])
    judged = [_judge(one.image, hits) for one, hits in zip(asked, answers, strict=True)]
    worst = sorted((j for j in judged if np.isfinite(j.precision)), key=lambda j: (j.precision, j.image.name))
    return Evaluation(
        queries=len(asked),
        themselves_indexed=sum(bool(one.own) for one in asked),
        unusable=unusable or {},
        figures=_figures(asked, answers, groups, index, resolved.generation.collection),
        recalls=tuple(recalls),
        worst=tuple(j for j in worst[:_WORST] if j.precision < 1.0),
    )


def searches(queries: int) -> int:
    """How many searches `evaluate` makes at most."""
    return 2 * queries * (1 + len(SHARES))


class _Bench:
    """Runs searches and counts them."""

    def __init__(self, index: VectorIndex, collection: str, on_progress: Callable[[int], None]) -> None:
        self._index, self._collection, self._on_progress = index, collection, on_progress
        self._done = 0

    def compare(
        self, asked: Sequence[Asked], share: float | None, passing: Passing | None, groups: NDArray[np.int64]
    ) -> tuple[list[list[Scored]], Recall]:
        """The exact answers, and the share of each that the approximate index finds."""
        if share is not None and passing is None:
            self._count(2 * len(asked))
            return [], Recall(wanted_share=share, passing=None, recall=None, latency_ms={})
        where = None if passing is None else Filter(conditions=(passing.condition,))
        self._ask(asked[0], where, exact=False)  # the first search of a kind opens what the others find open
        exact_answers, recalls, took = [], [], []
        for one in asked:
            started = time.perf_counter()
            found = self._ask(one, where, exact=False)
            took.append((time.perf_counter() - started) * 1000)
            exact = self._ask(one, where, exact=True)
            exact_answers.append(exact)
            recalls.append(_found_share(found, exact))
            self._count(2)
        latency = {f"p{p}": float(np.percentile(took, p)) for p in (50, 95, 99)}
        recall = mean_with_interval(np.array(recalls), groups)
        return exact_answers, Recall(wanted_share=share, passing=passing, recall=recall, latency_ms=latency)

    def _count(self, searches: int) -> None:
        self._done += searches
        self._on_progress(self._done)

    def _ask(self, one: Asked, where: Filter | None, *, exact: bool) -> list[Scored]:
        request = Search(vector=one.vector, limit=DEPTH, where=where, exact=exact, exclude_ids=one.own)
        return list(self._index.search(self._collection, request))


def mean_with_interval(values: NDArray[np.float64], groups: NDArray[np.int64]) -> Figure | None:
    """The mean of (N,) values, NaN ones left out, with the interval of drawing whole groups; None where all are NaN."""
    known = np.isfinite(values)
    if not known.any():
        return None
    members = np.unique(groups[known], return_inverse=True)[1]
    count = int(members.max()) + 1
    sums = np.stack([np.bincount(members, values[known], count), np.bincount(members, minlength=count)], axis=1)
    value = float(values[known].mean())
    if count < 2:
        return Figure(value=value, low=None, high=None, queries=int(known.sum()))
    rng = np.random.default_rng(0)
    drawn = np.stack([sums[rng.integers(0, count, count)].sum(axis=0) for _ in range(RESAMPLES)])
    low, high = np.percentile(drawn[:, 0] / drawn[:, 1], [2.5, 97.5])
    return Figure(value=value, low=float(low), high=float(high), queries=int(known.sum()))


def _embedded(
    files: Sequence[Labelled],
    collection: str,
    index: VectorIndex,
    embedder: Embedder,
    limits: DecodeLimits,
    read: Callable[[Labelled], bytes],
) -> Iterator[Asked | tuple[Labelled, ItemError]]:
    digests: dict[str, str] = {}

    def kept(image: Labelled) -> bytes:
        data = read(image)
        digests[image.name] = hashlib.sha256(data).hexdigest()
        return data

    for image, seen in classify(files, embedder=embedder, limits=limits, read=kept):
        if isinstance(seen, ItemError):
            yield image, seen
            continue
        same = Filter(conditions=(AnyOf(field="content_digest", values=(digests[image.name],)),))
        own = tuple(point.id for point in index.scroll(collection, where=same, limit=_PAGE))
        yield Asked(image=image, vector=seen.vector, own=own)


def _groups(asked: Sequence[Asked]) -> NDArray[np.int64]:
    """(N,) number of each query's product; an image without one is a group of its own."""
    names = [f"p {o.image.product_id}" if o.image.product_id else f"i {o.image.name}" for o in asked]
    return np.unique(names, return_inverse=True)[1]


def _found_share(found: Sequence[Scored], exact: Sequence[Scored]) -> float:
    """Of the exact answer; a hit as similar as its last one is as good."""
    if not exact:
        return float("nan")
    last = exact[-1].score - 1e-6
    return min(1.0, sum(hit.score >= last for hit in found) / len(exact))


def _judge(image: Labelled, hits: Sequence[Scored]) -> Judged:
    return Judged(image=image, hits=tuple(hits), precision=_precision(image, hits, DEPTH))


def _precision(image: Labelled, hits: Sequence[Scored], depth: int) -> float:
    if image.category is None or not hits:
        return float("nan")
    return float(np.mean([hit.payload.category == image.category for hit in hits[:depth]]))


def _figures(
    asked: Sequence[Asked],
    answers: Sequence[Sequence[Scored]],
    groups: NDArray[np.int64],
    index: VectorIndex,
    collection: str,
) -> dict[str, Figure]:
    there = [_has_other_view(one, index, collection) for one in asked]
    figures = {}
    for depth in (1, DEPTH):
        precision = [_precision(one.image, hits, depth) for one, hits in zip(asked, answers, strict=True)]
        recall = [
            float(any(hit.payload.product_id == one.image.product_id for hit in hits[:depth])) if has else float("nan")
            for one, hits, has in zip(asked, answers, there, strict=True)
        ]
        for name, values in ((f"category_precision_at_{depth}", precision), (f"product_recall_at_{depth}", recall)):
            figure = mean_with_interval(np.array(values), groups)
            if figure is not None:
                figures[name] = figure
    return dict(sorted(figures.items()))


def _has_other_view(one: Asked, index: VectorIndex, collection: str) -> bool:
    """Whether the catalog has another image of the query's product, without which nothing could be found."""
    if one.image.product_id is None:
        return False
    same = Filter(conditions=(AnyOf(field="product_id", values=(one.image.product_id,)),))
    return any(point.id not in one.own for point in index.scroll(collection, where=same, limit=len(one.own) + 1))
