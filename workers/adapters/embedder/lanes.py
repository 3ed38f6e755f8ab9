"""Batches side by side: as many as the engine has lanes, each in the hands of one caller.

A lane is one place to run a batch of fixed size: an inference request of OpenVINO, or buffers, stream and captured graph
on a GPU.
"""

from __future__ import annotations

import queue
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from workers.errors import ContractError

Outputs = Mapping[str, NDArray[np.float32]]


class Lane(Protocol):
    """Runs one batch at a time."""

    def run(self, images: NDArray[np.uint8]) -> Outputs:
        """What comes out for (n, S, S, 3) images, n from 1 to the lane's batch: n rows each, in memory of their own."""
        ...


class Lanes:
    """The lanes of one engine, shared by the threads that call it."""

    def __init__(self, lanes: Sequence[Lane], *, batch: int) -> None:
        """All lanes take `batch` images at once."""
        self._batch = batch
        self._count = len(lanes)
        self._idle: queue.SimpleQueue[Lane | None] = queue.SimpleQueue()
        """Lanes nobody uses; None in it says that the engine was closed."""
        for lane in lanes:
            self._idle.put(lane)

    def __len__(self) -> int:
        """Batches at once."""
        return self._count

    def run(self, images: NDArray[np.uint8]) -> Outputs:
        """The outputs of (N, S, S, 3) images, N >= 1, one batch after the other on one lane; waits while all are in use.

        Raises:
            ContractError: the engine was closed.
        """
        with self._lane() as lane:
            done = [lane.run(images[i : i + self._batch]) for i in range(0, len(images), self._batch)]
        return {name: np.concatenate([outputs[name] for outputs in done]) for name in done[0]}

    def close(self) -> None:
        """Let go of the lanes once what runs has ended; closing twice is harmless."""
        held = [self._idle.get() for _ in range(self._count)]
        for _ in held:
            self._idle.put(None)

    @contextmanager
    def _lane(self) -> Iterator[Lane]:
        lane = self._idle.get()
        try:
            if lane is None:
                raise ContractError("the embedder was closed; open a new one")
            yield lane
        finally:
            self._idle.put(lane)
