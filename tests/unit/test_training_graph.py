"""The exported graph against the network it was made of, with every head there can be."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from schemas.model_card import (
    ATTRIBUTES_OUTPUT,
    BOX_OUTPUT,
    CATEGORY_OUTPUT,
    EMBEDDING_OUTPUT,
    Preprocessing,
)
from tests.support.predictions import record
from training.graph import Engine, convert, quantise, read, save, with_temperature
from training.predict import predict
from workers.errors import ConfigurationError

OUTPUTS = (EMBEDDING_OUTPUT, CATEGORY_OUTPUT, ATTRIBUTES_OUTPUT, BOX_OUTPUT)
SIZE = 32
RECORDS = [record(i) for i in range(24)]


class Tiny(nn.Module):
    """Two convolutions with all heads, answering as `training.model.Serving` does."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.trunk = nn.Sequential(
            nn.Conv2d(3, 8, 3, stride=2, padding=1), nn.ReLU(), nn.Conv2d(8, 16, 3, stride=2, padding=1), nn.ReLU()
        )
        self.category = nn.Linear(16, 5)
        self.attributes = nn.Linear(16, 7)
        self.box = nn.Linear(16 * 4, 4)

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        features = self.trunk(images)
        pooled = features.mean((2, 3))
        places = functional.adaptive_avg_pool2d(features, 2).flatten(1)
        return {
            BOX_OUTPUT: torch.sigmoid(self.box(places)),
            CATEGORY_OUTPUT: torch.softmax(8 * self.category(pooled), dim=1),
            EMBEDDING_OUTPUT: functional.normalize(pooled),
            ATTRIBUTES_OUTPUT: torch.sigmoid(4 * self.attributes(pooled)),
        }


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    coarse = np.random.default_rng(0).integers(0, 256, (24, 4, 4, 3), dtype=np.uint8)
    return coarse.repeat(SIZE // 4, axis=1).repeat(SIZE // 4, axis=2)


@pytest.fixture(scope="module")
def preprocessing() -> Preprocessing:
    return Preprocessing(input_size=SIZE)


def test_every_output_is_what_torch_says(images: np.ndarray, preprocessing: Preprocessing) -> None:
    ours = predict(Tiny(), images, RECORDS)
    theirs = Engine(convert(Tiny(), preprocessing, OUTPUTS), "f32")(images, RECORDS)
    assert theirs.records == tuple(RECORDS)
    for name in ("vectors", "probabilities", "attributes", "boxes"):
        assert np.ptp(getattr(ours, name), axis=0).max() > 0.01, f"{name} depend on the image"
        np.testing.assert_allclose(getattr(theirs, name), getattr(ours, name), atol=2e-5, err_msg=name)


def test_int8_keeps_every_output_near_and_survives_the_file(
    images: np.ndarray, preprocessing: Preprocessing, tmp_path: Path
) -> None:
    ours = predict(Tiny(), images, RECORDS)
    quantised = with_temperature(quantise(convert(Tiny(), preprocessing, OUTPUTS), images), 1.0)
    save(quantised, tmp_path / "model.xml", half=False)
    assert 'element_type="i8"' in (tmp_path / "model.xml").read_text()
    graph = read(tmp_path / "model.xml")
    served = Engine(graph, "int8")(images, RECORDS)
    assert ((ours.vectors * served.vectors).sum(1) > 0.99).all()
    np.testing.assert_allclose(served.probabilities, ours.probabilities, atol=0.05)
    np.testing.assert_allclose(served.attributes, ours.attributes, atol=0.05)
    np.testing.assert_allclose(served.boxes, ours.boxes, atol=0.02)


def test_only_the_chosen_outputs_are_exported(images: np.ndarray, preprocessing: Preprocessing) -> None:
    served = Engine(convert(Tiny(), preprocessing, (EMBEDDING_OUTPUT, BOX_OUTPUT)), "f32")(images, RECORDS)
    assert served.attributes is None
    assert served.probabilities.shape == (24, 0)
    assert served.boxes is not None


@pytest.mark.parametrize("temperature", [0.5, 2.0])
def test_the_temperature_is_set_in_the_quantised_graph(
    temperature: float, images: np.ndarray, preprocessing: Preprocessing
) -> None:
    graph = quantise(convert(Tiny(), preprocessing, OUTPUTS), images)
    before = Engine(graph, "int8")(images, RECORDS)
    after = Engine(with_temperature(graph, temperature), "int8")(images, RECORDS)
    scaled = np.log(before.probabilities.astype(np.float64)) / temperature
    expected = np.exp(scaled) / np.exp(scaled).sum(1, keepdims=True)
    np.testing.assert_allclose(after.probabilities, expected, atol=1e-5)
    np.testing.assert_array_equal(after.vectors, before.vectors)
    np.testing.assert_array_equal(Engine(graph, "int8")(images, RECORDS).probabilities, before.probabilities)


def test_a_broken_graph_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "model.xml").write_text("<net>")
    with pytest.raises(ConfigurationError, match="no readable graph") as caught:
        read(tmp_path / "model.xml")
    assert "\n" not in str(caught.value)
