"""The OpenVINO graph of a bundle: preprocessing baked in, int8 by post-training quantisation, and running it."""

from __future__ import annotations

import logging
import sys
import warnings
from collections.abc import Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from schemas.model_card import CATEGORY_OUTPUT, INPUT_NAME, Preprocessing
from training.datasets.record import Record
from training.predict import to_predictions
from training.predictions import Predictions
from workers.errors import ConfigurationError

Precision = Literal["int8", "bf16", "f32"]
_BATCH = 16
_KEPT_IN_FLOAT = ("ReduceMean", "MatMul", "ReduceL2", "Maximum", "Divide", "Softmax", "Sigmoid")
"""Everything behind the last convolution: it costs next to nothing, and an embedding rounded to 8 bits before it is
normalised comes out up to 4 % too long."""

_BOX_HEAD = ".student.box"
"""In the names that tracing gives to the operations of the box head."""


class _Ordered(torch.nn.Module):
    """The chosen outputs in a fixed order, because a traced graph numbers its outputs."""

    def __init__(self, serving: torch.nn.Module, names: Sequence[str]) -> None:
        super().__init__()
        self.serving = serving
        self.names = tuple(names)

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, ...]:
        found = self.serving(images)
        return tuple(found[name] for name in self.names)


def convert(serving: torch.nn.Module, preprocessing: Preprocessing, outputs: Sequence[str]) -> Any:
    """The `openvino.Model` from uint8 (N, S, S, 3) images to the named outputs, N dynamic.

    Args:
        serving: From normalised (N, 3, S, S) images to outputs by name.
        preprocessing: Baked in.
        outputs: Which of them the graph has, as `schemas.model_card` names them.
    """
    import openvino as ov
    from openvino.preprocess import PrePostProcessor

    size = preprocessing.input_size
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        graph = ov.convert_model(_Ordered(serving, outputs).eval(), example_input=torch.zeros(1, 3, size, size))
    graph.reshape([-1, 3, size, size])
    steps = PrePostProcessor(graph)
    steps.input().tensor().set_element_type(ov.Type.u8).set_layout(ov.Layout("NHWC"))
    steps.input().model().set_layout(ov.Layout("NCHW"))
    mean, std = ([value * 255 for value in values] for values in (preprocessing.mean, preprocessing.std))
    steps.input().preprocess().convert_element_type(ov.Type.f32).mean(mean).scale(std)
    graph = steps.build()
    graph.inputs[0].set_names({INPUT_NAME})
    for output, name in zip(graph.outputs, outputs, strict=True):
        output.set_names({name})
    return graph


def with_temperature(graph: Any, temperature: float) -> Any:
    """A copy whose category logits are divided by the temperature; the graph must have been converted at 1.

    It is set after quantisation, so that it can be fitted on what the quantised graph says.
    """
    from openvino import opset13 as ops

    changed = graph.clone()
    node = changed.output(CATEGORY_OUTPUT).get_node()
    while node.get_type_name() != "Softmax":
        node = node.input_value(0).get_node()
    logits = node.input_value(0)
    scaled = ops.divide(logits, ops.constant(np.array(temperature, dtype=np.float32)))
    scaled.set_friendly_name("calibrated")
    node.input(0).replace_source_output(scaled.output(0))
    changed.validate_nodes_and_infer_types()
    return changed


def read(path: Path) -> Any:
    """The graph in a bundle.

    Raises:
        ConfigurationError: it cannot be read.
    """
    import openvino as ov

    try:
        return ov.Core().read_model(path)
    except RuntimeError as error:
        raise ConfigurationError(f"{path} is no readable graph: {str(error).strip().splitlines()[-1]}") from error


def quantise(graph: Any, images: NDArray[np.uint8]) -> Any:
    """An int8 copy of the graph, its ranges calibrated on (N, S, S, 3) images of the training split.

    The box head stays in float: corners are read off small differences. So does the first convolution: its eight-bit input
    is the picture itself, spread by the normalisation. Measured on held-out photographs, that brings the loss of
    precision@10 from 0.7 points to 0.0 for a fifth of the speed.
    """
    import nncf

    batches = [images[i : i + 1] for i in range(len(images))]
    named = [(op.get_type_name(), op.get_friendly_name()) for op in graph.get_ordered_ops()]
    first = next(name for kind, name in named if kind == "Convolution")
    kept = [first, *(name for kind, name in named if kind != "Constant" and _BOX_HEAD in name and name != first)]
    nncf.set_log_level(logging.WARNING)
    with redirect_stdout(sys.stderr):  # its progress bars; our stdout is for results
        return _quantised(graph, batches, kept)


def _quantised(graph: Any, batches: list[NDArray[np.uint8]], kept: list[str]) -> Any:
    import nncf

    there = {op.get_type_name() for op in graph.get_ops()}  # NNCF refuses a type that does not occur
    return nncf.quantize(
        graph.clone(),
        nncf.Dataset(batches),
        subset_size=len(batches),
        preset=nncf.QuantizationPreset.MIXED,
        fast_bias_correction=True,
        ignored_scope=nncf.IgnoredScope(names=kept, types=[t for t in _KEPT_IN_FLOAT if t in there]),
    )


def opset(graph: Any) -> str:
    """The newest operation set that the graph uses, as `opset14`: what an engine must know to run it."""
    versions = {str(op.get_type_info().version_id) for op in graph.get_ops()}
    return max((v for v in versions if v.startswith("opset")), key=lambda v: int(v.removeprefix("opset")))


def save(graph: Any, path: Path, *, half: bool) -> None:
    """Write the graph; `half` stores float constants as float16."""
    import openvino as ov

    ov.save_model(graph, path, compress_to_fp16=half)


class Engine:
    """A graph compiled for this CPU at the precision serving would use."""

    def __init__(self, graph: Any, precision: Precision) -> None:
        import openvino as ov

        hint = ov.Type.bf16 if precision == "bf16" else ov.Type.f32
        settings = {"INFERENCE_PRECISION_HINT": hint, "PERFORMANCE_HINT": "LATENCY"}
        self._compiled = ov.Core().compile_model(graph, "CPU", settings)

    def __call__(self, images: NDArray[np.uint8], records: Sequence[Record]) -> Predictions:
        """What the graph says of (N, S, S, 3) images, N >= 1."""
        parts = [self._compiled(images[i : i + _BATCH]) for i in range(0, len(images), _BATCH)]
        names = [output.get_any_name() for output in self._compiled.outputs]
        return to_predictions({name: np.concatenate([part[name] for part in parts]) for name in names}, records)
