"""A queue service that speaks SQS's protocol, on this machine."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import boto3
import pytest

from schemas.ids import new_id

REGION = "eu-west-1"


@dataclass(frozen=True, kw_only=True, slots=True)
class Queue:
    """One queue, and its owner's side of it."""

    url: str
    region: str
    client: Any

    def send(self, *bodies: bytes | str) -> None:
        for body in bodies:
            self.client.send_message(QueueUrl=self.url, MessageBody=body if isinstance(body, str) else body.decode())

    def depth(self) -> tuple[int, int]:
        """Messages that can be received now, and those that somebody has received and not deleted."""
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        found = self.client.get_queue_attributes(QueueUrl=self.url, AttributeNames=names)["Attributes"]
        return int(found[names[0]]), int(found[names[1]])


@contextmanager
def serve_sqs(*, visibility_s: int = 30) -> Iterator[Queue]:
    """A server with one queue; the test is skipped where moto is not installed."""
    server_module = pytest.importorskip("moto.server", reason="moto[server] is not installed")
    server = server_module.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
        client = boto3.client("sqs", region_name=REGION, endpoint_url=f"http://{host}:{port}", **keys)
        made = client.create_queue(QueueName=f"images-{new_id()}", Attributes={"VisibilityTimeout": str(visibility_s)})
        yield Queue(url=made["QueueUrl"], region=REGION, client=client)
    finally:
        server.stop()
