"""What of a picture the model's answer hangs on, found by covering parts of it.

Zeiler and Fergus, "Visualizing and Understanding Convolutional Networks", ECCV 2014, section 4.2: a patch that matters takes
the answer along when it is covered. It asks nothing of the model but answers, so it holds for every engine and bundle.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from workers.ports import Embedder, Embeddings

GRID: Final = 7
"""Cells a side: a cell of a ResNet's last map at 224 pixels."""
_MARGIN: Final = 0.5
"""A patch reaches this share of a cell beyond its own on every side: anything smaller hides little of a garment,
and the answer hardly moves."""


def heat_map(pixels: NDArray[np.uint8], embedder: Embedder, *, grid: int = GRID) -> NDArray[np.float32]:
    """(grid, grid), rows from the top, 0 to 1: how much of the answer goes when that cell and its surroundings are covered.

    The answer is the probability of the picture's category; without a category head, the similarity to its own embedding.
    The cell that matters most has 1. A cell whose covering changes nothing, or makes the answer surer, has 0; all are 0
    where no cell matters.

    Args:
        pixels: (S, S, 3) The network's input, as `prepare` gives it.
        embedder: Asked once for `grid * grid + 1` images.
        grid: Cells a side, at least 1.

    Raises:
        ContractError: `pixels` is no input of the model.
    """
    answers = embedder.embed(np.concatenate([pixels[np.newaxis], covered(pixels, grid)]))
    lost = np.maximum(_strength(answers)[0] - _strength(answers)[1:], 0.0).reshape(grid, grid)
    most = float(lost.max())
    return np.asarray(lost / most if most > np.finfo(np.float32).eps else np.zeros_like(lost), dtype=np.float32)


def covered(pixels: NDArray[np.uint8], grid: int) -> NDArray[np.uint8]:
    """(grid * grid, S, S, 3) The picture with one patch after another, row by row, in the picture's mean colour."""
    size = pixels.shape[0]
    cell = size / grid
    mean = pixels.mean(axis=(0, 1)).round().astype(np.uint8)
    out = np.repeat(pixels[np.newaxis], grid * grid, axis=0)
    for number in range(grid * grid):
        row, column = divmod(number, grid)
        top, left = (max(0, round((at - _MARGIN) * cell)) for at in (row, column))
        bottom, right = (min(size, round((at + 1 + _MARGIN) * cell)) for at in (row, column))
        out[number, top:bottom, left:right] = mean
    return out


def _strength(answers: Embeddings) -> NDArray[np.float32]:
    """(N,) of each image, how much of the first one's answer is still there."""
    if answers.category is not None:
        strength = answers.category[:, int(answers.category[0].argmax())]
    else:
        strength = answers.vectors @ answers.vectors[0]
    return np.asarray(strength, dtype=np.float32)
