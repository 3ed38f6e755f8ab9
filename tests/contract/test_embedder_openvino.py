"""What the OpenVINO engine adds to the port: fixed batches, streams, its cache, and what it refuses."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from schemas.model_card import CARD_FILE, ModelCard, bundle_digest
from tests.support.images import blobs
from workers.adapters.bundle import Bundle, compute_digest, default_bundle, load_bundle
from workers.adapters.embedder.openvino import OpenVinoEmbedder
from workers.errors import ConfigurationError, ContractError

INT8_COSINE = 0.995
"""How near two runs of one image must be in int8: batches of another size may use other kernels."""


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("compiled")


@pytest.fixture(scope="module")
def embedder(cache: Path) -> Iterator[OpenVinoEmbedder]:
    made = OpenVinoEmbedder(default_bundle(), threads=1, cache_dir=cache, batch_size=16)
    yield made
    made.close()


@pytest.fixture(scope="module")
def images(embedder: OpenVinoEmbedder) -> np.ndarray:
    return blobs(37, embedder.card.preprocessing.input_size)


def test_padding_changes_nothing(embedder: OpenVinoEmbedder, images: np.ndarray) -> None:
    """The last, padded batch gives exactly what the same images give in the same places of a full batch."""
    padded = embedder.embed(images[:5])
    full = embedder.embed(images[:16])
    np.testing.assert_array_equal(padded.vectors, full.vectors[:5])
    np.testing.assert_array_equal(padded.category, full.category[:5])


def test_a_place_in_the_batch_changes_nothing(embedder: OpenVinoEmbedder, images: np.ndarray) -> None:
    together = embedder.embed(images).vectors
    alone = np.concatenate([embedder.embed(images[i : i + 1]).vectors for i in range(0, 37, 6)])
    np.testing.assert_allclose(together[::6], alone, atol=1e-6)


def test_batches_of_one_and_sixteen_agree(embedder: OpenVinoEmbedder, images: np.ndarray, cache: Path) -> None:
    single = OpenVinoEmbedder(default_bundle(), threads=1, cache_dir=cache, batch_size=1)
    try:
        one, sixteen = single.embed(images[:8]), embedder.embed(images[:8])
    finally:
        single.close()
    assert (one.vectors * sixteen.vectors).sum(1).min() > INT8_COSINE
    np.testing.assert_allclose(one.category, sixteen.category, atol=0.05)


def test_the_compiled_graph_is_cached(cache: Path, embedder: OpenVinoEmbedder) -> None:
    kept = {path.name: path.stat().st_mtime_ns for path in cache.rglob("*.blob")}
    assert kept
    OpenVinoEmbedder(default_bundle(), threads=1, cache_dir=cache, batch_size=16).close()
    assert {path.name: path.stat().st_mtime_ns for path in cache.rglob("*.blob")} == kept


@pytest.mark.parametrize(("threads", "batch_size"), [(0, 16), (1, 0)])
def test_settings_below_one_are_refused(threads: int, batch_size: int) -> None:
    with pytest.raises(ConfigurationError, match="at least 1"):
        OpenVinoEmbedder(default_bundle(), threads=threads, batch_size=batch_size)


def rewritten(folder: Path, **changes: object) -> Bundle:
    """The default bundle with another card, its digest made to fit."""
    shutil.copytree(default_bundle().folder, folder)
    card = default_bundle().card.model_copy(update=changes)
    (folder / CARD_FILE).write_text(card.model_dump_json())
    card = card.model_copy(update={"digest": compute_digest(folder)})
    (folder / CARD_FILE).write_text(card.model_dump_json())
    return load_bundle(folder)


def test_a_card_that_promises_another_width_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ContractError, match="512 dimensions, its card says 256"):
        OpenVinoEmbedder(rewritten(tmp_path / "b", embedding_size=256))


def test_a_card_that_promises_a_missing_head_is_refused(tmp_path: Path) -> None:
    from schemas.model_card import BoxHead

    heads = default_bundle().card.heads.model_copy(update={"box": BoxHead()})
    with pytest.raises(ContractError, match="lacks the outputs box"):
        OpenVinoEmbedder(rewritten(tmp_path / "b", heads=heads))


def test_a_graph_that_does_not_parse_is_refused(tmp_path: Path) -> None:
    import hashlib

    folder = tmp_path / "b"
    shutil.copytree(default_bundle().folder, folder)
    (folder / "model.xml").write_text("<net>")
    card = ModelCard.model_validate_json((folder / CARD_FILE).read_bytes())
    names = ("model.xml", "model.bin", "weights.safetensors")
    digests = {n: hashlib.sha256((folder / n).read_bytes()).hexdigest() for n in names}
    digest = bundle_digest(digests, card.preprocessing, card.heads)
    (folder / CARD_FILE).write_text(card.model_copy(update={"digest": digest}).model_dump_json())
    with pytest.raises(ContractError, match="cannot be run"):
        OpenVinoEmbedder(load_bundle(folder))


def test_streams_side_by_side_give_what_one_gives(cache: Path, embedder: OpenVinoEmbedder, images: np.ndarray) -> None:
    two = OpenVinoEmbedder(default_bundle(), threads=2, cache_dir=cache, batch_size=8, streams=2)
    try:
        assert two.parallel == 2
        with ThreadPoolExecutor(4) as callers:
            parts = list(callers.map(lambda i: two.embed(images[i : i + 8]).vectors, range(0, 32, 8)))
    finally:
        two.close()
    assert (np.concatenate(parts) * embedder.embed(images[:32]).vectors).sum(1).min() > INT8_COSINE
