"""A tiny real bundle: an OpenVINO graph that averages colours. Real engine and files, no training, milliseconds."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import openvino as ov
from openvino import opset15 as ops
from safetensors.numpy import save_file

from schemas.model_card import (
    CARD_FILE,
    CATEGORY_OUTPUT,
    DIGESTED_FILES,
    EMBEDDING_OUTPUT,
    GRAPH_FILE,
    INPUT_NAME,
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

SIDE = 32
GRID = 4


def write_bundle(folder: Path, *, name: str = "colour-grid", ballast: int = 0) -> Path:
    """A bundle whose embedding is a 4 x 4 grid of mean colours; another name gives other weights and so another digest.

    `ballast` makes it slow: so many multiplications by a 1024 x 1024 matrix an image, with no effect on the result.
    """
    folder.mkdir(parents=True)
    seed = int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "big")
    weights = np.random.default_rng(seed).normal(size=(GRID * GRID * 3, len(Category))).astype(np.float32)
    ov.save_model(_graph(weights, ballast), folder / GRAPH_FILE, compress_to_fp16=False)
    save_file({"category.weight": weights}, folder / WEIGHTS_FILE)
    preprocessing = Preprocessing(input_size=SIDE)
    heads = Heads(category=CategoryHead(labels=tuple(c.value for c in Category)))
    digests = {file: hashlib.sha256((folder / file).read_bytes()).hexdigest() for file in DIGESTED_FILES}
    card = ModelCard(
        name=name,
        digest=bundle_digest(digests, preprocessing, heads),
        architecture="colour-grid",
        embedding_size=GRID * GRID * 3,
        taxonomy_version=TAXONOMY_VERSION,
        preprocessing=preprocessing,
        heads=heads,
        graph=Graph(precision="f32"),
        provenance=Provenance(recipe="none", config_digest=hashlib.sha256(name.encode()).hexdigest(), data=("none",)),
    )
    (folder / CARD_FILE).write_text(card.model_dump_json(indent=2), encoding="utf-8")
    return folder


def _graph(weights: np.ndarray, ballast: int) -> ov.Model:
    images = ops.parameter([-1, SIDE, SIDE, 3], dtype=np.uint8, name=INPUT_NAME)
    images.output(0).tensor.set_names({INPUT_NAME})
    values = ops.subtract(ops.convert(images, np.float32), np.float32(127.0))
    cell = SIDE // GRID
    cells = ops.reshape(values, np.array([0, GRID, cell, GRID, cell, 3]), special_zero=True)
    grid = ops.reshape(ops.reduce_mean(cells, np.array([2, 4])), np.array([0, -1]), special_zero=True)
    if ballast:
        matrix = ops.constant(np.full((1024, 1024), 1e-4, dtype=np.float32))
        load = ops.tile(ops.reduce_mean(grid, np.array([1]), keep_dims=True), np.array([1, 1024]))
        for _ in range(ballast):
            load = ops.matmul(load, matrix, False, False)
        grid = ops.add(grid, ops.multiply(ops.reduce_mean(load, np.array([1]), keep_dims=True), np.float32(1e-12)))
    vector = ops.normalize_l2(ops.add(grid, np.float32(1e-3)), np.array([1]), 1e-12, "add")
    category = ops.softmax(ops.matmul(vector, ops.constant(weights), False, False), 1)
    vector.output(0).tensor.set_names({EMBEDDING_OUTPUT})
    category.output(0).tensor.set_names({CATEGORY_OUTPUT})
    return ov.Model([ops.result(vector), ops.result(category)], [images], "colour-grid")
