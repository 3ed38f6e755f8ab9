"""Concurrent callers share batches: deterministically on an engine that waits to be let on, and on the real one."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from schemas.model_card import ModelCard
from tests.support.bundles import write_bundle
from workers.adapters.bundle import load_bundle
from workers.adapters.embedder.openvino import OpenVinoEmbedder
from workers.adapters.memory import ColourGridEmbedder
from workers.errors import ConfigurationError, ContractError, TransientError
from workers.ports import Embeddings
from workers.query.batching import BatchingEmbedder

SIDE = ColourGridEmbedder().card.preprocessing.input_size
POISON = 255


def image(value: int) -> NDArray[np.uint8]:
    return np.full((1, SIDE, SIDE, 3), value, dtype=np.uint8)


class GatedEmbedder:
    """Runs a batch once it is let on, writes down what was in it, and fails on a poisoned image."""

    def __init__(self, batch_size: int = 4) -> None:
        self._inner = ColourGridEmbedder()
        self.batch_size = batch_size
        self.parallel = 1
        self.engine = "gated"
        self.gate = threading.Semaphore(0)
        self.begun = threading.Semaphore(0)
        self.batches: list[list[int]] = []
        self.closed = False

    @property
    def card(self) -> ModelCard:
        return self._inner.card

    def embed(self, images: NDArray[np.uint8]) -> Embeddings:
        self.batches.append([int(one[0, 0, 0]) for one in images])
        self.begun.release()
        assert self.gate.acquire(timeout=10)
        if self.closed:
            raise ContractError("the embedder was closed")
        if (images == POISON).all(axis=(1, 2, 3)).any():
            raise TransientError("this one breaks the engine")
        return self._inner.embed(images)

    def close(self) -> None:
        self.closed = True
        self.gate.release(1000)


def queued(embedder: BatchingEmbedder, count: int) -> None:
    """Wait until so many callers are queued."""
    done = threading.Event()
    for _ in range(1000):
        if len(embedder._waiting) == count:
            return
        done.wait(0.005)
    raise AssertionError(f"{len(embedder._waiting)} callers are queued instead of {count}")


@pytest.fixture
def threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(16)


def start(
    threads: ThreadPoolExecutor, embedder: BatchingEmbedder, values: list[int], *, already: int = 0
) -> list[Future[Embeddings]]:
    """Callers that queue up one after the other."""
    calls = []
    for number, value in enumerate(values):
        calls.append(threads.submit(embedder.embed, image(value)))
        queued(embedder, already + number + 1)
    return calls


def test_who_comes_while_the_engine_works_shares_the_next_batch(threads: ThreadPoolExecutor) -> None:
    engine = GatedEmbedder(batch_size=4)
    embedder = BatchingEmbedder([engine])
    first = threads.submit(embedder.embed, image(1))
    assert engine.begun.acquire(timeout=10)  # a lone caller runs at once, waiting for nobody
    others = start(threads, embedder, [2, 3, 4, 5, 6])
    engine.gate.release(3)
    for value, call in enumerate([first, *others], start=1):
        expected = ColourGridEmbedder().embed(image(value))
        np.testing.assert_array_equal(call.result(10).vectors, expected.vectors)
    assert engine.batches == [[1], [2, 3, 4, 5], [6]]
    last = threads.submit(embedder.embed, image(7))
    engine.gate.release()
    assert len(last.result(10).vectors) == 1


@pytest.mark.parametrize(
    ("waiting", "batches"),
    [(1, [1]), (2, [2]), (3, [3]), (4, [4]), (5, [4, 1]), (6, [6]), (7, [7]), (8, [8]), (9, [8, 1]), (11, [8, 3])],
)
def test_batches_are_filled_rather_than_padded(threads: ThreadPoolExecutor, waiting: int, batches: list[int]) -> None:
    engines = [GatedEmbedder(batch_size=size) for size in (1, 2, 4, 8)]
    embedder = BatchingEmbedder(engines)
    first = threads.submit(embedder.embed, image(0))
    assert engines[0].begun.acquire(timeout=10)
    others = start(threads, embedder, list(range(1, waiting + 1)))
    for engine in engines:
        engine.gate.release(3)
    for value, call in enumerate([first, *others]):
        expected = ColourGridEmbedder().embed(image(value))
        np.testing.assert_array_equal(call.result(10).vectors, expected.vectors)
    ran = [(engine.batch_size, len(batch)) for engine in engines for batch in engine.batches]
    assert sorted(images for _, images in ran) == sorted([1, *batches])
    assert all(images >= 0.75 * size for size, images in ran)


def test_an_image_that_breaks_the_engine_fails_alone(threads: ThreadPoolExecutor) -> None:
    engine = GatedEmbedder(batch_size=4)
    embedder = BatchingEmbedder([engine])
    first = threads.submit(embedder.embed, image(1))
    assert engine.begun.acquire(timeout=10)
    others = start(threads, embedder, [2, POISON, 4])
    engine.gate.release(100)
    with pytest.raises(TransientError, match="breaks the engine"):
        others[1].result(10)
    for call in (first, others[0], others[2]):
        assert len(call.result(10).vectors) == 1
    assert engine.batches == [[1], [2, POISON, 4], [2], [POISON], [4]]


def test_a_misshapen_image_is_refused_before_it_joins_a_batch() -> None:
    embedder = BatchingEmbedder([ColourGridEmbedder()])
    with pytest.raises(ContractError, match="images must be uint8 of shape"):
        embedder.embed(np.zeros((1, 3, 3, 3), dtype=np.uint8))


def test_closing_ends_callers_that_wait(threads: ThreadPoolExecutor) -> None:
    engine = GatedEmbedder()
    embedder = BatchingEmbedder([engine])
    first = threads.submit(embedder.embed, image(1))
    assert engine.begun.acquire(timeout=10)
    others = start(threads, embedder, [2, 3])
    embedder.close()
    for call in (first, *others):
        with pytest.raises(ContractError, match="was closed"):
            call.result(10)
    with pytest.raises(ContractError, match="was closed"):
        embedder.embed(image(4))
    embedder.close()


def test_each_batch_goes_to_the_smallest_engine_that_holds_it(threads: ThreadPoolExecutor) -> None:
    single, large = GatedEmbedder(batch_size=1), GatedEmbedder(batch_size=4)
    embedder = BatchingEmbedder([large, single])
    first = threads.submit(embedder.embed, image(1))
    assert single.begun.acquire(timeout=10)
    others = start(threads, embedder, [2, 3, 4, 5, 6])
    for engine in (single, large):
        engine.gate.release(10)
    for call in (first, *others):
        call.result(10)
    assert (single.batches, large.batches) == ([[1], [6]], [[2, 3, 4, 5]])


def test_a_caller_with_many_images_lets_others_in_between(threads: ThreadPoolExecutor) -> None:
    engine = GatedEmbedder(batch_size=2)
    embedder = BatchingEmbedder([engine])
    many = threads.submit(embedder.embed, np.concatenate([image(v) for v in (1, 2, 3, 4)]))
    assert engine.begun.acquire(timeout=10)
    (other,) = start(threads, embedder, [9])
    engine.gate.release(10)
    expected = ColourGridEmbedder().embed(np.concatenate([image(v) for v in (1, 2, 3, 4)]))
    np.testing.assert_array_equal(many.result(10).vectors, expected.vectors)
    other.result(10)
    assert engine.batches == [[1, 2], [9], [3, 4]]


@pytest.mark.parametrize("engines", [list, lambda: [ColourGridEmbedder(name="a"), ColourGridEmbedder(name="b")]])
def test_engines_of_one_model_only(engines: Callable[[], list[ColourGridEmbedder]]) -> None:
    with pytest.raises(ConfigurationError, match="single model"):
        BatchingEmbedder(engines())


def test_on_the_real_engine_everybody_gets_their_own_answer(tmp_path: Path) -> None:
    bundle = load_bundle(write_bundle(tmp_path / "bundle"))
    alone = OpenVinoEmbedder(bundle, threads=1, batch_size=1)
    engines = [OpenVinoEmbedder(bundle, threads=1, batch_size=size) for size in (1, 4)]
    embedder = BatchingEmbedder(engines)
    pictures = np.random.default_rng(1).integers(0, 256, (64, 1, SIDE, SIDE, 3), dtype=np.uint8)
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(embedder.embed, pictures))
    for picture, answer in zip(pictures, answers, strict=True):
        expected = alone.embed(picture)
        np.testing.assert_allclose(answer.vectors, expected.vectors, atol=1e-5)
        assert answer.category is not None
        assert expected.category is not None
        np.testing.assert_allclose(answer.category, expected.category, atol=1e-5)
    embedder.close()
    alone.close()
