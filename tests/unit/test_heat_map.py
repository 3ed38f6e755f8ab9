"""The heat map finds what an answer hangs on, by engines whose answer is known."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest
from numpy.typing import NDArray

from schemas.model_card import ModelCard
from tests.support.workshops import picture
from workers.adapters.bundle import default_bundle
from workers.adapters.embedder.openvino import OpenVinoEmbedder
from workers.adapters.memory import ColourGridEmbedder
from workers.imaging.decode import DecodeLimits
from workers.imaging.preprocess import prepare
from workers.ports import Embeddings
from workers.query.heat_map import covered, heat_map

SIDE = 56


@dataclass
class Corner:
    """Is as sure as the top right corner is red."""

    with_category: bool = True
    sign: float = 1.0
    engine: str = "corner"
    batch_size: int = 16
    parallel: int = 1

    @property
    def card(self) -> ModelCard:
        return ColourGridEmbedder().card

    def embed(self, images: NDArray[np.uint8]) -> Embeddings:
        red = images[:, :8, -8:, 0].mean(axis=(1, 2)) / 255
        sure = (0.5 + 0.4 * self.sign * (red - 0.5)).astype(np.float32)
        vectors = np.stack([red, 1 - red], axis=1).astype(np.float32)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        category = np.stack([sure, 0.25 * (1 - sure), 0.75 * (1 - sure)], axis=1) if self.with_category else None
        return Embeddings(vectors=vectors, category=category, attributes=None, boxes=None)

    def close(self) -> None:
        pass


def red_corner() -> NDArray[np.uint8]:
    pixels = np.zeros((SIDE, SIDE, 3), dtype=np.uint8)
    pixels[:8, -8:, 0] = 255
    return pixels


@pytest.mark.parametrize("with_category", [True, False])
def test_the_part_that_decides_is_hottest(with_category: bool) -> None:
    heat = heat_map(red_corner(), Corner(with_category=with_category))
    assert heat.shape == (7, 7)
    assert heat[0, 6] == 1.0
    assert heat[2:, :].max() == heat[:, :5].max() == 0.0


def test_a_picture_of_one_colour_has_no_heat() -> None:
    heat = heat_map(np.full((SIDE, SIDE, 3), 90, dtype=np.uint8), Corner())
    assert not heat.any()


def test_what_makes_the_answer_surer_is_not_heat() -> None:
    doubt = replace(Corner(), sign=-0.2)  # red speaks against the category, and covering it makes it surer
    assert not heat_map(red_corner(), doubt).any()


def test_every_pixel_is_covered_and_the_picture_itself_stays() -> None:
    pixels = red_corner()
    before = pixels.copy()
    patches = covered(np.ascontiguousarray(pixels), 3)
    assert (pixels == before).all()
    assert patches.shape == (9, SIDE, SIDE, 3)
    assert (patches != pixels).any(axis=3).any(axis=0)[:8, -8:].all()


def test_with_the_models_own_graph() -> None:
    bundle = default_bundle()
    engine = OpenVinoEmbedder(bundle, batch_size=16)
    heat = heat_map(prepare(picture(3, side=160), bundle.card.preprocessing, DecodeLimits()), engine)
    assert heat.shape == (7, 7)
    assert (heat.min(), heat.max()) == (0.0, 1.0)
    engine.close()
