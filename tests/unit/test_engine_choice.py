"""Which engine, on which device, at which precision: the rules, over machines that are not here."""

from __future__ import annotations

import re
import threading

import numpy as np
import pytest

from workers.adapters.bundle import default_bundle
from workers.adapters.embedder.choice import EngineWish, Machine, choose_engine
from workers.adapters.embedder.lanes import Lanes, Outputs
from workers.adapters.embedder.parity import Parity
from workers.adapters.embedder.precision import choose_precision, cpu_instructions
from workers.errors import ConfigurationError, ContractError

SAPPHIRE_RAPIDS = frozenset({"avx2", "avx512f", "avx_vnni", "avx512_vnni", "avx512_bf16", "amx_bf16", "amx_int8"})
ICE_LAKE = frozenset({"avx2", "avx512f", "avx512_vnni"})
SKYLAKE = frozenset({"avx2", "avx512f"})
ALDER_LAKE = frozenset({"avx2", "avx_vnni"})
HASWELL = frozenset({"avx2"})
UNKNOWN: frozenset[str] = frozenset()


@pytest.mark.parametrize(
    ("graph", "cpu", "said"),
    [
        ("int8", SAPPHIRE_RAPIDS, "int8 with amx_int8, the rest bf16"),
        ("int8", ICE_LAKE, "int8 with avx512_vnni, the rest f32"),
        ("int8", SKYLAKE, "int8 with avx512f, the rest f32"),
        ("int8", ALDER_LAKE, "int8 with avx_vnni, the rest f32"),
        ("int8", HASWELL, "int8 with avx2, the rest f32"),
        ("int8", UNKNOWN, "int8 with the CPU's basic instructions, the rest f32"),
        ("bf16", SAPPHIRE_RAPIDS, "bf16 with amx_bf16"),
        ("bf16", SKYLAKE, "f32 with avx512f"),
        ("bf16", HASWELL, "f32 with avx2"),
        ("f32", SAPPHIRE_RAPIDS, "f32 with avx512f"),
    ],
)
def test_the_precision_follows_the_instructions(graph: str, cpu: frozenset[str], said: str) -> None:
    chosen = choose_precision(graph, cpu)  # type: ignore[arg-type]
    assert str(chosen) == said
    assert chosen.reason


def test_a_limit_on_instructions_counts() -> None:
    free = cpu_instructions({})
    assert cpu_instructions({"ONEDNN_MAX_CPU_ISA": "all"}) == free
    assert cpu_instructions({"ONEDNN_MAX_CPU_ISA": "avx2"}) == free & {"avx2"}
    assert cpu_instructions({"DNNL_MAX_CPU_ISA": "SSE41"}) == frozenset()
    assert cpu_instructions({"ONEDNN_MAX_CPU_ISA": "AVX512_CORE_VNNI"}) == free & {"avx2", "avx512f", "avx512_vnni"}


def machine(*, gpu: bool = False, torch: bool = True, cuda_devices: int = 0) -> Machine:
    return Machine(gpu=gpu, torch=torch, cuda_devices=cuda_devices, instructions=ICE_LAKE)


NOTHING = machine(torch=False)
GPU = machine(gpu=True, cuda_devices=2)


@pytest.mark.parametrize(
    ("wish", "there", "single", "said"),
    [
        (EngineWish(), NOTHING, False, "OpenVINO on cpu, .*no GPU here"),
        (EngineWish(), machine(gpu=True, torch=False), False, "OpenVINO on cpu, .*used after: pip install"),
        (EngineWish(), machine(gpu=True), False, "OpenVINO on cpu, .*torch cannot use the GPU"),
        (EngineWish(), GPU, False, "torch on cuda, bf16 .a GPU is here"),
        (EngineWish(), GPU, True, "OpenVINO on cpu, .*one picture at a time"),
        (EngineWish(device="cpu"), GPU, False, "OpenVINO on cpu, .*CATALOG_DEVICE asks"),
        (EngineWish(device="cuda:1"), GPU, False, "torch on cuda:1, bf16"),
        (EngineWish(engine="openvino"), GPU, False, "OpenVINO on cpu"),
        (EngineWish(engine="torch"), GPU, True, "torch on cuda, bf16"),
        (EngineWish(engine="torch"), machine(), False, "torch on cpu, f32"),
        (EngineWish(engine="torch", device="cpu"), GPU, False, "torch on cpu, f32"),
    ],
)
def test_the_engine_follows_the_wish_and_the_machine(wish: EngineWish, there: Machine, single: bool, said: str) -> None:
    choice = choose_engine(wish, default_bundle().card, there, single=single)
    assert re.match(said, str(choice)), str(choice)


