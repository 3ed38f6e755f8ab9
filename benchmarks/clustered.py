"""Vectors that lie together as real embeddings do, in any number, the same for the same seed; and their payloads.

An image's vector is `category centre + spread * (style + the image's own part)`, brought to length 1. Centres, the
spectrum of what varies within a category, the number of styles and the unevenness of the spread come from the default
model's embeddings of 4,784 real photographs (`embedding_shape.json`). What makes a search hard or easy, the cosines
of the nearest neighbours and the local intrinsic dimension, is compared by

    python -m benchmarks.clustered FOLDER      # the photographs: FOLDER/images.csv with columns image and label

which fits a new shape and prints both. Views of one product are draws of the same style: measured on drawn garments,
their cosine (median 0.74) is no higher than that of the nearest other product (0.79).
"""

from __future__ import annotations

import argparse
import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from schemas.ids import point_id
from schemas.payload import Payload, Point

DIMENSION: Final = 512
CATALOG: Final = "bench"
MODEL: Final = "b" * 64
VIEWS: Final = 3
"""Images of one product."""
COLOURS: Final = tuple(f"colour-{number:02}" for number in range(20))
"""Evenly shared: each holds 5 % of the images."""
BRANDS: Final = tuple(f"brand-{number:03}" for number in range(200))
"""Evenly shared: each holds 0.5 % of the images, and has every style: harder than brands that keep to theirs."""

_SHAPE_FILE: Final = Path(__file__).with_name("embedding_shape.json")
_FEWEST: Final = 40
"""Photographs of a label that counts as a category of its own."""
_RANKS: Final = (0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 511)
"""Where the spectrum is noted; between them it is interpolated, logarithmically both ways."""
_LEAST_VARIANCE: Final = 1e-9
"""Of directions that too few photographs do not span; far below what any search sees."""
_QUANTILES: Final = (0.05, 0.25, 0.5, 0.75, 0.95)

