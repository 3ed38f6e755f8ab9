"""What a CPU multiplies in: a rule by the graph and the processor's instructions, measured once, the same everywhere.

Two machines with the same instructions give the same vectors, which a choice measured at each start would not promise.
The figures behind the rule are in docs/benchmarks/engine.md.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

Precision = Literal["int8", "bf16", "f32"]

INT8_INSTRUCTIONS: Final = ("amx_int8", "avx512_vnni", "avx_vnni")
"""That multiply and add 8-bit numbers in one step, fastest first, as Linux names them."""
BF16_INSTRUCTIONS: Final = ("amx_bf16", "avx512_bf16")
"""Without one of these bf16 is emulated on AVX-512, about 3 times slower than float32, and refused on less."""
_WIDE: Final = ("avx512f", "avx2")
_CPUINFO: Final = Path("/proc/cpuinfo")

_LIMITS: Final[Mapping[str, frozenset[str]]] = {
    "SSE41": frozenset(),
    "AVX": frozenset(),
    "AVX2": frozenset({"avx2"}),
    "AVX2_VNNI": frozenset({"avx2", "avx_vnni"}),
    "AVX2_VNNI_2": frozenset({"avx2", "avx_vnni"}),
    "AVX512_CORE": frozenset({"avx2", "avx512f"}),
    "AVX512_CORE_VNNI": frozenset({"avx2", "avx512f", "avx512_vnni"}),
    "AVX512_CORE_BF16": frozenset({"avx2", "avx512f", "avx512_vnni", "avx512_bf16"}),
    "AVX512_CORE_FP16": frozenset({"avx2", "avx_vnni", "avx512f", "avx512_vnni", "avx512_bf16"}),
    "AVX10_1_512": frozenset({"avx2", "avx_vnni", "avx512f", "avx512_vnni", "avx512_bf16"}),
}
"""What oneDNN, which runs OpenVINO's convolutions, still uses under each value of ONEDNN_MAX_CPU_ISA (its reference,
"CPU dispatcher control"). Other values limit nothing of what is asked here."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CpuPrecision:
    """What a graph is multiplied in on this CPU."""

    layers: Precision
    """Of the convolutions: as the graph is quantised, or as the CPU can."""
    rest: Literal["bf16", "f32"]
    """Of what is not quantised: in an int8 graph the first convolution and everything behind the last one."""
    instructions: str
    """The fastest that this precision has here, as `avx512_vnni`."""
    reason: str
    """Why, for people."""

    def __str__(self) -> str:
        """As `int8 with avx512_vnni, the rest bf16`."""
        rest = "" if self.rest == self.layers else f", the rest {self.rest}"
        return f"{self.layers} with {self.instructions}{rest}"


def choose_precision(graph: Precision, instructions: frozenset[str]) -> CpuPrecision:
    """The rule.

    int8 runs as int8 on every CPU: measured 2.0 times (no VNNI) to 3.1 times faster than float32 at every level of
    instructions. What is float runs in bf16 where the CPU multiplies it, else in float32.

    Args:
        graph: What the card says of the graph.
        instructions: Of the CPU, as `cpu_instructions` gives them.
    """
    bf16 = _first(BF16_INSTRUCTIONS, instructions)
    rest: Literal["bf16", "f32"] = "bf16" if bf16 and graph != "f32" else "f32"
    wide = _first(_WIDE, instructions) or "the CPU's basic instructions"
    if graph == "int8":
        fast = _first(INT8_INSTRUCTIONS, instructions)
        why = "this CPU multiplies 8-bit numbers" if fast else "no VNNI or AMX here; int8 is still the fastest without"
        return CpuPrecision(layers="int8", rest=rest, instructions=fast or wide, reason=why)
    if graph == "f32":
        return CpuPrecision(layers="f32", rest="f32", instructions=wide, reason="the bundle asks for float32")
    if bf16:
        return CpuPrecision(layers="bf16", rest=rest, instructions=bf16, reason="this CPU multiplies bf16")
    return CpuPrecision(
        layers="f32", rest=rest, instructions=wide, reason="this CPU has no bf16, and emulating it is slower"
    )


def cpu_instructions(environment: Mapping[str, str] = os.environ) -> frozenset[str]:
    """The instruction sets, out of those that matter here, that oneDNN uses in this process.

    Empty where the system does not tell them in /proc/cpuinfo; the rule then takes no bf16.

    Args:
        environment: ONEDNN_MAX_CPU_ISA limits what is used.
    """
    asked = {*INT8_INSTRUCTIONS, *BF16_INSTRUCTIONS, *_WIDE}
    found = frozenset(asked & _flags())
    limit = environment.get("ONEDNN_MAX_CPU_ISA") or environment.get("DNNL_MAX_CPU_ISA") or ""
    allowed = _LIMITS.get(limit.upper())
    return found if allowed is None else found & allowed


def _flags() -> set[str]:
    try:
        lines = _CPUINFO.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return set()
    return next((set(line.partition(":")[2].split()) for line in lines if line.startswith("flags")), set())


def _first(wanted: tuple[str, ...], found: frozenset[str]) -> str | None:
    return next((name for name in wanted if name in found), None)
