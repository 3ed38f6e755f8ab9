"""What the torch engine adds to the port: every head by its weights, and clear words for bundles it cannot run."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from schemas.model_card import CARD_FILE, WEIGHTS_FILE, AttributeHead, BoxHead, CategoryHead, Heads
from tests.support.images import blobs
from training.config import ModelConfig
from training.model import Serving, Student, normalise
from workers.adapters.bundle import Bundle, compute_digest, default_bundle, load_bundle
from workers.adapters.embedder.network import BundleNetwork
from workers.adapters.embedder.torch import TorchEmbedder
from workers.errors import ConfigurationError, ContractError

CELLS = 16
"""The box head sees 4 x 4 cells."""


def rewritten(folder: Path, *, add: dict[str, torch.Tensor] | None = None, drop: str = "-", **changes: Any) -> Bundle:
    """The default bundle with other weights and card, its digest made to fit."""
    shutil.copytree(default_bundle().folder, folder)
    weights = {n: t for n, t in load_file(folder / WEIGHTS_FILE).items() if not n.startswith(drop)} | (add or {})
    save_file(weights, folder / WEIGHTS_FILE)
    card = default_bundle().card.model_copy(update=changes)
    (folder / CARD_FILE).write_text(card.model_dump_json())
    card = card.model_copy(update={"digest": compute_digest(folder)})
    (folder / CARD_FILE).write_text(card.model_dump_json())
    return load_bundle(folder)


def head_weights() -> dict[str, torch.Tensor]:
    torch.manual_seed(3)
    shapes = {
        "student.attributes.weight": (5, 512),
        "student.attributes.bias": (5,),
        "student.box.reduce.weight": (8, 512, 1, 1),
        "student.box.reduce.bias": (8,),
        "student.box.hidden.weight": (6, 8 * CELLS),
        "student.box.hidden.bias": (6,),
        "student.box.corners.weight": (4, 6),
        "student.box.corners.bias": (4,),
    }
    return {name: torch.randn(shape) * 0.1 for name, shape in shapes.items()}


def test_every_head_answers(tmp_path: Path) -> None:
    heads = default_bundle().card.heads.model_copy(
        update={"attributes": AttributeHead(labels=("a", "b", "c", "d", "e")), "box": BoxHead()}
    )
    bundle = rewritten(tmp_path / "b", add=head_weights(), heads=heads)
    images = blobs(5, bundle.card.preprocessing.input_size)
    found = TorchEmbedder(bundle, batch_size=4).embed(images)
    assert found.attributes is not None
    assert found.boxes is not None
    assert found.attributes.shape == (5, 5)
    assert 0 < found.attributes.min() < found.attributes.max() < 1
    assert found.boxes.shape == (5, 4)
    assert (found.boxes[:, :2] <= found.boxes[:, 2:]).all()
    assert found.boxes.std(0).min() > 0
    plain = TorchEmbedder(default_bundle()).embed(images)
    np.testing.assert_allclose(found.vectors, plain.vectors, atol=1e-4)


@pytest.mark.parametrize(("architecture", "embedding_size"), [("resnet18", 512), ("resnet50", 96)])
def test_it_computes_what_training_exports(architecture: str, embedding_size: int) -> None:
    """Every head, a projection and a map, with statistics that folding has to take along."""
    torch.manual_seed(5)
    config = ModelConfig(architecture=architecture, embedding_size=embedding_size)  # type: ignore[arg-type]
    student = Student(config, classes=10, attributes=3, box=True)
    images = torch.from_numpy(blobs(4, 64))
    card = default_bundle().card.model_copy(
        update={
            "architecture": architecture,
            "embedding_size": embedding_size,
            "heads": Heads(
                category=CategoryHead(labels=tuple("0123456789"), temperature=0.5),
                attributes=AttributeHead(labels=("a", "b", "c")),
                box=BoxHead(),
            ),
        }
    )
    planes = normalise(images, card.preprocessing.mean, card.preprocessing.std)
    student(planes)  # in training mode: its normalisation layers have seen something
    exported = Serving(student, temperature=0.5, mapping=torch.nn.Linear(embedding_size, embedding_size)).eval()
    with torch.no_grad():
        expected = exported(planes)
        found = BundleNetwork(card, exported.state_dict())(images)
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        torch.testing.assert_close(found[name], values, atol=1e-4, rtol=1e-3)


def test_bf16_stays_near_float32() -> None:
    images = blobs(6, default_bundle().card.preprocessing.input_size)
    exact = TorchEmbedder(default_bundle()).embed(images)
    rounded = TorchEmbedder(default_bundle(), precision="bf16").embed(images)
    assert 0.99 < (exact.vectors * rounded.vectors).sum(1).min() < 0.999999
    np.testing.assert_allclose(np.linalg.norm(rounded.vectors, axis=1), 1, atol=1e-5)


def test_an_architecture_it_does_not_know_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ContractError, match=r"not vgg11: set CATALOG_ENGINE=openvino"):
        TorchEmbedder(rewritten(tmp_path / "b", architecture="vgg11"))


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ContractError, match=r"weights\.safetensors does not fit a resnet34"):
        TorchEmbedder(rewritten(tmp_path / "b", architecture="resnet34"))


def test_a_promised_head_without_weights_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ContractError, match="lacks the heads category"):
        TorchEmbedder(rewritten(tmp_path / "b", drop="student.category"))


def test_a_card_that_promises_another_width_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ContractError, match="512 dimensions, its card says 256"):
        TorchEmbedder(rewritten(tmp_path / "b", embedding_size=256))


def test_a_file_that_is_no_safetensors_is_refused(tmp_path: Path) -> None:
    folder = rewritten(tmp_path / "b").folder
    (folder / WEIGHTS_FILE).write_bytes(b"\x80\x04pickled")
    card = default_bundle().card.model_copy(update={"digest": compute_digest(folder)})
    (folder / CARD_FILE).write_text(card.model_dump_json())
    with pytest.raises(ContractError, match=r"weights\.safetensors cannot be read"):
        TorchEmbedder(load_bundle(folder))


def test_a_batch_size_below_one_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="at least 1"):
        TorchEmbedder(default_bundle(), batch_size=0)


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU is here")
def test_a_device_that_is_not_there_is_named() -> None:
    with pytest.raises(ConfigurationError, match="torch sees no GPU for the device cuda:1"):
        TorchEmbedder(default_bundle(), device="cuda:1")
