"""What a board shows, as values."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from workers.errors import ContractError


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Tile:
    """One picture with what is said under it.

    Raises:
        ContractError: an image that is not (H, W, 3) uint8, or a box that is not four finite numbers.
    """

    image: NDArray[np.uint8] | None
    """(H, W, 3) RGB of any size; None: the picture could not be read."""
    title: str
    """Usually the key."""
    category: str | None
    """As the model predicts it."""
    confidence: float | None
    """Of the category, 0 to 1."""
    score: float | None
    """Cosine similarity to the query; None for a query."""
    same_product: bool
    """Whether it shows the query's own product; framed green."""
    lines: tuple[str, ...] = ()
    """Further facts, one a line: brand, price."""
    box: tuple[float, ...] | None = None
    """x1, y1, x2, y2 as shares of width and height; drawn into the picture."""

    def __post_init__(self) -> None:
        image, box = self.image, self.box
        if image is not None and (image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or not image.size):
            raise ContractError(f"a tile's image is (H, W, 3) uint8 RGB, not {image.shape} {image.dtype}")
        if box is not None and (len(box) != 4 or not all(map(math.isfinite, box))):
            raise ContractError(f"a tile's box is x1, y1, x2, y2 as shares of the image, not {box}")


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Row:
    """A query and its neighbours, best first."""

    query: Tile
    hits: tuple[Tile, ...]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Board:
    """Everything on one sheet."""

    heading: str
    subheading: str
    rows: tuple[Row, ...]
