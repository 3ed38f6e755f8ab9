"""The arguments all arms share, and how they answer."""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from pathlib import Path

import boto3

from benchmarks.networks import Weights


@dataclass(frozen=True, kw_only=True, slots=True)
class Task:
    """What an arm is asked to do."""

    weights: Weights
    endpoint_url: str
    bucket: str
    images: int


def read_task(description: str) -> Task:
    """The task of the command line. Credentials come from the AWS variables."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--architecture", required=True)
    parser.add_argument("--input-size", type=int, required=True)
    parser.add_argument("--endpoint-url", default="")
    parser.add_argument("--bucket", default="")
    parser.add_argument("--images", type=int, required=True)
    given = parser.parse_args()
    weights = Weights(folder=given.weights, architecture=given.architecture, input_size=given.input_size)
    return Task(weights=weights, endpoint_url=given.endpoint_url, bucket=given.bucket, images=given.images)


def list_keys(task: Task) -> list[str]:
    """As many keys as asked for, spread evenly over the bucket."""
    pages = boto3.client("s3", endpoint_url=task.endpoint_url).get_paginator("list_objects_v2")
    keys = [item["Key"] for page in pages.paginate(Bucket=task.bucket) for item in page.get("Contents", ())]
    return [keys[i * len(keys) // task.images] for i in range(min(task.images, len(keys)))]


def answer(images: int, seconds: float) -> None:
    """Print what was measured."""
    print(json.dumps({"images": images, "seconds": seconds}))
