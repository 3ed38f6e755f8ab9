"""Running a network on images as serving prepares them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from schemas.model_card import ATTRIBUTES_OUTPUT, BOX_OUTPUT, CATEGORY_OUTPUT, EMBEDDING_OUTPUT, Preprocessing
from training.datasets.record import Record
from training.model import Student, normalise
from training.predictions import Predictions, join
from training.views import clean_inputs

_BATCH = 64
_DECODED = 1024
"""Images decoded at a time: 50 MB at 128 pixels, however large the data set."""

Predict = Callable[[NDArray[np.uint8], Sequence[Record]], Predictions]
"""An engine: (N, S, S, 3) inputs and the records they show to what it says of them."""


def predict(serving: nn.Module, inputs: NDArray[np.uint8], records: Sequence[Record]) -> Predictions:
    """What the float32 network says of (N, S, S, 3) inputs."""
    with torch.inference_mode():
        parts = [serving.eval()(images) for images in _normalised_batches(inputs)]
    return to_predictions({name: torch.cat([part[name] for part in parts]).numpy() for name in parts[0]}, records)


def predict_records(
    run: Predict, records: Sequence[Record], size: int, *, box_margin: float | None = None
) -> Predictions:
    """What an engine says of the records' images, decoded piece by piece.

    Args:
        run: The engine.
        records: At least one.
        size: Side of the engine's input in pixels.
        box_margin: Cuts images to their boxes first; None shows them whole, as serving does.

    Raises:
        ConfigurationError: an image cannot be read or decoded.
    """
    pieces = [records[i : i + _DECODED] for i in range(0, len(records), _DECODED)]
    return join([run(clean_inputs(piece, size, box_margin=box_margin), piece) for piece in pieces])


def to_predictions(outputs: Mapping[str, NDArray[np.float32]], records: Sequence[Record]) -> Predictions:
    """A network's or graph's outputs by name as predictions; vectors are brought to length 1 as the embedder does.

    A bundle without a category head gives probabilities of no category.
    """
    vectors = outputs[EMBEDDING_OUTPUT]
    return Predictions(
        records=tuple(records),
        probabilities=outputs.get(CATEGORY_OUTPUT, np.zeros((len(vectors), 0), dtype=np.float32)),
        vectors=unit(vectors),
        attributes=outputs.get(ATTRIBUTES_OUTPUT),
        boxes=outputs.get(BOX_OUTPUT),
    )


def unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """(N, D) vectors at length 1; a zero vector stays zero."""
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.maximum(norms, np.finfo(np.float32).tiny), dtype=np.float32)


def pooled_features(
    student: Student, records: Sequence[Record], size: int, *, box_margin: float | None = None
) -> NDArray[np.float32]:
    """(N, D) embeddings of the records' images before map and normalisation; arguments as `predict_records`."""
    parts: list[Tensor] = []
    for start in range(0, len(records), _DECODED):
        inputs = clean_inputs(records[start : start + _DECODED], size, box_margin=box_margin)
        with torch.inference_mode():
            parts += [student.eval()(images).embedding for images in _normalised_batches(inputs)]
    features: NDArray[np.float32] = torch.cat(parts).numpy()
    return features


def _normalised_batches(inputs: NDArray[np.uint8]) -> Iterator[Tensor]:
    preprocessing = Preprocessing(input_size=inputs.shape[1])
    for start in range(0, len(inputs), _BATCH):
        part = torch.from_numpy(inputs[start : start + _BATCH])
        yield normalise(part, preprocessing.mean, preprocessing.std)
