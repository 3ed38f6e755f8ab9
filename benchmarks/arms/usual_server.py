"""The server that people write first: FastAPI with plain functions, Pillow, torchvision, torch in float32, and one matrix
product over all vectors.

    python -m benchmarks.arms.usual_server --port 8081 --vectors vectors.npy --payloads payloads.json \\
        --architecture resnet50 --input-size 224 --weights weights.safetensors

`POST /search/vector` takes {"vector": [...], "limit": 10}, `POST /search/image` a form with the file `image`.
"""

from __future__ import annotations

import argparse
import io
import json
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import uvicorn
from fastapi import FastAPI, UploadFile
from numpy.typing import NDArray
from PIL import Image
from pydantic import BaseModel
from safetensors.torch import load_file
from torchvision import transforms

from benchmarks.networks import Network


class VectorQuery(BaseModel):
    """What is asked."""

    vector: list[float]
    limit: int = 10


class Found(BaseModel):
    """A hit."""

    score: float
    payload: dict[str, Any]


def make_server(vectors: NDArray[np.float32], payloads: list[dict[str, Any]], network: Network, size: int) -> FastAPI:
    """The application."""
    app = FastAPI()
    prepare = transforms.Compose(
        [
            transforms.Resize((size, size)),
            transforms.ToTensor(),
            transforms.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
        ]
    )

    def nearest(vector: NDArray[np.float32], limit: int) -> list[Found]:
        scores = vectors @ vector
        best = np.argpartition(-scores, limit)[:limit]
        best = best[np.argsort(-scores[best])]
        return [Found(score=float(scores[i]), payload=payloads[i]) for i in best]

    @app.post("/search/vector")
    def by_vector(query: VectorQuery) -> list[Found]:
        return nearest(np.array(query.vector, dtype=np.float32), query.limit)

    @app.post("/search/image")
    def by_image(image: UploadFile, limit: Annotated[int, "hits"] = 10) -> list[Found]:
        pixels = prepare(Image.open(io.BytesIO(image.file.read())).convert("RGB"))
        with torch.inference_mode():
            embedding, _ = network(pixels.unsqueeze(0))
        return nearest(embedding[0].numpy(), limit)

    return app


def main() -> None:
    """Serve until SIGTERM."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--vectors", type=Path, required=True)
    parser.add_argument("--payloads", type=Path, required=True)
    parser.add_argument("--architecture", default="resnet18")
    parser.add_argument("--input-size", type=int, default=160)
    parser.add_argument("--weights", type=Path, required=True)
    given = parser.parse_args()
    network = Network(given.architecture)
    network.load_state_dict(load_file(given.weights))
    app = make_server(
        np.load(given.vectors, allow_pickle=False),
        json.loads(given.payloads.read_text(encoding="utf-8")),
        network.eval(),
        given.input_size,
    )
    uvicorn.run(app, host="127.0.0.1", port=given.port, log_level="warning")


if __name__ == "__main__":
    main()
