"""The engine alone: the same batch of pixels again and again, with the settings that a worker uses."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from benchmarks.arms.arguments import answer, read_task
from workers.adapters.bundle import load_bundle
from workers.bootstrap import Process
from workers.settings import load_settings

WARM_UP_BATCHES = 8


def main() -> None:
    """Run the engine on `images` images."""
    task = read_task(__doc__ or "")
    size = task.weights.input_size
    with Process(load_settings()) as process:
        embedder = process.open_embedder(load_bundle(task.weights.bundle))
        rng = np.random.default_rng(0)
        images = rng.integers(0, 256, (embedder.batch_size, size, size, 3), dtype=np.uint8)
        batches = max(1, task.images // embedder.batch_size)
        with ThreadPoolExecutor(embedder.parallel) as engine:
            list(engine.map(embedder.embed, [images] * WARM_UP_BATCHES))
            started = time.perf_counter()
            list(engine.map(embedder.embed, [images] * batches))
            answer(batches * embedder.batch_size, time.perf_counter() - started)


if __name__ == "__main__":
    main()
