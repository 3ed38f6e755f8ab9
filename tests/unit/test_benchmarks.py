"""The benchmarks' own arithmetic: what they measured on, and rates of arms that are known."""

from __future__ import annotations

import time

import numpy as np
import pytest

from benchmarks.arms.engines import Arm, forward_rate
from benchmarks.machine import describe


def test_the_machine_is_described() -> None:
    found = describe(packages=("numpy", "no-such-distribution"))
    assert found["versions"] == f"numpy {np.__version__}"
    assert {"cpu", "instructions", "cores", "memory", "system", "python", "load"} <= found.keys()
    assert all(found.values())


@pytest.mark.parametrize("callers", [1, 2])
def test_a_rate_counts_the_images_of_every_caller(callers: int) -> None:
    ran: list[int] = []

    def run(images: np.ndarray) -> None:
        time.sleep(0.01)
        ran.append(len(images))

    arm = Arm(name="sleeper", run=run, batch=4, callers=callers)
    rate = forward_rate(arm, np.zeros((8, 2, 2, 3), np.uint8), seconds=0.2)
    assert set(ran) == {4}
    assert 0 < rate <= callers * 4 / 0.01
