"""From a run's checkpoint to a bundle: graph, quantisation, gate, calibration, measurements, card."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.torch import save_file

from schemas.model_card import (
    ATTRIBUTES_OUTPUT,
    BOX_OUTPUT,
    CATEGORY_OUTPUT,
    EMBEDDING_OUTPUT,
    GRAPH_FILE,
    WEIGHTS_FILE,
    ModelCard,
)
from training import graph as openvino_graph
from training.augment import shrink
from training.card import write_card
from training.gate import PairedLoss, fold_losses, head_losses, held_out_losses, keeps_int8
from training.graph import Engine, Precision
from training.measuring import FLOAT_ENGINE, Choices, Measured, choose_by, measure_engine
from training.model import Serving
from training.predict import predict, predict_records
from training.predictions import Predictions
from training.trained import Trained, catalog, choose_map, held_out, measured_splits, of_split
from training.views import clean_inputs, views_of

_CALIBRATION_IMAGES = 512
_GATE_VIEWS = 4
"""Augmented views beside the image itself: more decisions from the few held-out images."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Exported:
    """A bundle that was written."""

    folder: Path
    card: ModelCard
    losses: tuple[PairedLoss, ...]
    """What int8 loses against float32 on training data."""
    measured: tuple[Measured, ...]
    """What was measured: by the bundle's engine, then by the float32 network."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Asked:
    """What one engine, at temperature 1, says of the images that decide."""

    held: Predictions
    views: Predictions
    gallery: Predictions


def export(trained: Trained, folder: Path, *, name: str) -> Exported:
    """Write the bundle, measured, into a new or existing bundle folder.

    int8 is kept if the gate allows, else the graph runs in bfloat16. Temperature and no-match threshold are then chosen
    by what the chosen graph says of held-out images. A head is exported if it was trained and could be measured.

    Raises:
        ConfigurationError: too few held-out images to choose by, or nothing to measure on.
    """
    mapping = choose_map(trained)
    plain = Serving(trained.student, mapping=mapping).eval()
    exact = openvino_graph.convert(plain, trained.preprocessing, served_outputs(trained))
    int8 = openvino_graph.quantise(exact, _calibration_images(trained))
    reference, candidate = _ask(trained, Engine(exact, "f32")), _ask(trained, Engine(int8, "int8"))
    losses = (
        *held_out_losses(reference.views, candidate.views, galleries=(reference.gallery, candidate.gallery)),
        *head_losses(reference.held, candidate.held),
        *fold_losses(reference.gallery, candidate.gallery),
    )
    precision: Precision = "int8" if keeps_int8(losses) else "bf16"
    asked = candidate if precision == "int8" else _ask(trained, Engine(exact, "bf16"))
    chosen = choose_by(asked.held, asked.gallery, data=_named(asked.held))
    graph = openvino_graph.with_temperature(int8 if precision == "int8" else exact, chosen.temperature)
    serving = Serving(trained.student, temperature=chosen.temperature, mapping=mapping).eval()
    measured = _measure(trained, serving, graph, precision, chosen, name)
    partial = _write_files(serving, graph, precision, folder)
    card = write_card(
        partial,
        trained,
        name=name,
        precision=precision,
        opset=openvino_graph.opset(graph),
        losses=losses,
        measured=measured,
        outputs=served_outputs(trained),
    )
    shutil.rmtree(folder, ignore_errors=True)
    partial.rename(folder)
    return Exported(folder=folder, card=card, losses=losses, measured=measured)


def _named(held: Predictions) -> str:
    return f"{held.records[0].source}/{held.records[0].split}"


def served_outputs(trained: Trained) -> tuple[str, ...]:
    """The outputs to serve: heads that were trained and that some image with a label is there to measure on."""
    known = [r for split in measured_splits(trained.data) for r in of_split(trained.data.records, split)]
    loss, student = trained.config.loss, trained.student
    heads = {
        CATEGORY_OUTPUT: bool(loss.label or loss.soft_label) and any(r.category is not None for r in known),
        ATTRIBUTES_OUTPUT: student.attributes is not None and any(r.attributes is not None for r in known),
        BOX_OUTPUT: student.box is not None and any(r.box is not None for r in known),
    }
    return (EMBEDDING_OUTPUT, *(name for name, there in heads.items() if there))


def _calibration_images(trained: Trained) -> NDArray[np.uint8]:
    train = of_split(trained.data.records, "train")
    order = np.random.default_rng(trained.config.loop.seed).permutation(len(train))[:_CALIBRATION_IMAGES]
    return clean_inputs([train[i] for i in order], trained.preprocessing.input_size)


def _ask(trained: Trained, engine: Engine) -> _Asked:
    """Held-out images, these with augmented views of them, and the training images of their source."""
    held = held_out(trained.data)
    size = trained.preprocessing.input_size
    views = [np.stack([shrink(v, size) for v in views_of(r, _GATE_VIEWS, trained.config)]) for r in held]
    shown = [record for record in held for _ in range(_GATE_VIEWS)]
    return _Asked(
        held=predict_records(engine, held, size),
        views=engine(np.concatenate([clean_inputs(held, size), *views]), [*held, *shown]),
        gallery=predict_records(engine, catalog(trained.data, held[0].source), size),
    )


def _measure(
    trained: Trained, serving: Serving, graph: Any, precision: Precision, chosen: Choices, name: str
) -> tuple[Measured, ...]:
    """Bundle and float32 network side by side, at the same temperature and threshold."""
    engine = Engine(graph, precision)
    data, preprocessing = trained.data, trained.preprocessing
    return (
        measure_engine(engine, data, preprocessing, chosen, engine=f"openvino-{precision}", source=name),
        measure_engine(
            lambda inputs, records: predict(serving, inputs, records),
            data,
            preprocessing,
            Choices(temperature=chosen.temperature, no_match=None, catalog=None),
            engine=FLOAT_ENGINE,
            source=trained.checkpoint,
        ),
    )


def _write_files(serving: Serving, graph: Any, precision: Precision, folder: Path) -> Path:
    """Graph and weights in a folder beside the one to be replaced.

    The weights are everything that was trained or fitted, in half precision: half the size, and no prediction changes.
    """
    partial = folder.with_name(folder.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    openvino_graph.save(graph, partial / GRAPH_FILE, half=precision != "int8")
    state = serving.state_dict()
    save_file(
        {n: t.half().contiguous() if t.is_floating_point() else t for n, t in state.items()}, partial / WEIGHTS_FILE
    )
    return partial
