"""What a figure was measured on, as text: without it no figure means anything."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

_TOLD_FLAGS: Final = (
    "avx2",
    "avx512f",
    "avx_vnni",
    "avx512_vnni",
    "avx512_bf16",
    "amx_bf16",
    "amx_int8",
    "asimd",
    "i8mm",
)
"""Instruction sets (as Linux names them) that decide how fast a network runs."""
_PACKAGES: Final = (
    "celery",
    "numpy",
    "obstore",
    "onnxruntime",
    "opencv-python-headless",
    "openvino",
    "qdrant-client",
    "qdrant-edge-py",
    "simplejpeg",
    "torch",
    "torchvision",
)
"""Whose versions move figures; those that are not installed are left out."""


def describe(packages: Iterable[str] = _PACKAGES) -> dict[str, str]:
    """The machine and its software: processor, instruction sets, cores, memory, system, versions, GPU and load.

    Args:
        packages: Distributions whose versions are told.

    Returns:
        Readable values by readable names, the same names on every machine but for `gpu`. `load` is how many tasks
        wanted a core in the last minute: well above zero means that somebody else was measured along.
    """
    found = {
        "cpu": _cpu(),
        "instructions": " ".join(_flags()) or "unknown",
        "cores": f"{_usable_cores()} of {os.cpu_count()}",
        "memory": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 1024**3:.0f} GiB",
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "python": platform.python_version(),
        "versions": ", ".join(f"{name} {number}" for name, number in _versions(packages)),
        "load": f"{os.getloadavg()[0]:.1f}",
    }
    return found | ({"gpu": gpus} if (gpus := _gpus()) else {})


def _usable_cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _cpuinfo(name: str) -> str:
    path = Path("/proc/cpuinfo")
    if not path.is_file():
        return ""
    lines = (line.partition(":") for line in path.read_text(encoding="utf-8", errors="replace").splitlines())
    return next((value.strip() for key, _, value in lines if key.strip() == name), "")


def _cpu() -> str:
    model = _cpuinfo("model name") or platform.processor() or "unknown"
    family = [f"{key} {_cpuinfo(key)}" for key in ("cpu family", "model", "stepping") if _cpuinfo(key)]
    return f"{model} ({', '.join(family)})" if family else model


def _flags() -> list[str]:
    have = set((_cpuinfo("flags") or _cpuinfo("Features")).split())
    return [flag for flag in _TOLD_FLAGS if flag in have]


def _versions(packages: Iterable[str]) -> list[tuple[str, str]]:
    found = []
    for name in packages:
        try:
            found.append((name, version(name)))
        except PackageNotFoundError:
            continue
    return found


def _gpus() -> str:
    """Names of the NVIDIA cards by their driver's files: asking torch would cost seconds and memory on each."""
    cards = Path("/proc/driver/nvidia/gpus")
    if not cards.is_dir():
        return ""
    names = []
    for information in sorted(cards.glob("*/information")):
        lines = information.read_text(encoding="utf-8", errors="replace").splitlines()
        names += [line.partition(":")[2].strip() for line in lines if line.startswith("Model")]
    return ", ".join(names)


if __name__ == "__main__":
    for name, value in describe().items():
        print(f"{name:<13} {value}")
