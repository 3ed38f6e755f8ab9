"""ONNX Runtime in float32 behind this project's own fetching: the fastembed way.

Fetching runs ahead on threads, as in the product; pictures are decoded by Pillow on two threads. The clock starts when
the model is loaded. The vectors go into qdrant-client's local mode.
"""

from __future__ import annotations

import os
import time
import uuid
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from PIL import Image
from qdrant_client import QdrantClient, models

from benchmarks.arms.arguments import answer, list_keys, read_task
from benchmarks.networks import EMBEDDING_SIZE, usual_picture
from workers.adapters.object_store import StoreOptions, open_store
from workers.flow import Ahead, grouped

BATCH = 16
MAX_BYTES = 32 * 1024 * 1024
MEAN = np.array([0.485, 0.456, 0.406], dtype=np.float32)
STD = np.array([0.229, 0.224, 0.225], dtype=np.float32)


def main() -> None:
    """Index the bucket."""
    task = read_task(__doc__ or "")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = len(os.sched_getaffinity(0))
    session = onnxruntime.InferenceSession(str(task.weights.onnx), options, providers=["CPUExecutionProvider"])
    client = QdrantClient(":memory:")
    client.create_collection("c", models.VectorParams(size=EMBEDDING_SIZE, distance=models.Distance.COSINE))
    store = open_store(f"s3://{task.bucket}", StoreOptions(endpoint_url=task.endpoint_url))
    keys = list_keys(task)
    size = task.weights.input_size

    def fetch(key: str) -> tuple[str, bytes]:
        return key, store.get(key, max_bytes=MAX_BYTES).data

    def decode(fetched: tuple[str, bytes]) -> tuple[str, NDArray[np.float32]]:
        key, data = fetched
        picture = usual_picture(data).resize((size, size), Image.Resampling.BILINEAR)
        pixels = (np.asarray(picture, dtype=np.float32) / 255 - MEAN) / STD
        return key, pixels.astype(np.float32, copy=False).transpose(2, 0, 1)

    started = time.perf_counter()
    with ThreadPoolExecutor(16) as readers, ThreadPoolExecutor(2) as decoders:
        decoded = Ahead(decoders, decode, Ahead(readers, fetch, keys, depth=64), depth=64)
        for group in grouped(decoded, BATCH):
            embeddings, categories = session.run(None, {"images": np.stack([pixels for _, pixels in group])})
            points = [
                models.PointStruct(
                    id=str(uuid.uuid5(uuid.NAMESPACE_URL, key)),
                    vector=embedding.tolist(),
                    payload={"key": key, "category": int(category.argmax())},
                )
                for (key, _), embedding, category in zip(group, embeddings, categories, strict=True)
            ]
            client.upsert("c", points, wait=True)
    answer(len(keys), time.perf_counter() - started)


if __name__ == "__main__":
    main()
