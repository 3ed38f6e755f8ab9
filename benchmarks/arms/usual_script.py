"""The script that users write: boto3, Pillow, torchvision transforms, float32 torch, a DataLoader, one upsert a batch.

The clock starts when the model is loaded and stops behind the last upsert. The vectors go into qdrant-client's local
mode: in memory, nothing on disk, no network.
"""

from __future__ import annotations

import time
import uuid
from typing import Any

import boto3
import torch
from qdrant_client import QdrantClient, models
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from benchmarks.arms.arguments import answer, list_keys, read_task
from benchmarks.networks import EMBEDDING_SIZE, usual_picture

BATCH = 32
LOADERS = 2


class BucketImages(Dataset[Any]):
    """One GET an image, decoded and transformed in the loader's process."""

    def __init__(self, endpoint_url: str, bucket: str, keys: list[str], size: int) -> None:
        self.endpoint_url, self.bucket, self.keys = endpoint_url, bucket, keys
        self.client: Any = None
        self.transform = transforms.Compose(
            [
                transforms.Resize((size, size)),
                transforms.ToTensor(),
                transforms.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
            ]
        )

    def __len__(self) -> int:
        return len(self.keys)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        if self.client is None:  # a client does not survive the fork into a loader
            self.client = boto3.client("s3", endpoint_url=self.endpoint_url)
        body = self.client.get_object(Bucket=self.bucket, Key=self.keys[index])["Body"].read()
        return self.transform(usual_picture(body)), index


def main() -> None:
    """Index the bucket."""
    task = read_task(__doc__ or "")
    network = task.weights.network()
    client = QdrantClient(":memory:")
    client.create_collection("c", models.VectorParams(size=EMBEDDING_SIZE, distance=models.Distance.COSINE))
    keys = list_keys(task)
    data = BucketImages(task.endpoint_url, task.bucket, keys, task.weights.input_size)
    started = time.perf_counter()
    with torch.inference_mode():
        for images, indices in DataLoader(data, batch_size=BATCH, num_workers=LOADERS):
            embeddings, categories = network(images)
            points = [
                models.PointStruct(
                    id=str(uuid.uuid5(uuid.NAMESPACE_URL, keys[index])),
                    vector=embedding.tolist(),
                    payload={"key": keys[index], "category": int(category.argmax())},
                )
                for embedding, category, index in zip(embeddings, categories, indices.tolist(), strict=True)
            ]
            client.upsert("c", points, wait=True)
    answer(len(keys), time.perf_counter() - started)


if __name__ == "__main__":
    main()
