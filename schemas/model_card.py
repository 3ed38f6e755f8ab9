"""The model card: what a bundle is, what it was trained on, what it measured. `card.json` in every bundle."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

CARD_FILE = "card.json"
GRAPH_FILE = "model.xml"
GRAPH_WEIGHTS_FILE = "model.bin"
WEIGHTS_FILE = "weights.safetensors"
DIGESTED_FILES = (GRAPH_FILE, GRAPH_WEIGHTS_FILE, WEIGHTS_FILE)
"""What a bundle's digest covers, beside preprocessing and labels; all of them are there in every bundle."""

INPUT_NAME = "images"
EMBEDDING_OUTPUT = "embedding"
CATEGORY_OUTPUT = "category"
ATTRIBUTES_OUTPUT = "attributes"
BOX_OUTPUT = "box"
"""Names of the graph's tensors. Input: uint8 (N, S, S, 3). Only trained heads have an output."""

Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
UnitInterval = Annotated[float, Field(ge=0.0, le=1.0)]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Preprocessing(_Frozen):
    """How bytes become the network's input; training and serving both run `workers.imaging` with this value."""

    input_size: int = Field(ge=32, le=1024)
    """Side of the square input in pixels."""
    resize: Literal["squash"] = "squash"
    """`squash`: both sides are scaled to `input_size` on their own; nothing is cropped, boxes stay proportional."""
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)
    """Per channel (RGB, of values in 0..1), baked into the graph: the engine takes uint8 NHWC. ImageNet's values."""


class CategoryHead(_Frozen):
    """The category head: a probability for each label, in this order, after the temperature was applied."""

    labels: tuple[str, ...]
    """Category ids of `schemas.taxonomy`."""
    temperature: float = Field(default=1.0, gt=0.0)
    """The logits are divided by it inside the graph (Guo et al. 2017); 1 means uncalibrated."""


class AttributeHead(_Frozen):
    """The attribute head: an independent probability for each label."""

    labels: tuple[str, ...]
    threshold: UnitInterval = 0.5


class BoxHead(_Frozen):
    """The box head: `x1, y1, x2, y2` as shares of the image's width and height."""

    format: Literal["xyxy_normalised"] = "xyxy_normalised"


class Heads(_Frozen):
    """The heads that were trained *and* measured. An absent head answers null everywhere."""

    category: CategoryHead | None = None
    attributes: AttributeHead | None = None
    box: BoxHead | None = None


class Metric(_Frozen):
    """One measured figure with the data it was measured on."""

    name: str
    value: float
    low: float | None = None
    high: float | None = None
    """Bounds of the 95 % confidence interval, where one was computed."""
    data: str
    """Data set and split."""
    engine: str
    """What computed it, as `openvino-int8` or `torch-float32`."""
    images: int = Field(ge=0)
    groups: int | None = Field(default=None, ge=0)
    """Senders or products among them, which the interval resamples as a whole; None: single images."""
    gallery: int | None = Field(default=None, ge=0)
    """Images each of them searched, for figures of retrieval."""


class Graph(_Frozen):
    """The serialised network the CPU engine runs."""

    precision: Literal["int8", "bf16", "f32"]
    opset: str = ""


class Provenance(_Frozen):
    """Where the weights come from, in enough detail to judge and repeat it."""

    recipe: str
    config_digest: str
    data: tuple[str, ...]
    data_digest: Digest | None = None
    """SHA-256 over every record that was trained or measured on: names, splits, labels."""
    teacher: str | None = None
    licences: tuple[str, ...] = ()
    notes: str = ""


class NoMatch(_Frozen):
    """A similarity under which an image's nearest neighbour is no match, and what it was chosen on."""

    below: float
    by: Literal["product", "category"]
    """What two images must share to be a match."""
    false_accepts: UnitInterval
    """The share that was allowed: of queries whose catalog holds no match, those that find something not below it."""
    data: str
    """Data set and split of the queries."""
    images: int = Field(ge=0)
    """Queries."""
    gallery: int = Field(ge=0)
    """Images each of them searched, its own product (category) left out; a larger catalog accepts more."""


class Likeness(_Frozen):
    """How often neighbours of a given similarity are right: a logistic curve over the cosine, and what it was fitted on.

    Platt, "Probabilistic Outputs for Support Vector Machines", 1999.
    """

    slope: float = Field(gt=0.0, allow_inf_nan=False)
    intercept: float = Field(allow_inf_nan=False)
    by: Literal["product", "category"]
    """What two images must share to be right."""
    data: str
    """Data set and split of the queries."""
    images: int = Field(ge=0)
    """Queries."""
    pairs: int = Field(ge=0)
    """Neighbours they were compared with, all together."""

    def of(self, cosine: float) -> float:
        """The calibrated share, 0 to 1, at a cosine similarity."""
        return 0.5 * (1.0 + math.tanh(0.5 * (self.slope * cosine + self.intercept)))  # the logistic, without overflow


class ModelCard(_Frozen):
    """Everything said about a bundle. The digest covers graph, weights, preprocessing and labels, never the card."""

    schema_version: Literal[1] = 1
    name: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,62}$")
    digest: Digest
    architecture: str
    """A torchvision constructor's name, as `resnet18`."""
    embedding_size: int = Field(ge=8, le=4096)
    taxonomy_version: str
    preprocessing: Preprocessing
    heads: Heads
    graph: Graph
    metrics: tuple[Metric, ...] = ()
    provenance: Provenance
    no_match_below: float | None = None
    """Cosine similarity under which the nearest neighbour is no match, where it was measured. The metrics
    `no_match_false_accept` and `no_match_true_accept` say how often it lets a wrong neighbour pass, and a right one."""
    no_match: NoMatch | None = None
    """How `no_match_below` was chosen."""
    likeness: Likeness | None = None
    """What a similarity is worth, where it was measured."""

    def metric(self, name: str, engine: str | None = None) -> Metric | None:
        """The first metric of that name (and engine), or None."""
        return next((m for m in self.metrics if m.name == name and engine in (None, m.engine)), None)


def bundle_digest(file_digests: Mapping[str, str], preprocessing: Preprocessing, heads: Heads) -> str:
    """The digest that binds a collection to a model: SHA-256 over graph, weights, preprocessing and labels.

    Args:
        file_digests: SHA-256 in hexadecimal of each of `DIGESTED_FILES`, by name.
        preprocessing: As in the card.
        heads: As in the card; labels, temperature and thresholds count, for they change what comes out.

    Raises:
        KeyError: a file's digest is missing.
    """
    covered = {
        "files": {name: file_digests[name] for name in DIGESTED_FILES},
        "preprocessing": preprocessing.model_dump(mode="json"),
        "heads": heads.model_dump(mode="json"),
    }
    return hashlib.sha256(json.dumps(covered, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
