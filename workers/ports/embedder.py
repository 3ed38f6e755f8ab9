"""A model bundle on an engine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from schemas.model_card import ModelCard


@dataclass(frozen=True, kw_only=True, slots=True)
class Embeddings:
    """What the model says of N images. An array is None where the card has no such head."""

    vectors: NDArray[np.float32]
    """(N, D), L2-normalised."""
    category: NDArray[np.float32] | None
    """(N, C) probabilities in the order of the card's labels."""
    attributes: NDArray[np.float32] | None
    """(N, A) independent probabilities."""
    boxes: NDArray[np.float32] | None
    """(N, 4) x1, y1, x2, y2 as shares of width and height."""


class Embedder(Protocol):
    """A model bundle on an engine."""

    @property
    def card(self) -> ModelCard:
        """The bundle's card; its digest binds generations to this model."""
        ...

    @property
    def engine(self) -> str:
        """What runs the model, at which precision and why, in a line for people."""
        ...

    @property
    def batch_size(self) -> int:
        """Images the engine runs at once; other numbers work but waste some of it."""
        ...

    @property
    def parallel(self) -> int:
        """Batches the engine works on at once; a caller keeps it busy with that many threads in `embed`."""
        ...

    def embed(self, images: NDArray[np.uint8]) -> Embeddings:
        """Run (N, S, S, 3) uint8 RGB images, N >= 1, S as the card's `input_size`. Thread-safe.

        Raises:
            ContractError: wrong shape or dtype.
        """
        ...

    def close(self) -> None:
        """Release the engine; closing twice is harmless."""
        ...
