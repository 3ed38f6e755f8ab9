"""Random but plausible predictions with everything known about every image."""

from __future__ import annotations

import numpy as np

from training.datasets.record import Record
from training.predictions import Predictions


def unit(rows: np.ndarray) -> np.ndarray:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def record(
    number: int,
    *,
    category: int | None = 0,
    source: str = "made",
    split: str = "validation",
    group: str | None = None,
    product: str | None = None,
    attributes: tuple[int, ...] | None = None,
    box: tuple[float, float, float, float] | None = None,
) -> Record:
    return Record(
        name=f"{split}-{number}",
        source=source,
        split=split,  # type: ignore[arg-type]
        group=group or f"group-{number}",
        category=category,
        trust=0.0 if category is None else 1.0,
        product=product,
        attributes=attributes,
        box=box,
        data=b"",
    )


def predictions(
    n: int = 120,
    classes: int = 8,
    dims: int = 16,
    *,
    seed: int = 0,
    attributes: int = 0,
    boxes: bool = False,
    products: int = 0,
    split: str = "validation",
    world: int = 0,
    noise: float = 1.0,
) -> Predictions:
    """N images of `classes` categories (and `products` products), told apart more often than not.

    Sets with the same `world` have the same categories and products, so that one can be searched by the other.
    """
    rng, fixed = np.random.default_rng(seed), np.random.default_rng(1000 + world)
    labels = rng.integers(0, classes, n)
    centres = fixed.normal(size=(classes, dims))
    shapes = fixed.normal(size=(max(products, 1), dims))
    shown = rng.integers(0, max(products, 1), n)
    logits = rng.normal(size=(n, classes)) + 1.5 * np.eye(classes)[labels]
    probabilities = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    has = rng.integers(-1, 2, (n, attributes))
    corners = np.sort(rng.random((n, 2, 2)), axis=1).reshape(n, 4)
    found = np.sort(np.clip(corners.reshape(n, 2, 2) + 0.1 * rng.normal(size=(n, 2, 2)), 0, 1), axis=1).reshape(n, 4)
    return Predictions(
        records=tuple(
            record(
                i,
                category=int(labels[i]),
                split=split,
                product=f"p{shown[i]}" if products else None,
                attributes=tuple(int(v) for v in has[i]) if attributes else None,
                box=tuple(corners[i].tolist()) if boxes else None,  # type: ignore[arg-type]
            )
            for i in range(n)
        ),
        probabilities=probabilities.astype(np.float32),
        vectors=unit(centres[labels] + 0.7 * shapes[shown] + noise * rng.normal(size=(n, dims))),
        attributes=(0.3 * rng.random((n, attributes)) + 0.35 * (has == 1)).astype(np.float32) if attributes else None,
        boxes=found.astype(np.float32) if boxes else None,
    )
