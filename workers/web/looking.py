"""What a model sees in one picture, for a route."""

from __future__ import annotations

from typing import Any

import numpy as np

from workers.bootstrap import Process
from workers.imaging.decode import DecodeLimits
from workers.imaging.preprocess import Crop, prepare
from workers.impressions import Impression, impression_of
from workers.query.heat_map import heat_map as draw_heat_map


def look(
    process: Process, digest: str, picture: bytes, *, crop: Crop | None, heat_map: bool, limits: DecodeLimits
) -> tuple[Impression, dict[str, Any] | None]:
    """The impression that a picture makes on a model, and the heat map where it is asked for.

    Raises:
        ItemError: the picture cannot be used; the reason says why.
    """
    embedder = process.serving_embedder(digest)
    pixels = prepare(picture, embedder.card.preprocessing, limits, crop=crop)
    seen = impression_of(embedder.embed(pixels[np.newaxis]), 0, embedder.card)
    if not heat_map:
        return seen, None
    shares = draw_heat_map(pixels, embedder)
    rows, columns = shares.shape
    return seen, {"rows": rows, "columns": columns, "values": shares.round(4).astype(float).tolist()}
