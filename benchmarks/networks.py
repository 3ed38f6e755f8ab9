"""The network that every arm of the ingest benchmark runs: one set of float weights in the form each of them takes."""

from __future__ import annotations

import hashlib
import io
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
import torchvision
from numpy.typing import NDArray
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional

from schemas.model_card import (
    CARD_FILE,
    CATEGORY_OUTPUT,
    DIGESTED_FILES,
    EMBEDDING_OUTPUT,
    GRAPH_FILE,
    WEIGHTS_FILE,
    CategoryHead,
    Graph,
    Heads,
    ModelCard,
    Preprocessing,
    Provenance,
    bundle_digest,
)
from schemas.taxonomy import TAXONOMY_VERSION, Category
from workers.imaging.decode import DecodeLimits
from workers.imaging.preprocess import prepare

EMBEDDING_SIZE = 512
CALIBRATION_IMAGES = 64
ONNX_FILE = "network.onnx"
_OUTPUTS = (EMBEDDING_OUTPUT, CATEGORY_OUTPUT)


class _Student(nn.Module):
    """Trunk and heads, by the names that a bundle's weights have."""

    def __init__(self, architecture: str) -> None:
        super().__init__()
        trunk = getattr(torchvision.models, architecture)(weights=None)
        self.stem = nn.Sequential(trunk.conv1, trunk.bn1, trunk.relu, trunk.maxpool)
        self.stages = nn.Sequential(trunk.layer1, trunk.layer2, trunk.layer3, trunk.layer4)
        self.projection = nn.Linear(trunk.fc.in_features, EMBEDDING_SIZE)
        self.category = nn.Linear(EMBEDDING_SIZE, len(Category))


class Network(nn.Module):
    """A torchvision ResNet that gives a 512-d unit embedding and ten category probabilities."""

    def __init__(self, architecture: str) -> None:
        super().__init__()
        self.student = _Student(architecture)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """`(embedding, category)` of (N, 3, S, S) normalised images."""
        positions = self.student.stages(self.student.stem(images))
        embedding = self.student.projection(positions.mean((2, 3)))
        return functional.normalize(embedding), torch.softmax(self.student.category(embedding), dim=1)


class _Named(nn.Module):
    """The network's outputs by their names, as a bundle's graph is made from."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        return dict(zip(_OUTPUTS, self.network(images), strict=True))


@dataclass(frozen=True, kw_only=True, slots=True)
class Weights:
    """Where the forms of the network lie."""

    folder: Path
    architecture: str
    input_size: int

    @property
    def onnx(self) -> Path:
        """Float32, for ONNX Runtime."""
        return self.folder / ONNX_FILE

    @property
    def bundle(self) -> Path:
        """Int8, for this project's workers."""
        return self.folder / "bundle"

    @property
    def float_bundle(self) -> Path:
        """The same network before quantisation."""
        return self.folder / "float-bundle"

    def network(self) -> Network:
        """Float32, for torch."""
        network = Network(self.architecture)
        network.load_state_dict(load_file(self.bundle / WEIGHTS_FILE))
        return network.eval()


def prepare_weights(architecture: str, *, input_size: int, folder: Path, pictures: list[Path]) -> Weights:
    """Make the network once and keep it in `folder`.

    The weights are drawn from a seed: speed does not depend on what they say. Their normalisation layers are settled on
    real pictures, so that activations stay in the range that trained ones have.

    Args:
        architecture: A torchvision ResNet, as `resnet50`.
        input_size: Side of the input in pixels.
        folder: Of the benchmark's files.
        pictures: Real photographs, for normalisation layers and the calibration of int8.
    """
    weights = Weights(
        folder=folder / f"{architecture}-{input_size}px", architecture=architecture, input_size=input_size
    )
    if (weights.bundle / CARD_FILE).is_file():
        return weights
    for made in (weights.bundle, weights.float_bundle):
        made.mkdir(parents=True, exist_ok=True)
    images = _inputs(pictures[:: max(1, len(pictures) // CALIBRATION_IMAGES)][:CALIBRATION_IMAGES], input_size)
    torch.manual_seed(1)
    network = Network(architecture)
    _settle_normalisation(network, images)
    save_file(network.state_dict(), weights.bundle / WEIGHTS_FILE)
    example = torch.zeros(1, 3, input_size, input_size)
    torch.onnx.export(
        network.eval(),
        (example,),
        weights.onnx,
        input_names=["images"],
        output_names=["embedding", "category"],
        dynamic_axes={"images": {0: "n"}, "embedding": {0: "n"}, "category": {0: "n"}},
        dynamo=False,
    )
    _write_bundles(weights, network, images)
    return weights


def _inputs(pictures: list[Path], size: int) -> NDArray[np.uint8]:
    limits, preprocessing = DecodeLimits(), Preprocessing(input_size=size)
    return np.stack([prepare(path.read_bytes(), preprocessing, limits) for path in pictures])


def _normalised(images: NDArray[np.uint8], preprocessing: Preprocessing) -> Tensor:
    planes = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (preprocessing.mean, preprocessing.std))
    return (planes - mean) / std


def _settle_normalisation(network: Network, images: NDArray[np.uint8]) -> None:
    normalised = _normalised(images, Preprocessing(input_size=images.shape[1]))
    with torch.inference_mode():
        network.train()
        for layer in network.modules():
            if isinstance(layer, nn.BatchNorm2d):
                layer.momentum = None  # the plain average of what is shown
        for start in range(0, len(normalised), 16):
            network(normalised[start : start + 16])
    network.eval()


def _write_bundles(weights: Weights, network: Network, images: NDArray[np.uint8]) -> None:
    from training.graph import convert, quantise

    exact = convert(_Named(network), Preprocessing(input_size=weights.input_size), _OUTPUTS)
    shutil.copyfile(weights.bundle / WEIGHTS_FILE, weights.float_bundle / WEIGHTS_FILE)
    _write_bundle(weights, weights.float_bundle, exact, "f32")
    _write_bundle(weights, weights.bundle, quantise(exact, images), "int8")  # last: its card says that all is there


def _write_bundle(weights: Weights, folder: Path, graph: Any, precision: Literal["int8", "f32"]) -> None:
    from training.graph import opset, save

    preprocessing = Preprocessing(input_size=weights.input_size)
    save(graph, folder / GRAPH_FILE, half=False)
    heads = Heads(category=CategoryHead(labels=tuple(category.value for category in Category)))
    digests = {n: hashlib.sha256((folder / n).read_bytes()).hexdigest() for n in DIGESTED_FILES}
    card = ModelCard(
        name=f"random-{weights.architecture}",
        digest=bundle_digest(digests, preprocessing, heads),
        architecture=weights.architecture,
        embedding_size=EMBEDDING_SIZE,
        taxonomy_version=TAXONOMY_VERSION,
        preprocessing=preprocessing,
        heads=heads,
        graph=Graph(precision=precision, opset=opset(graph)),
        provenance=Provenance(recipe="none", config_digest="0" * 64, data=("none",), notes="random weights, for speed"),
    )
    (folder / CARD_FILE).write_text(card.model_dump_json(indent=2), encoding="utf-8")


def usual_picture(data: bytes) -> Image.Image:
    """A picture as scripts open it."""
    return Image.open(io.BytesIO(data)).convert("RGB")