@pytest.mark.parametrize(
    ("wish", "there", "said"),
    [
        (
            EngineWish(engine="torch"),
            NOTHING,
            r"CATALOG_ENGINE=torch needs torch.*pip install 'catalog-indexer\[gpu\]'",
        ),
        (EngineWish(device="cuda"), NOTHING, "CATALOG_DEVICE=cuda needs torch"),
        (EngineWish(device="cuda"), machine(), "CATALOG_DEVICE=cuda needs a GPU, and none is here"),
        (
            EngineWish(engine="torch", device="cuda"),
            machine(gpu=True),
            "torch and CATALOG_DEVICE=cuda needs.*cannot use",
        ),
        (EngineWish(device="cuda:2"), GPU, "CATALOG_DEVICE=cuda:2: the last GPU here is cuda:1"),
        (EngineWish(engine="openvino", device="cuda"), GPU, "CATALOG_ENGINE=openvino runs on the CPU"),
    ],
)
def test_what_is_not_there_is_refused_by_name(wish: EngineWish, there: Machine, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        choose_engine(wish, default_bundle().card, there)


def parity(**changes: float) -> Parity:
    near = {"images": 8, "mean_cosine": 0.999, "lowest_cosine": 0.99, "same_category": 1.0}
    return Parity(**{**near, "probability_difference": 0.01, "box_difference": 0.01, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, ""),
        ({"same_category": 0.5}, ""),
        ({"mean_cosine": 0.99}, "mean cosine"),
        ({"lowest_cosine": 0.9}, "lowest cosine"),
        ({"probability_difference": 0.2}, "probabilities"),
        ({"box_difference": 0.06}, "boxes"),
    ],
)
def test_each_bound_of_parity_holds(changes: dict[str, float], said: str) -> None:
    assert " ".join(parity(**changes).faults).startswith(said)
    assert bool(parity(**changes).faults) == bool(said)


class Recording:
    """A lane that waits for its partner, and fails when told."""

    def __init__(self, meeting: threading.Barrier | None = None) -> None:
        self.meeting = meeting
        self.fails = False

    def run(self, images: np.ndarray) -> Outputs:
        if self.fails:
            raise RuntimeError("out of order")
        if self.meeting is not None:
            self.meeting.wait(timeout=10)
        return {"sum": images.sum((1, 2, 3), dtype=np.float32)}


def test_callers_run_side_by_side_and_get_their_own_results_in_order() -> None:
    meeting = threading.Barrier(2)
    lanes = Lanes([Recording(meeting), Recording(meeting)], batch=2)
    images = np.arange(4 * 12, dtype=np.uint8).reshape(4, 2, 2, 3)
    found: list[np.ndarray] = []
    callers = [threading.Thread(target=lambda: found.append(lanes.run(images)["sum"])) for _ in range(2)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    for sums in found:
        np.testing.assert_array_equal(sums, images.reshape(4, -1).sum(1))
    assert (len(found), len(lanes)) == (2, 2)


def test_a_lane_that_failed_is_not_lost() -> None:
    lane = Recording()
    lanes = Lanes([lane], batch=2)
    lane.fails = True
    with pytest.raises(RuntimeError, match="out of order"):
        lanes.run(np.zeros((1, 2, 2, 3), np.uint8))
    lane.fails = False
    assert lanes.run(np.ones((1, 2, 2, 3), np.uint8))["sum"].tolist() == [12.0]
    lanes.close()
    with pytest.raises(ContractError, match="closed"):
        lanes.run(np.ones((1, 2, 2, 3), np.uint8))
