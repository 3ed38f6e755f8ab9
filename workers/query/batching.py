"""Pictures of concurrent callers embedded together, without making a lone caller wait.

Nobody waits for company. A caller that finds an engine idle runs at once with what is queued; one that finds all of them
busy queues up, and whoever ends a batch hands the engine to the oldest in the queue, which takes along as many others as
fill a batch. So batches grow with the load by themselves, and a wait is bounded by the batches ahead. No thread of its own:
the batch runs on one of its callers' threads, which saves the lone caller two changes of thread.
"""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from schemas.model_card import ModelCard
from workers.errors import ConfigurationError, ContractError
from workers.ports import Embedder, Embeddings

FILLED: Final = 0.75
"""Least share of a batch that has to be filled before the next larger engine is taken: a padded batch costs as much as a
full one, while small full ones cost little more than large ones. On two cores (ResNet-18, int8) an image took 10 ms of CPU
time in batches of 1, 8.6 in 2, 7.4 in 4, 7.0 in 8 and in 16."""
_CLOSED = "the embedder was closed; open a new one"


@dataclass(kw_only=True, slots=True, eq=False)
class _Call:
    """Images of one caller, at most as many as the largest engine takes."""

    images: NDArray[np.uint8]
    """(n, S, S, 3)"""
    woken: threading.Event = field(default_factory=threading.Event)
    """Set when there is an answer, or a batch to run."""
    batch: list[_Call] | None = None
    """What this caller is to run for all of them, itself first."""
    answer: Embeddings | Exception | None = None


