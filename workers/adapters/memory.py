"""A model that needs no training: the colours of a coarse grid as embedding. The engines' twin, for tests."""

from __future__ import annotations

import hashlib
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from schemas.model_card import CategoryHead, Graph, Heads, ModelCard, Preprocessing, Provenance
from schemas.taxonomy import TAXONOMY_VERSION, Category
from workers.errors import ContractError
from workers.ports import Embeddings

GRID: Final = 4
INPUT_SIZE: Final = 32


class ColourGridEmbedder:
    """Mean colours of a 4 x 4 grid, centred and normalised: 48-d, deterministic, near for pictures that look alike."""

    def __init__(self, *, name: str = "colour-grid", batch_size: int = 16) -> None:
        """Another `name` is another model, with another digest."""
        self.card = ModelCard(
            name=name,
            digest=hashlib.sha256(name.encode()).hexdigest(),
            architecture="colour-grid",
            embedding_size=GRID * GRID * 3,
            taxonomy_version=TAXONOMY_VERSION,
            preprocessing=Preprocessing(input_size=INPUT_SIZE),
            heads=Heads(category=CategoryHead(labels=tuple(c.value for c in Category))),
            graph=Graph(precision="f32"),
            provenance=Provenance(recipe="none", config_digest="", data=()),
        )
        self.engine = "colours of a coarse grid"
        self.batch_size = batch_size
        self.images_embedded = 0
        """How many images were really run, for tests that count inference."""

    @property
    def parallel(self) -> int:
        """One batch at a time."""
        return 1

    def embed(self, images: NDArray[np.uint8]) -> Embeddings:
        """See the port."""
        if images.dtype != np.uint8 or images.shape[1:] != (INPUT_SIZE, INPUT_SIZE, 3):
            raise ContractError(
                f"the model takes uint8 (N, {INPUT_SIZE}, {INPUT_SIZE}, 3), not {images.dtype} {images.shape}"
            )
        self.images_embedded += len(images)
        grids = np.stack([cv2.resize(image, (GRID, GRID), interpolation=cv2.INTER_AREA) for image in images])
        vectors = grids.reshape(len(images), -1).astype(np.float32) - 127.0
        vectors[:, 0] += 1e-3  # an even grey picture has a direction, too
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        scores = np.exp(4.0 * vectors[:, : len(Category)])
        return Embeddings(
            vectors=vectors,
            category=(scores / scores.sum(axis=1, keepdims=True)).astype(np.float32),
            attributes=None,
            boxes=None,
        )

    def close(self) -> None:
        """See the port."""