Floats = NDArray[np.float64]
Vectors = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True, slots=True)
class EmbeddingShape:
    """How embeddings lie together."""

    shares: tuple[float, ...]
    """Share of each category, adding up to 1."""
    centres: tuple[tuple[float, ...], ...]
    """(C, C) lower triangle: the categories' mean vectors, up to a rotation."""
    spectrum: tuple[float, ...]
    """Variances within a category at `_RANKS`."""
    styles: int
    """Sub-clusters of each category."""
    style_share: float
    """Share of the variance within a category that lies between its styles."""
    unevenness: float
    """Standard deviation of the logarithm of an image's distance to its centre."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Drawn:
    """Vectors with the category and style each was drawn from."""

    vectors: Vectors
    """(N, D), of length 1."""
    categories: NDArray[np.int64]
    styles: NDArray[np.int64]


def read_shape(path: Path = _SHAPE_FILE) -> EmbeddingShape:
    """The shape kept beside this file."""
    data = json.loads(path.read_text())
    return EmbeddingShape(
        shares=tuple(data["shares"]),
        centres=tuple(tuple(row) for row in data["centres"]),
        spectrum=tuple(data["spectrum"]),
        styles=data["styles"],
        style_share=data["style_share"],
        unevenness=data["unevenness"],
    )


class Clusters:
    """A source of vectors of one shape. Every call of `draw` goes on where the last one ended."""

    def __init__(self, shape: EmbeddingShape, *, seed: int = 0, dimension: int = DIMENSION) -> None:
        """The same seed gives the same categories, styles and vectors."""
        self._random = np.random.default_rng(seed)
        self._shape = shape
        ranks, wanted = np.log1p(_RANKS), np.log1p(np.arange(dimension))
        self._deviations = np.exp(np.interp(wanted, ranks, np.log(shape.spectrum)) / 2)
        triangle = np.zeros((len(shape.centres), len(shape.centres)))
        for row, values in enumerate(shape.centres):
            triangle[row, : len(values)] = values
        rotation, _ = np.linalg.qr(self._random.standard_normal((dimension, len(triangle))))
        self._centres = triangle @ rotation.T
        self._shares = np.array(shape.shares) / sum(shape.shares)
        self._styles = self._spread(len(triangle) * shape.styles) * np.sqrt(shape.style_share)

    def draw(self, count: int) -> Drawn:
        """The next `count` vectors, in groups of `VIEWS` of one style."""
        products = -(-count // VIEWS)
        categories = self._random.choice(len(self._shares), products, p=self._shares).repeat(VIEWS)[:count]
        styles = self._random.integers(0, self._shape.styles, products).repeat(VIEWS)[:count]
        styles += categories * self._shape.styles
        within = self._styles[styles] + self._spread(count) * np.sqrt(1.0 - self._shape.style_share)
        uneven = self._shape.unevenness
        within *= np.exp(uneven * self._random.standard_normal((count, 1)) - uneven**2)  # mean square stays 1
        vectors = self._centres[categories] + within
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        return Drawn(vectors=vectors.astype(np.float32), categories=categories, styles=styles)

    def _spread(self, count: int) -> Floats:
        drawn: Floats = self._random.standard_normal((count, len(self._deviations))) * self._deviations
        return drawn


def make_points(drawn: Drawn, *, first: int = 0, seed: int = 1) -> list[Point]:
    """Points numbered from `first` with a payload as an ingest with a manifest writes it.

    A half is in stock, `COLOURS` and `BRANDS` are evenly shared, all by chance and apart from the vectors.
    """
    random = np.random.default_rng((seed, first))
    made = []
    for row, (vector, category) in enumerate(zip(drawn.vectors, drawn.categories, strict=True)):
        number = first + row
        key = f"images/{number // VIEWS % 100:02}/p{number // VIEWS:07}_{number % VIEWS}.jpg"
        payload = Payload(
            catalog=CATALOG,
            key=key,
            etag=f"{number:032x}",
            content_digest=f"{number:064x}",
            model_digest=MODEL,
            version=1,
            job="job-1",
            indexed_at="2026-11-01T12:00:00+00:00",
            category=f"category-{category:02}",
            category_declared=f"Category {category:02}",
            category_predicted=f"category-{category:02}",
            category_confidence=round(float(random.uniform(0.5, 1.0)), 4),
            attributes=("cotton", "striped", "long-sleeve")[: int(random.integers(0, 4))],
            width=400,
            height=533,
            product_id=f"p{number // VIEWS:07}",
            brand=BRANDS[int(random.integers(len(BRANDS)))],
            price=round(float(random.lognormal(3.7, 0.6)), 2),
            currency="EUR",
            colour=COLOURS[int(random.integers(len(COLOURS)))],
            in_stock=bool(random.random() < 0.5),
            title=f"Striped garment number {number // VIEWS} in cotton",
            url=f"https://shop.example/p{number // VIEWS:07}",
        )
        made.append(Point(id=point_id(CATALOG, key), version=1, vector=vector, payload=payload))
    return made


# ------------------------------------------------------------------------------------------------------------- fitting


def neighbourhood(vectors: Vectors) -> dict[str, list[float]]:
    """What decides how hard a search among these (N, D) vectors is, each as quantiles 5, 25, 50, 75 and 95 %.

    The local intrinsic dimension is the maximum-likelihood estimate over 100 neighbours (Levina and Bickel, 2004).
    """
    cosines = vectors @ vectors.T
    np.fill_diagonal(cosines, -1.0)
    nearest = -np.sort(-cosines, axis=1)[:, :100]
    distances = np.sqrt(np.maximum(1e-9, 2.0 - 2.0 * nearest))
    ratios = np.log(distances[:, :99] / distances[:, 99:]).clip(max=-1e-6)
    measured = {f"cosine of neighbour {rank}": nearest[:, rank - 1] for rank in (1, 10, 100)}
    measured["local dimension"] = -1.0 / ratios.mean(axis=1)
    return {name: [round(float(q), 3) for q in np.quantile(values, _QUANTILES)] for name, values in measured.items()}


def fit(vectors: Vectors, labels: Sequence[str]) -> EmbeddingShape:
    """The shape of real embeddings (N, D) of length 1 with their labels.

    Shares, centres and spectrum are theirs; styles and unevenness are those of a small grid that come nearest to the
    real neighbourhood.
    """
    named = np.array(labels)
    kept = [label for label, count in zip(*np.unique(named, return_counts=True), strict=True) if count >= _FEWEST]
    centres = np.stack([vectors[named == label].mean(axis=0, dtype=np.float64) for label in kept])
    within = np.concatenate(
        [vectors[named == label] - centre for label, centre in zip(kept, centres, strict=True)], dtype=np.float64
    )
    variances = np.linalg.eigvalsh(np.cov(within.T))[::-1]
    triangle = np.linalg.cholesky(centres @ centres.T + 1e-6 * np.eye(len(kept)))
    counts = np.array([int((named == label).sum()) for label in kept])
    known = {
        "shares": tuple(round(float(share), 4) for share in counts / counts.sum()),
        "centres": tuple(tuple(round(float(v), 3) for v in row[: n + 1]) for n, row in enumerate(triangle)),
        "spectrum": tuple(float(f"{max(variances[rank], _LEAST_VARIANCE):.3g}") for rank in _RANKS),
    }
    real = neighbourhood(vectors)
    shapes = [
        EmbeddingShape(**known, styles=styles, style_share=share, unevenness=uneven)  # type: ignore[arg-type]
        for styles, share, uneven in product((20, 40, 80, 160), (0.2, 0.3, 0.4, 0.5), (0.3, 0.4, 0.5))
    ]
    return min(shapes, key=lambda shape: _distance(real, neighbourhood(Clusters(shape).draw(len(vectors)).vectors)))


def _distance(real: Mapping[str, Sequence[float]], drawn: Mapping[str, Sequence[float]]) -> float:
    """Mean absolute difference of the quantiles, a dimension counting as a hundredth of cosine."""
    scale = {"local dimension": 0.01}
    apart = [scale.get(name, 1.0) * np.abs(np.subtract(real[name], drawn[name])).mean() for name in real]
    return float(np.mean(apart))


def embed_photographs(folder: Path) -> tuple[Vectors, list[str]]:
    """The default model's embeddings of the photographs named in `folder`/images.csv, and their labels."""
    from workers.adapters.bundle import default_bundle
    from workers.adapters.embedder.openvino import OpenVinoEmbedder
    from workers.imaging.decode import DecodeLimits
    from workers.imaging.preprocess import prepare

    limits = DecodeLimits(max_bytes=50_000_000, max_pixels=100_000_000)
    embedder = OpenVinoEmbedder(default_bundle())
    with (folder / "images.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    vectors: list[Vectors] = []
    for start in range(0, len(rows), embedder.batch_size):
        part = rows[start : start + embedder.batch_size]
        pixels = [prepare((folder / row["image"]).read_bytes(), embedder.card.preprocessing, limits) for row in part]
        vectors.append(np.array(embedder.embed(np.stack(pixels)).vectors))
    embedder.close()
    stacked = np.concatenate(vectors)
    return stacked / np.linalg.norm(stacked, axis=1, keepdims=True), [row["label"] for row in rows]


def main() -> None:
    """Fit a shape to photographs and say how well drawn vectors resemble them."""
    parser = argparse.ArgumentParser(description="Fit the benchmark's vectors to embeddings of real photographs.")
    parser.add_argument("folder", type=Path, help="photographs, with images.csv (image, label)")
    parser.add_argument("--write", action="store_true", help="keep the fitted shape beside this program")
    options = parser.parse_args()
    vectors, labels = embed_photographs(options.folder)
    shape = fit(vectors, labels)
    if options.write:
        _SHAPE_FILE.write_text(json.dumps(asdict(shape)) + "\n")
    drawn = neighbourhood(Clusters(shape).draw(len(vectors)).vectors)
    print(f"{len(shape.shares)} categories of {shape.styles} styles ({shape.style_share:g} of the variance)")
    print(f"unevenness {shape.unevenness:g}; quantiles {', '.join(f'{q:.0%}' for q in _QUANTILES)}")
    for name, values in neighbourhood(vectors).items():
        print(f"{name:<24} real {values}\n{'':<24} drawn {drawn[name]}")


if __name__ == "__main__":
    main()
