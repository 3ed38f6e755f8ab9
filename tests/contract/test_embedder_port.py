"""What every engine promises behind the `Embedder` port, on the default bundle."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from tests.support.images import blobs
from workers.adapters.bundle import default_bundle
from workers.adapters.embedder.openvino import OpenVinoEmbedder
from workers.errors import ContractError
from workers.ports import Embedder

Open = Callable[[], Embedder]


@pytest.fixture(scope="module", params=["openvino", "torch"])
def open_embedder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Open:
    cache = tmp_path_factory.mktemp("compiled")

    def opened() -> Embedder:
        if request.param == "openvino":
            return OpenVinoEmbedder(default_bundle(), threads=1, cache_dir=cache, batch_size=16)
        from workers.adapters.embedder.torch import TorchEmbedder

        return TorchEmbedder(default_bundle(), batch_size=16)

    return opened


@pytest.fixture(scope="module")
def embedder(open_embedder: Open) -> Iterator[Embedder]:
    made = open_embedder()
    yield made
    made.close()


@pytest.fixture(scope="module")
def images(embedder: Embedder) -> np.ndarray:
    return blobs(37, embedder.card.preprocessing.input_size)


def test_what_it_says_of_itself(embedder: Embedder) -> None:
    assert embedder.card == default_bundle().card
    assert embedder.engine
    assert (embedder.batch_size, embedder.parallel) == (16, 1)


def test_shapes_norms_and_probabilities(embedder: Embedder, images: np.ndarray) -> None:
    found = embedder.embed(images)
    assert found.vectors.shape == (37, embedder.card.embedding_size)
    assert found.vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(found.vectors, axis=1), 1, atol=1e-5)
    assert found.category is not None
    assert found.category.shape == (37, 10)
    np.testing.assert_allclose(found.category.sum(1), 1, atol=1e-3)
    assert found.category.min() >= 0


def test_heads_that_were_not_trained_answer_none(embedder: Embedder, images: np.ndarray) -> None:
    found = embedder.embed(images[:1])
    assert (found.attributes, found.boxes) == (None, None)


def test_different_pictures_get_different_vectors(embedder: Embedder, images: np.ndarray) -> None:
    vectors = embedder.embed(images).vectors
    assert (vectors @ vectors.T)[~np.eye(37, dtype=bool)].max() < 0.9999


def test_results_do_not_change_after_later_calls(embedder: Embedder, images: np.ndarray) -> None:
    """The engine reuses its output memory; what was returned must not be a view of it."""
    first = embedder.embed(images[:16])
    kept = first.vectors.copy()
    embedder.embed(images[16:32])
    np.testing.assert_array_equal(first.vectors, kept)


def test_threads_may_share_an_embedder(embedder: Embedder, images: np.ndarray) -> None:
    parts = [images[i : i + 5] for i in range(0, 35, 5)]
    expected = [embedder.embed(part).vectors for part in parts]
    same: list[bool] = []

    def work(index: int) -> None:
        for _ in range(3):
            same.append(np.array_equal(embedder.embed(parts[index]).vectors, expected[index]))

    threads = [threading.Thread(target=work, args=(i,)) for i in range(len(parts))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert same == [True] * 21


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda s: np.zeros((1, s, s, 3), np.float32), "uint8"),
        (lambda s: np.zeros((1, s, s + 1, 3), np.uint8), "shape"),
        (lambda s: np.zeros((1, 3, s, s), np.uint8), "shape"),
        (lambda s: np.zeros((s, s, 3), np.uint8), "shape"),
        (lambda s: np.zeros((0, s, s, 3), np.uint8), "N >= 1"),
    ],
)
def test_wrong_input_is_refused(embedder: Embedder, make: object, said: str) -> None:
    with pytest.raises(ContractError, match=said):
        embedder.embed(make(embedder.card.preprocessing.input_size))  # type: ignore[operator]


def test_views_that_are_not_contiguous_work(embedder: Embedder, images: np.ndarray) -> None:
    mirrored = images[:16, :, ::-1]
    assert not mirrored.flags.c_contiguous
    np.testing.assert_array_equal(
        embedder.embed(mirrored).vectors, embedder.embed(np.ascontiguousarray(mirrored)).vectors
    )


def test_closing_twice_is_harmless_and_later_use_is_refused(open_embedder: Open) -> None:
    made = open_embedder()
    made.close()
    made.close()
    with pytest.raises(ContractError, match="closed"):
        made.embed(blobs(1, made.card.preprocessing.input_size))
