"""Networks, heads, and what they start from."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torchvision
from safetensors.torch import save_file
from torch import nn

from training.config import LossConfig, ModelConfig
from training.model import Serving, Student, build_student
from training.networks.heads import BoxHead, TrainingHeads
from training.networks.start import apply_weights, read_weights
from training.networks.trunk import RESNETS
from training.recipes import clothing, drawn, seed, smoke_stream
from workers.errors import ConfigurationError

SMALL = ModelConfig(architecture="seed", input_size=64, embedding_size=64, residual_depth=1)


@pytest.mark.parametrize("depth", [1, 3, 5])
def test_the_seeds_network_has_6n_plus_2_layers(depth: int) -> None:
    student = Student(replace(SMALL, residual_depth=depth), classes=10)
    layers = [
        name
        for name, module in student.named_modules()
        if isinstance(module, nn.Conv2d | nn.Linear) and "shortcut" not in name
    ]
    assert len(layers) == 6 * depth + 2


def test_the_seeds_network_keeps_a_fine_grid() -> None:
    output = Student(SMALL, classes=3)(torch.randn(2, 3, 64, 64))
    assert output.feature_map.shape == (2, 64, 16, 16)
    assert output.embedding.shape == (2, 64)
    assert output.logits.shape == (2, 3)


def test_a_depth_below_one_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="residual_depth is 0"):
        Student(replace(SMALL, residual_depth=0), classes=3)


@pytest.mark.parametrize(("architecture", "width"), [("resnet18", 512), ("resnet34", 512), ("resnet50", 2048)])
def test_resnets_give_512_numbers(architecture: str, width: int) -> None:
    student = Student(ModelConfig(architecture=architecture), classes=7, attributes=5, box=True).eval()  # type: ignore[arg-type]
    with torch.inference_mode():
        output = student(torch.randn(1, 3, 64, 64))
    assert student.width == width
    assert output.embedding.shape == (1, 512)
    assert output.attributes is not None
    assert output.attributes.shape == (1, 5)
    assert output.box is not None
    assert output.box.shape == (1, 4)


def test_heads_are_there_for_the_tasks_that_are_trained() -> None:
    labels, attributes = ("a", "b"), ("x", "y", "z")
    plain = build_student(clothing(), labels=labels, attributes=attributes)
    assert (plain.attributes, plain.box) == (None, None)
    full = build_student(drawn(), labels=labels, attributes=attributes)
    assert full.attributes is not None
    assert full.attributes.out_features == 3
    assert full.box is not None
    unlocated = replace(seed(), loss=replace(seed().loss, box=0.0))
    assert build_student(unlocated, labels=labels, attributes=()).box is None
    assert build_student(drawn(), labels=labels, attributes=()).attributes is None


def test_boxes_are_ordered_and_within_the_image_at_any_size() -> None:
    head = BoxHead(8)
    with torch.no_grad():
        head.corners.weight.mul_(50)
    for side in (2, 4, 7):
        boxes = head(torch.randn(64, 8, side, side) * 10)
        assert (boxes >= 0).all()
        assert (boxes <= 1).all()
        assert (boxes[:, 2:] >= boxes[:, :2]).all()


def test_serving_gives_every_head_by_its_output_name() -> None:
    student = Student(SMALL, classes=3, attributes=2, box=True).eval()
    with torch.inference_mode():
        served = Serving(student)(torch.randn(2, 3, 64, 64))
    assert {name: tuple(t.shape) for name, t in served.items()} == {
        "embedding": (2, 64),
        "category": (2, 3),
        "attributes": (2, 2),
        "box": (2, 4),
    }
    assert ((served["attributes"] > 0) & (served["attributes"] < 1)).all()


# ---------------------------------------------------------------------------------------------------- start weights


def filled(model: ModelConfig = SMALL, classes: int = 10) -> Student:
    torch.manual_seed(5)
    return Student(model, classes=classes)


def written(path: Path, tensors: dict[str, torch.Tensor]) -> str:
    save_file({name: tensor.contiguous().clone() for name, tensor in tensors.items()}, path)
    return str(path)


@pytest.mark.parametrize("prefix", ["ema.", "student."])
def test_a_checkpoint_and_a_bundle_give_the_trunk_and_what_fits_of_the_heads(tmp_path: Path, prefix: str) -> None:
    given = filled()
    path = tmp_path / "weights.safetensors"
    written(path, {prefix + name: t.half() if t.is_floating_point() else t for name, t in given.state_dict().items()})
    torch.manual_seed(9)
    student = Student(SMALL, classes=4, box=True)
    weights = read_weights(str(tmp_path if prefix == "student." else path), SMALL)
    random = apply_weights(weights, student)
    torch.testing.assert_close(student.stem[0].weight, given.stem[0].weight, atol=1e-3, rtol=1e-3)
    assert student.stem[0].weight.dtype == torch.float32
    assert {name.partition(".")[0] for name in random} == {"category", "box"}
    assert len(weights.origin) == 64


def test_training_heads_come_from_a_checkpoint_too(tmp_path: Path) -> None:
    heads = TrainingHeads(LossConfig(), embedding_size=64, width=64, pooled=6, positions=3)
    tensors = {f"ema.{n}": t for n, t in filled().state_dict().items()}
    tensors |= {f"heads.{n}": t for n, t in heads.state_dict().items()}
    weights = read_weights(written(tmp_path / "c.safetensors", tensors), SMALL)
    other = TrainingHeads(LossConfig(), embedding_size=64, width=64, pooled=6, positions=3)
    assert apply_weights(weights, filled(), other) == ()
    assert torch.equal(other.pooled.weight, heads.pooled.weight)


@pytest.mark.parametrize("architecture", RESNETS[:2])
def test_a_torchvision_state_dict_gives_the_same_features(tmp_path: Path, architecture: str) -> None:
    torch.manual_seed(1)
    network = getattr(torchvision.models, architecture)(weights=None).eval()
    model = ModelConfig(architecture=architecture)  # type: ignore[arg-type]
    student = Student(model, classes=1000).eval()
    weights = read_weights(written(tmp_path / "tv.safetensors", network.state_dict()), model)
    assert apply_weights(weights, student) == ()
    images = torch.randn(2, 3, 64, 64)
    with torch.inference_mode():
        torch.testing.assert_close(student(images).logits, network(images), atol=1e-4, rtol=1e-4)


def test_weights_of_another_architecture_are_refused_in_one_line(tmp_path: Path) -> None:
    path = written(tmp_path / "c.safetensors", {f"ema.{n}": t for n, t in filled().state_dict().items()})
    with pytest.raises(ConfigurationError, match=r"another architecture: stem.0.weight is \(64, .* \(16, ") as caught:
        apply_weights(read_weights(path, ModelConfig()), Student(ModelConfig(), classes=10))
    assert "\n" not in str(caught.value)


def test_a_missing_or_foreign_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="nothing to start from: name `imagenet`"):
        read_weights(str(tmp_path / "no.safetensors"), SMALL)
    foreign = tmp_path / "weights.pth"
    torch.save(filled().state_dict(), foreign)
    with pytest.raises(ConfigurationError, match=r"no safetensors file.*may run code"):
        read_weights(str(foreign), SMALL)


def test_imagenet_weights_that_cannot_be_downloaded_say_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    for name in ("https_proxy", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")  # nobody listens there
    with pytest.raises(ConfigurationError, match=r"cannot be downloaded .* or start from a safetensors file") as caught:
        read_weights("imagenet", ModelConfig())
    assert "\n" not in str(caught.value)


def test_imagenet_weights_come_out_of_torchs_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file in the cache is taken without a connection."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    weights = torchvision.models.ResNet18_Weights.DEFAULT
    place = tmp_path / "hub" / "checkpoints" / Path(weights.url).name
    place.parent.mkdir(parents=True)
    torch.manual_seed(1)
    network = torchvision.models.resnet18(weights=None)
    torch.save(network.state_dict(), place)
    found = read_weights("imagenet", ModelConfig())
    assert found.origin == f"torchvision {weights}"
    assert torch.equal(found.student["stem.0.weight"], network.conv1.weight)


def test_there_are_no_imagenet_weights_of_the_seeds_network() -> None:
    with pytest.raises(ConfigurationError, match="not for seed"):
        read_weights("imagenet", SMALL)


def test_the_recipe_without_a_teacher_has_no_teacher() -> None:
    assert not smoke_stream().loss.distils
    assert json.loads(smoke_stream().to_json())["loss"]["soft_label"] == 0
