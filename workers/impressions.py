"""What a model sees in one image, read from the engine's arrays by the words of its card."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from schemas.model_card import ModelCard
from schemas.outcomes import Reason
from workers.errors import ItemError
from workers.ports import Embeddings

NORM_TOLERANCE = 1e-2
"""How far from 1 an embedding's length may be: int8 engines normalise in float32, so more than this is a broken model."""


LIKELIEST = 5
"""Categories named of each image."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Impression:
    """What the model sees in an image."""

    vector: NDArray[np.float32]
    """(D,), L2-normalised."""
    category: str | None = None
    confidence: float | None = None
    categories: tuple[tuple[str, float], ...] | None = None
    """The likeliest categories with their probabilities, best first, at most `LIKELIEST`."""
    attributes: tuple[str, ...] | None = None
    box: tuple[float, float, float, float] | None = None


def impression_of(embeddings: Embeddings, row: int, card: ModelCard) -> Impression:
    """One image's share of the engine's answer; a head the card does not have stays None.

    Raises:
        ItemError: invalid_embedding, when the vector is not finite or not of length 1.
    """
    vector = embeddings.vectors[row]
    norm = float(np.linalg.norm(vector))
    if not abs(norm - 1.0) <= NORM_TOLERANCE:
        raise ItemError(Reason.INVALID_EMBEDDING, f"the model's vector has the length {norm:.3g} instead of 1")
    categories = None
    if embeddings.category is not None and card.heads.category is not None:
        shares, labels = embeddings.category[row], card.heads.category.labels
        categories = tuple((labels[i], float(shares[i])) for i in np.argsort(-shares, kind="stable")[:LIKELIEST])
    category, confidence = categories[0] if categories else (None, None)
    attributes = None
    if embeddings.attributes is not None and card.heads.attributes is not None:
        head = card.heads.attributes
        attributes = tuple(
            label for label, p in zip(head.labels, embeddings.attributes[row], strict=True) if p >= head.threshold
        )
    box = None
    if embeddings.boxes is not None and card.heads.box is not None:
        x1, y1, x2, y2 = (float(v) for v in embeddings.boxes[row].clip(0.0, 1.0))
        box = (x1, y1, x2, y2)
    return Impression(
        vector=vector,
        category=category,
        confidence=confidence,
        categories=categories,
        attributes=attributes,
        box=box,
    )
