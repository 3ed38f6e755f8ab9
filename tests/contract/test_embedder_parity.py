"""Engines and precisions share a bundle's digest: how near their answers are, and what happens when they are not."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.contract.test_embedder_torch import rewritten
from tests.support.images import blobs
from workers.adapters.bundle import Bundle, default_bundle
from workers.adapters.embedder import opening
from workers.adapters.embedder.choice import EngineWish, Machine
from workers.adapters.embedder.opening import EngineOptions, open_engine
from workers.adapters.embedder.openvino import OpenVinoEmbedder
from workers.adapters.embedder.parity import measure_parity
from workers.adapters.embedder.torch import TorchEmbedder
from workers.errors import ContractError
from workers.imaging.limits import DecodeLimits
from workers.imaging.preprocess import prepare
from workers.sample import catalog

PHOTOGRAPHS = Path(os.environ.get("CLOTHING_DATA") or Path(__file__).parents[3] / "shared" / "data" / "clothing")
BETWEEN_CPUS = 0.999
"""Lowest cosine between two levels of instructions of one CPU, as ADR 10 states it."""


def prepared(encoded: list[bytes]) -> np.ndarray:
    preprocessing = default_bundle().card.preprocessing
    return np.stack([prepare(data, preprocessing, DecodeLimits()) for data in encoded])


@pytest.fixture(scope="module")
def drawn() -> np.ndarray:
    return prepared([picture.jpeg for picture in catalog.draw(images=24, seed=11)])


@pytest.fixture(scope="module")
def reference() -> Iterator[OpenVinoEmbedder]:
    made = OpenVinoEmbedder(default_bundle())
    yield made
    made.close()


@pytest.mark.parametrize("precision", ["f32", "bf16"])
def test_torch_is_near_the_graph_on_drawings(reference: OpenVinoEmbedder, drawn: np.ndarray, precision: str) -> None:
    parity = measure_parity(reference, TorchEmbedder(default_bundle(), precision=precision), drawn)  # type: ignore[arg-type]
    assert parity.faults == ()
    assert parity.same_category is not None
    assert parity.same_category >= 0.9


@pytest.mark.photographs
def test_torch_is_near_the_graph_on_photographs(reference: OpenVinoEmbedder) -> None:
    files = sorted(PHOTOGRAPHS.rglob("*.jpg"))[:2000:25]
    if not files:
        pytest.skip("the clothing photographs are absent: set CLOTHING_DATA")
    parity = measure_parity(reference, TorchEmbedder(default_bundle()), prepared([f.read_bytes() for f in files]))
    assert parity.faults == ()
    assert parity.same_category is not None
    assert parity.same_category >= 0.9


@pytest.fixture(scope="module")
def strayed(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """A bundle whose weights are not those of its graph."""
    folder = tmp_path_factory.mktemp("strayed")
    torch.manual_seed(1)
    return rewritten(folder / "b", add={"mapping.weight": torch.randn(512, 512).half()})


def test_weights_that_are_not_the_graph_s_are_out_of_bounds(
    reference: OpenVinoEmbedder, strayed: Bundle, drawn: np.ndarray
) -> None:
    assert "lowest cosine" in " ".join(measure_parity(reference, TorchEmbedder(strayed), drawn).faults)


def test_torch_asked_for_by_name_is_refused_out_of_bounds(tmp_path: Path, strayed: Bundle, drawn: np.ndarray) -> None:
    options = EngineOptions(wish=EngineWish(engine="torch", device="cpu"), cache_dir=tmp_path / "compiled")
    with pytest.raises(ContractError, match=r"too far apart to share a model digest \(mean cosine"):
        open_engine(strayed, options, samples=lambda: drawn)


def test_parity_is_measured_once_and_kept(tmp_path: Path, drawn: np.ndarray) -> None:
    options = EngineOptions(wish=EngineWish(engine="torch", device="cpu"), cache_dir=tmp_path / "compiled")
    asked: list[int] = []

    def samples() -> np.ndarray:
        asked.append(1)
        return drawn[:8]

    for _ in range(2):
        opened = open_engine(default_bundle(), options, samples=samples)
        assert isinstance(opened, TorchEmbedder)
        assert opened.engine == "torch on cpu, f32 (as CATALOG_ENGINE asks)"
    assert asked == [1]
    (kept,) = options.cache_dir.glob("parity-*.json")
    assert json.loads(kept.read_text())["images"] == 8
    kept.write_text("{")
    open_engine(default_bundle(), options, samples=samples)
    assert asked == [1, 1]


def test_a_gpu_that_fails_is_given_up_for_openvino(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As where a driver was updated under a running system: the machine says there is a GPU, opening it fails."""
    if torch.cuda.is_available():
        pytest.skip("a GPU is here and does not fail")
    claimed = Machine(gpu=True, torch=True, cuda_devices=1, instructions=frozenset())
    monkeypatch.setattr(opening, "look_around", lambda wish: claimed)
    options = EngineOptions(wish=EngineWish(), cache_dir=tmp_path / "compiled")
    opened = open_engine(
        default_bundle(), options, samples=lambda: blobs(1, default_bundle().card.preprocessing.input_size)
    )
    assert isinstance(opened, OpenVinoEmbedder)
    assert "the GPU is not used: torch sees no GPU for the device cuda" in opened.engine


EMBED = """
import sys
import numpy as np
from workers.adapters.bundle import default_bundle
from workers.adapters.embedder.openvino import OpenVinoEmbedder
from workers.adapters.embedder.precision import choose_precision, cpu_instructions
images = np.load(sys.argv[1])
np.save(sys.argv[2], OpenVinoEmbedder(default_bundle()).embed(images).vectors)
print(choose_precision("int8", cpu_instructions()), choose_precision("bf16", cpu_instructions()), sep="|")
"""


@pytest.mark.parametrize(
    ("limit", "said"),
    [
        ("AVX2", "int8 with avx2, the rest f32|f32 with avx2"),
        ("AVX512_CORE", "int8 with avx512f, the rest f32|f32 with avx512f"),
    ],
)
def test_a_cpu_without_vnni_gives_the_same_vectors_and_says_what_it_does(
    reference: OpenVinoEmbedder, drawn: np.ndarray, tmp_path: Path, limit: str, said: str
) -> None:
    np.save(tmp_path / "images.npy", drawn)
    if limit == "AVX512_CORE" and "avx512f" not in Path("/proc/cpuinfo").read_text():
        pytest.skip("this CPU has no AVX-512")
    done = subprocess.run(
        [sys.executable, "-c", EMBED, str(tmp_path / "images.npy"), str(tmp_path / "vectors.npy")],
        env={**os.environ, "ONEDNN_MAX_CPU_ISA": limit},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == said
    assert (np.load(tmp_path / "vectors.npy") * reference.embed(drawn).vectors).sum(1).min() >= BETWEEN_CPUS


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
def test_a_gpu_is_near_the_graph_whoever_calls_and_however_many(reference: OpenVinoEmbedder, drawn: np.ndarray) -> None:
    from concurrent.futures import ThreadPoolExecutor

    gpu = TorchEmbedder(default_bundle(), device="cuda", batch_size=16)
    assert measure_parity(reference, gpu, drawn).faults == ()
    expected = gpu.embed(drawn).vectors
    with ThreadPoolExecutor(4) as callers:
        parts = list(callers.map(lambda i: gpu.embed(drawn[i : i + 5]).vectors, range(0, 20, 5)))
    np.testing.assert_allclose(np.concatenate(parts), expected[:20], atol=1e-3)
    gpu.close()
