"""The default bundle, from encoded bytes to category and neighbours, as its card promises."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from workers.adapters.bundle import default_bundle
from workers.adapters.embedder.openvino import OpenVinoEmbedder
from workers.imaging.limits import DecodeLimits
from workers.imaging.preprocess import prepare
from workers.ports import Embeddings
from workers.sample import catalog

PHOTOGRAPHS = Path(os.environ.get("CLOTHING_DATA") or Path(__file__).parents[3] / "shared" / "data" / "clothing")
FLOOR_TOP1 = 0.87
DRAWN_TOP1 = 0.80
"""Below the 0.89 that the card states for 641 held-out drawings: 120 other ones are measured here."""
DRAWN_NEIGHBOURS = 0.85
"""Below the 0.93 that the card states for them."""
UNSEEN_SEED = 7
"""The seed of `catalog sample`; training draws from another one."""


@pytest.fixture(scope="module")
def embedder() -> Iterator[OpenVinoEmbedder]:
    made = OpenVinoEmbedder(default_bundle())
    yield made
    made.close()


def embedded(embedder: OpenVinoEmbedder, encoded: list[bytes]) -> Embeddings:
    limits = DecodeLimits()
    return embedder.embed(np.stack([prepare(data, embedder.card.preprocessing, limits) for data in encoded]))


def top1(embedder: OpenVinoEmbedder, found: Embeddings, labels: list[str]) -> float:
    assert found.category is not None
    assert embedder.card.heads.category is not None
    names = embedder.card.heads.category.labels
    return float(np.mean([names[i] == label for i, label in zip(found.category.argmax(1), labels, strict=True)]))


def neighbours_right(vectors: np.ndarray, labels: list[str]) -> float:
    similarity = vectors @ vectors.T
    np.fill_diagonal(similarity, -np.inf)
    names = np.array(labels)
    return float((names[similarity.argmax(1)] == names).mean())


def test_drawn_garments_nobody_trained_on_are_recognised(embedder: OpenVinoEmbedder) -> None:
    images = list(catalog.draw(images=120, seed=UNSEEN_SEED))
    labels = [image.category for image in images]
    found = embedded(embedder, [image.jpeg for image in images])
    assert top1(embedder, found, labels) >= DRAWN_TOP1
    assert neighbours_right(found.vectors, labels) >= DRAWN_NEIGHBOURS


@pytest.mark.photographs
def test_the_validation_photographs_reach_what_the_card_says(embedder: OpenVinoEmbedder) -> None:
    if not (PHOTOGRAPHS / "images.csv").is_file():
        pytest.skip("the clothing photographs are absent: set CLOTHING_DATA")
    with (PHOTOGRAPHS / "images.csv").open(newline="") as lines:
        rows = [row for row in csv.DictReader(lines) if row["split"] == "validation"]
    found = embedded(embedder, [(PHOTOGRAPHS / row["image"]).read_bytes() for row in rows])
    measured = top1(embedder, found, [row["top10"] for row in rows])
    stated = embedder.card.metric("top1", f"openvino-{embedder.card.graph.precision}")
    assert stated is not None
    assert stated.data == "photographs/validation"
    assert measured >= FLOOR_TOP1
    assert measured == pytest.approx(stated.value, abs=0.01), "another CPU may round a few images differently"
