"""What the model sees in pictures, without any index."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from workers.errors import ItemError
from workers.flow import Ahead, grouped
from workers.imaging.decode import DecodeLimits
from workers.imaging.preprocess import prepare
from workers.impressions import Impression, impression_of
from workers.ports import Embedder

P = TypeVar("P")


def classify(
    pictures: Iterable[P], *, embedder: Embedder, limits: DecodeLimits, read: Callable[[P], bytes]
) -> Iterator[tuple[P, Impression | ItemError]]:
    """Each picture with the impression it makes, or the error that says why not, in order, in batches of the engine.

    `read` gives a picture's bytes and may raise ItemError; it is called on as many threads as the engine has streams.
    """

    def look(group: list[P]) -> list[tuple[P, Impression | ItemError]]:
        decoded = [_decoded(picture, embedder, limits, read) for picture in group]
        seen = iter(_seen([pixels for pixels in decoded if not isinstance(pixels, ItemError)], embedder))
        return [
            (picture, pixels if isinstance(pixels, ItemError) else next(seen))
            for picture, pixels in zip(group, decoded, strict=True)
        ]

    with ThreadPoolExecutor(embedder.parallel, thread_name_prefix="classify") as threads:
        groups = Ahead(threads, look, grouped(pictures, embedder.batch_size), depth=embedder.parallel)
        with closing(groups):
            for group in groups:
                yield from group


def _decoded(
    picture: P, embedder: Embedder, limits: DecodeLimits, read: Callable[[P], bytes]
) -> NDArray[np.uint8] | ItemError:
    try:
        return prepare(read(picture), embedder.card.preprocessing, limits)
    except ItemError as error:
        return error


def _seen(images: Sequence[NDArray[np.uint8]], embedder: Embedder) -> Iterator[Impression | ItemError]:
    if not images:
        return
    embeddings = embedder.embed(np.stack(images))
    for row in range(len(images)):
        try:
            yield impression_of(embeddings, row, embedder.card)
        except ItemError as error:
            yield error
