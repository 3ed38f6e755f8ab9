"""Which engine runs a bundle here: a rule by what is asked for and what the machine has."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Final, Literal

from schemas.model_card import ModelCard
from workers.adapters.embedder.precision import choose_precision, cpu_instructions
from workers.errors import ConfigurationError

EXTRA: Final = "pip install 'catalog-indexer[gpu]'"
_GPU_NODES: Final = ("/dev/nvidiactl", "/dev/dxg", "/dev/kfd")
"""What the drivers of NVIDIA, Windows' Linux and AMD make: asking torch instead costs seconds on every start."""


@dataclass(frozen=True, kw_only=True, slots=True)
class EngineWish:
    """What the settings ask for."""

    engine: Literal["auto", "openvino", "torch"] = "auto"
    device: str | None = None
    """`cpu`, `cuda` or `cuda:1`; None leaves it to the engine."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Machine:
    """What there is."""

    gpu: bool
    """A driver's device node is there."""
    torch: bool
    """torch and torchvision are installed."""
    cuda_devices: int
    """That torch can use."""
    instructions: frozenset[str]
    """Of the CPU, see `precision`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class EngineChoice:
    """What runs a bundle, and why."""

    engine: Literal["openvino", "torch"]
    device: str
    precision: str
    reason: str

    def __str__(self) -> str:
        """As `OpenVINO on cpu, int8 with avx512_vnni (no GPU here)`."""
        name = {"openvino": "OpenVINO", "torch": "torch"}[self.engine]
        return f"{name} on {self.device}, {self.precision} ({self.reason})"


def look_around(wish: EngineWish) -> Machine:
    """What this machine has; torch is imported only where it may be wanted and there is a GPU for it."""
    gpu = any(Path(node).exists() for node in _GPU_NODES)
    installed = find_spec("torch") is not None and find_spec("torchvision") is not None
    wanted = wish.engine != "openvino" and wish.device != "cpu"
    devices = _cuda_devices() if gpu and installed and wanted else 0
    return Machine(gpu=gpu, torch=installed, cuda_devices=devices, instructions=cpu_instructions())


def choose_engine(wish: EngineWish, card: ModelCard, machine: Machine, *, single: bool = False) -> EngineChoice:
    """The rule.

    `auto` takes torch where it can use a GPU, and OpenVINO otherwise. For `single` pictures it takes OpenVINO always:
    importing torch takes longer than many searches, and the engines agree (see `parity`).

    Raises:
        ConfigurationError: the machine lacks what was asked for.
    """
    if wish.engine == "openvino":
        if wish.device not in (None, "cpu"):
            raise ConfigurationError(
                f"CATALOG_ENGINE=openvino runs on the CPU, not on CATALOG_DEVICE={wish.device}: "
                "set CATALOG_ENGINE=torch or take one of the two away"
            )
        return openvino_choice(card, machine, "as CATALOG_ENGINE asks")
    if wish.engine == "torch":
        return _torch_choice(wish, machine, "as CATALOG_ENGINE asks")
    if wish.device == "cpu":
        return openvino_choice(card, machine, "as CATALOG_DEVICE asks")
    if single:
        return openvino_choice(card, machine, "for one picture at a time")
    if wish.device is not None:
        return _torch_choice(wish, machine, "as CATALOG_DEVICE asks")
    if not machine.gpu:
        return openvino_choice(card, machine, "no GPU here")
    if not machine.torch:
        return openvino_choice(card, machine, f"the GPU would be used after: {EXTRA}")
    if machine.cuda_devices == 0:
        return openvino_choice(card, machine, "torch cannot use the GPU that is here")
    return _torch_choice(wish, machine, "a GPU is here")


def openvino_choice(card: ModelCard, machine: Machine, reason: str) -> EngineChoice:
    """OpenVINO, at the precision that suits the CPU."""
    precision = choose_precision(card.graph.precision, machine.instructions)
    return EngineChoice(
        engine="openvino", device="cpu", precision=str(precision), reason=f"{precision.reason}; {reason}"
    )


def _torch_choice(wish: EngineWish, machine: Machine, reason: str) -> EngineChoice:
    asked = " and ".join(
        f"{name}={value}"
        for name, value in (("CATALOG_ENGINE", wish.engine), ("CATALOG_DEVICE", wish.device))
        if value not in (None, "auto")
    )
    if not machine.torch:
        raise ConfigurationError(f"{asked} needs torch, which is not installed: {EXTRA}")
    device = wish.device or ("cuda" if machine.cuda_devices else "cpu")
    number = int(device.partition(":")[2] or 0)
    if device != "cpu" and machine.cuda_devices == 0:
        seen = (
            "torch cannot use the one here (its driver, or a torch not built for it)" if machine.gpu else "none is here"
        )
        raise ConfigurationError(f"{asked} needs a GPU, and {seen}; CATALOG_DEVICE=cpu does without")
    if device != "cpu" and number >= machine.cuda_devices:
        raise ConfigurationError(f"{asked}: the last GPU here is cuda:{machine.cuda_devices - 1}")
    precision = "f32" if device == "cpu" else "bf16"
    return EngineChoice(engine="torch", device=device, precision=precision, reason=reason)


def _cuda_devices() -> int:
    import torch

    return torch.cuda.device_count() if torch.cuda.is_available() else 0