class BatchingEmbedder:
    """An `Embedder` in front of one engine or several of the same model, compiled for different numbers of images.

    A padded batch costs as much as a full one, so each batch goes to the smallest engine that holds it.
    """

    def __init__(self, engines: Sequence[Embedder]) -> None:
        """Nothing is started; the engines are closed by `close`.

        Args:
            engines: Of one model, with different `batch_size`. `parallel` of the largest says how many batches run at
                once.

        Raises:
            ConfigurationError: no engine, or engines of several models.
        """
        if not engines or len({engine.card.digest for engine in engines}) != 1:
            raise ConfigurationError("batching needs one or more engines of a single model")
        self._engines = sorted(engines, key=lambda engine: engine.batch_size)
        self._lock = threading.Lock()
        self._waiting: deque[_Call] = deque()
        self._idle = self._engines[-1].parallel
        """Batches that may begin now."""
        self._closed = False
        self._ran: Counter[int] = Counter()

    @property
    def card(self) -> ModelCard:
        """The model's card."""
        return self._engines[-1].card

    @property
    def engine(self) -> str:
        """What runs the model, and in which batches."""
        sizes = ", ".join(str(engine.batch_size) for engine in self._engines)
        return f"{self._engines[-1].engine}, concurrent callers together in batches of {sizes}"

    @property
    def batch_size(self) -> int:
        """Images of the largest batch."""
        return self._engines[-1].batch_size

    @property
    def parallel(self) -> int:
        """Batches at once."""
        return self._engines[-1].parallel

    def embed(self, images: NDArray[np.uint8]) -> Embeddings:
        """Run (N, S, S, 3) uint8 RGB images together with what other threads bring. Thread-safe.

        More images than the largest batch holds are brought one batch after the other, so that other callers get in
        between.

        Raises:
            ContractError: wrong shape or dtype, or the embedder was closed.
        """
        self._check(images)
        size = self.batch_size
        return _joined([self._one(images[i : i + size]) for i in range(0, len(images), size)])

    def ran(self) -> Counter[int]:
        """How often so many images were run at once."""
        with self._lock:
            return self._ran.copy()

    def close(self) -> None:
        """End waiting callers with an error and the engines once what runs has ended; closing twice is harmless."""
        with self._lock:
            self._closed = True
            waiting, self._waiting = self._waiting, deque()
        for call in waiting:
            call.answer = ContractError(_CLOSED)
            call.woken.set()
        for engine in self._engines:
            engine.close()

    def _check(self, images: NDArray[np.uint8]) -> None:
        """One caller's mistake must not reach a batch that it shares."""
        size = self.card.preprocessing.input_size
        if images.dtype != np.uint8 or images.ndim != 4 or images.shape[1:] != (size, size, 3) or not len(images):
            raise ContractError(
                f"images must be uint8 of shape (N, {size}, {size}, 3) with N >= 1, not {images.dtype} of {images.shape}"
            )

    def _one(self, images: NDArray[np.uint8]) -> Embeddings:
        call = _Call(images=images)
        with self._lock:
            if self._closed:
                raise ContractError(_CLOSED)
            if self._idle:  # then nobody is queued, for whoever ends a batch hands its place over
                self._idle -= 1
                call.batch = [call]
            else:
                self._waiting.append(call)
        if call.batch is None:
            call.woken.wait()
        if call.batch is not None:
            try:
                self._run(call.batch)
            finally:
                self._hand_over()
        if isinstance(call.answer, Exception):
            raise call.answer
        if call.answer is None:
            raise AssertionError("a call ended without an answer")
        return call.answer

    def _hand_over(self) -> None:
        """The oldest in the queue runs the next batch, with whoever is behind it and fits."""
        with self._lock:
            if not self._waiting:
                self._idle += 1
                return
            batch = [self._waiting.popleft() for _ in range(self._fitting())]
            leader = batch[0]
            leader.batch = batch
        leader.woken.set()

    def _fitting(self) -> int:
        """How many of the waiting calls, the oldest first, make the next batch."""
        best, images = 1, 0
        for count, call in enumerate(self._waiting, start=1):
            images += len(call.images)
            if images > self.batch_size:
                break
            if images >= FILLED * self._engine_for(images).batch_size:
                best = count
        return best

    def _engine_for(self, images: int) -> Embedder:
        """The smallest that holds so many, else the largest."""
        return next((engine for engine in self._engines if engine.batch_size >= images), self._engines[-1])

    def _run(self, batch: list[_Call]) -> None:
        """Answer every call of a batch. Where the engine fails on several together, each is tried alone."""
        try:
            answers: list[Embeddings | Exception] = [*self._together(batch)]
        except Exception as error:  # noqa: BLE001 - whatever the engine raises belongs to its callers
            answers = [error] if len(batch) == 1 else [self._alone(call) for call in batch]
        except BaseException:
            # This thread is being ended; the others are not.
            answers = [ContractError("the thread that embedded this image was ended; ask again") for _ in batch]
            raise
        finally:
            for call, answer in zip(batch, answers, strict=True):
                call.answer = answer
            for call in batch[1:]:
                call.woken.set()

    def _together(self, batch: list[_Call]) -> list[Embeddings]:
        images = batch[0].images if len(batch) == 1 else np.concatenate([call.images for call in batch])
        done = self._engine_for(len(images)).embed(images)
        with self._lock:
            self._ran[len(images)] += 1
        if len(batch) == 1:
            return [done]
        ends = np.cumsum([len(call.images) for call in batch])
        return [_rows(done, int(end) - len(call.images), int(end)) for call, end in zip(batch, ends, strict=True)]

    def _alone(self, call: _Call) -> Embeddings | Exception:
        try:
            return self._together([call])[0]
        except Exception as error:  # noqa: BLE001 - as above
            return error


def _rows(embeddings: Embeddings, start: int, end: int) -> Embeddings:
    def part(array: NDArray[np.float32] | None) -> NDArray[np.float32] | None:
        return None if array is None else array[start:end].copy()  # a view would keep the whole batch alive

    return Embeddings(
        vectors=embeddings.vectors[start:end].copy(),
        category=part(embeddings.category),
        attributes=part(embeddings.attributes),
        boxes=part(embeddings.boxes),
    )


def _joined(parts: Sequence[Embeddings]) -> Embeddings:
    if len(parts) == 1:
        return parts[0]

    def whole(arrays: Sequence[NDArray[np.float32] | None]) -> NDArray[np.float32] | None:
        there = [array for array in arrays if array is not None]
        return np.concatenate(there) if there else None

    return Embeddings(
        vectors=np.concatenate([part.vectors for part in parts]),
        category=whole([part.category for part in parts]),
        attributes=whole([part.attributes for part in parts]),
        boxes=whole([part.boxes for part in parts]),
    )
