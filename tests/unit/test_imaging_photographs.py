"""Real photographs: none is refused, and scaled decoding shows what a full decode shows."""

from __future__ import annotations

import io
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from schemas.model_card import Preprocessing
from workers.imaging.decode import DecodeLimits
from workers.imaging.preprocess import prepare

_ROOT = Path(__file__).parents[2]
_PHOTOGRAPHS = Path(os.environ.get("CLOTHING_DATA", _ROOT / "../shared/data/clothing"))
_EVERY = 97
"""One in so many of the 4,784, in name order."""


@pytest.mark.photographs
def test_photographs_are_prepared_as_an_independent_decode_and_resize_shows_them() -> None:
    paths = sorted(_PHOTOGRAPHS.glob("images/**/*.jpg"))[::_EVERY]
    if not paths:
        pytest.skip(f"no photographs under {_PHOTOGRAPHS}; set CLOTHING_DATA to their folder")
    differences = []
    for path in paths:
        data = path.read_bytes()
        result = prepare(data, Preprocessing(input_size=224), DecodeLimits())
        whole = Image.open(io.BytesIO(data)).convert("RGB").resize((224, 224), Image.Resampling.LANCZOS)
        differences.append(float(np.abs(result.astype(int) - np.asarray(whole)).mean()))
    assert np.mean(differences) < 5
    assert max(differences) < 15
