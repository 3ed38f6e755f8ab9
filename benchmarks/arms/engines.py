"""The engines side by side in one process: each runs the same pixels in batches, on as many threads as it takes."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import cycle
from typing import Final, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.networks import Weights
from schemas.model_card import Graph
from workers.adapters.bundle import Bundle, load_bundle
from workers.adapters.embedder.openvino import OpenVinoEmbedder
from workers.adapters.embedder.precision import choose_precision, cpu_instructions
from workers.adapters.embedder.torch import TorchEmbedder
from workers.flow import Ahead
from workers.imaging.decode import DecodeLimits
from workers.imaging.preprocess import prepare
from workers.ports import Embedder

BATCH: Final = 16
_WARM_UP_BATCHES: Final = 2


@dataclass(frozen=True, kw_only=True, slots=True)
class Arm:
    """One way to run the network."""

    name: str
    run: Callable[[NDArray[np.uint8]], object]
    """Takes (batch, S, S, 3) pixels."""
    batch: int = BATCH
    callers: int = 1
    """Threads that call `run` at once."""


def cpus() -> int:
    """That this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def cpu_arms(weights: Weights) -> list[Arm]:
    """Ours on the CPU, and what else people run."""
    arms = [_embedder_arm("OpenVINO int8 (ours)", _openvino(load_bundle(weights.bundle)))]
    exact = load_bundle(weights.float_bundle)
    if choose_precision("bf16", cpu_instructions()).layers == "bf16":
        arms.append(_embedder_arm("OpenVINO bf16", _openvino(_as(exact, "bf16"))))
    arms.append(_embedder_arm("OpenVINO float32", _openvino(_as(exact, "f32"))))
    for precision, name in (("bf16", "bf16"), ("f32", "float32")):
        engine = TorchEmbedder(exact, precision=precision, batch_size=BATCH)  # type: ignore[arg-type]
        arms.append(_embedder_arm(f"our torch engine {name}", engine))
    return [*arms, _onnx_arm(weights), _eager_arm(weights, torch.device("cpu"), batch=BATCH)]


def gpu_arms(weights: Weights, device: str, *, batch: int) -> list[Arm]:
    """Ours on a GPU, and the same network as scripts run it there."""
    ours = TorchEmbedder(load_bundle(weights.float_bundle), device=device, batch_size=batch)
    return [
        _embedder_arm("our torch engine bf16", ours),
        _eager_arm(weights, torch.device(device), batch=batch, autocast=True),
        _eager_arm(weights, torch.device(device), batch=batch),
    ]


def forward_rate(arm: Arm, images: NDArray[np.uint8], *, seconds: float) -> float:
    """Images/s of the engine alone: the sum of its callers' rates, each over whole batches and at least so many seconds."""
    batch = images[: arm.batch]
    with ThreadPoolExecutor(arm.callers) as callers:
        for _ in callers.map(arm.run, [batch] * _WARM_UP_BATCHES * arm.callers):
            pass
        until = time.perf_counter() + seconds

        def caller(_: int) -> float:
            started, done = time.perf_counter(), 0
            while time.perf_counter() < until:
                arm.run(batch)
                done += len(batch)
            return done / (time.perf_counter() - started)

        return sum(callers.map(caller, range(arm.callers)))


def end_to_end_rate(
    arm: Arm, encoded: Sequence[bytes], *, weights: Weights, decode_threads: int, seconds: float
) -> float:
    """Images/s from encoded bytes in memory to results, decoding on threads beside the engine; full speed only."""
    preprocessing, limits = load_bundle(weights.bundle).card.preprocessing, DecodeLimits()

    def decode(group: Sequence[bytes]) -> NDArray[np.uint8]:
        return np.stack([prepare(data, preprocessing, limits) for data in group])

    with ThreadPoolExecutor(decode_threads) as decoders, ThreadPoolExecutor(arm.callers) as callers:
        decoded = Ahead(decoders, decode, _groups(encoded, arm.batch), depth=2 * decode_threads)

        def run(images: NDArray[np.uint8]) -> int:
            arm.run(images)
            return len(images)

        done = Ahead(callers, run, decoded, depth=arm.callers + 1)
        with closing(decoded), closing(done):
            for _ in range(arm.callers + 1):  # until every place is under way
                next(done)
            started, count = time.perf_counter(), 0
            while time.perf_counter() < started + seconds:
                count += next(done)
            return count / (time.perf_counter() - started)


def decode_rate(encoded: Sequence[bytes], *, weights: Weights, decode_threads: int, seconds: float) -> float:
    """Images/s of decoding alone on so many threads."""
    nothing = Arm(name="decoding alone", run=len)
    return end_to_end_rate(nothing, encoded, weights=weights, decode_threads=decode_threads, seconds=seconds)


def _groups(encoded: Sequence[bytes], size: int) -> Iterator[Sequence[bytes]]:
    endless = cycle(encoded)
    while True:
        yield [next(endless) for _ in range(size)]


def _as(bundle: Bundle, precision: Literal["bf16", "f32"]) -> Bundle:
    """The same files with a card that asks for another precision."""
    return replace(bundle, card=bundle.card.model_copy(update={"graph": Graph(precision=precision)}))


def _openvino(bundle: Bundle) -> OpenVinoEmbedder:
    return OpenVinoEmbedder(bundle, threads=cpus(), batch_size=BATCH, streams=cpus())


def _embedder_arm(name: str, embedder: Embedder) -> Arm:
    return Arm(name=name, run=embedder.embed, batch=embedder.batch_size, callers=embedder.parallel)


def _onnx_arm(weights: Weights) -> Arm:
    """Normalised planes are made beforehand, once: the arm is given less to do than ours."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = cpus()
    session = onnxruntime.InferenceSession(str(weights.onnx), options, providers=["CPUExecutionProvider"])
    planes = np.random.default_rng(0).normal(size=(BATCH, 3, weights.input_size, weights.input_size))
    inputs = {"images": planes.astype(np.float32)}
    return Arm(name="ONNX Runtime float32", run=lambda _: session.run(None, inputs))


def _eager_arm(weights: Weights, device: torch.device, *, batch: int, autocast: bool = False) -> Arm:
    """torch as scripts use it; normalised planes are on the device beforehand: the arm is given less to do than ours."""
    network = weights.network().to(device)
    torch.manual_seed(0)
    planes = torch.randn(batch, 3, weights.input_size, weights.input_size, device=device)
    if autocast:
        network, planes = network.to(memory_format=torch.channels_last), planes.to(memory_format=torch.channels_last)

    def run(_: NDArray[np.uint8]) -> NDArray[np.float32]:
        with torch.inference_mode(), torch.autocast(device.type, torch.bfloat16, enabled=autocast):
            embedding, _category = network(planes)
        found: NDArray[np.float32] = embedding.float().cpu().numpy()
        return found

    return Arm(name=f"torch {'bf16 channels-last' if autocast else 'float32'} eager", run=run, batch=batch)
