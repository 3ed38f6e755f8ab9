"""One graph at one precision under one limit of instructions, which oneDNN reads once a process."""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np
import openvino as ov

BATCH = 16
HINTS = {"int8": ov.Type.f32, "f32": ov.Type.f32, "bf16": ov.Type.bf16}


def main() -> None:
    """Print the images/s of one stream of one thread: the median over batches; 0 where OpenVINO has no code for it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("graph", type=Path)
    parser.add_argument("precision", choices=tuple(HINTS))
    parser.add_argument("--seconds", type=float, default=1.0)
    given = parser.parse_args()
    core = ov.Core()
    model = core.read_model(given.graph)
    size = model.input(0).get_partial_shape()[1].get_length()
    model.reshape([BATCH, size, size, 3])
    settings = {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_NUM_THREADS": 1,
        "INFERENCE_PRECISION_HINT": HINTS[given.precision],
    }
    try:
        request = core.compile_model(model, "CPU", settings).create_infer_request()
    except RuntimeError:
        print(json.dumps({"rate": 0.0}))
        return
    images = np.random.default_rng(0).integers(0, 256, (BATCH, size, size, 3), dtype=np.uint8)
    request.infer([images])
    taken: list[float] = []
    until = time.perf_counter() + given.seconds
    while time.perf_counter() < until:
        started = time.perf_counter()
        request.infer([images], share_inputs=True, share_outputs=True)
        taken.append(time.perf_counter() - started)
    print(json.dumps({"rate": BATCH / float(np.median(taken))}))


if __name__ == "__main__":
    main()
