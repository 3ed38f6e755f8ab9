"""What goes into every engine and what comes out, by the card of the bundle."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from schemas.model_card import (
    ATTRIBUTES_OUTPUT,
    BOX_OUTPUT,
    CATEGORY_OUTPUT,
    EMBEDDING_OUTPUT,
    ModelCard,
)
from workers.errors import ContractError
from workers.ports import Embeddings


def check_images(images: NDArray[np.uint8], card: ModelCard) -> None:
    """Refuse what is not (N, S, S, 3) uint8 with N >= 1.

    Raises:
        ContractError: wrong shape or dtype.
    """
    size = card.preprocessing.input_size
    if images.dtype != np.uint8:
        raise ContractError(f"images must be uint8, not {images.dtype}")
    if images.ndim != 4 or images.shape[1:] != (size, size, 3) or len(images) == 0:
        raise ContractError(f"images must have shape (N, {size}, {size}, 3) with N >= 1, not {images.shape}")


def output_names(card: ModelCard) -> tuple[str, ...]:
    """The outputs that the card promises: the embedding and one for each trained head."""
    heads = card.heads
    optional = (
        (CATEGORY_OUTPUT, heads.category),
        (ATTRIBUTES_OUTPUT, heads.attributes),
        (BOX_OUTPUT, heads.box),
    )
    return (EMBEDDING_OUTPUT, *(name for name, head in optional if head is not None))


def to_embeddings(outputs: Mapping[str, NDArray[np.float32]]) -> Embeddings:
    """An engine's outputs as the port's value; vectors are brought to unit length in float32."""
    return Embeddings(
        vectors=_unit(outputs[EMBEDDING_OUTPUT]),
        category=outputs.get(CATEGORY_OUTPUT),
        attributes=outputs.get(ATTRIBUTES_OUTPUT),
        boxes=outputs.get(BOX_OUTPUT),
    )


def _unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """An engine normalises in its own precision; this makes it exact to float32, and leaves a zero vector zero."""
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.maximum(norms, np.finfo(np.float32).tiny), dtype=np.float32)
