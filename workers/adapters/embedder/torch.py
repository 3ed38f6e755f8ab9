"""The GPU engine: a bundle's weights in torch behind the `Embedder` port. It runs on a CPU too, as fast as torch does there.

Pixels come decoded: decoding stays with the pipeline's threads and `workers.imaging`, for other decoders give other pixels.
"""

from __future__ import annotations

from typing import Final, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from schemas.model_card import ModelCard
from workers.adapters.bundle import Bundle
from workers.adapters.embedder.lanes import Lane, Lanes, Outputs
from workers.adapters.embedder.network import BundleNetwork, load_network
from workers.adapters.embedder.tensors import check_images, to_embeddings
from workers.errors import ConfigurationError
from workers.ports import Embeddings

CUDA_LANES: Final = 2
"""One uploads its batch while the other computes."""
_WARM_UP_RUNS: Final = 3
"""Before a graph is captured: cuDNN tries its algorithms and libraries make what they allocate once (as torch advises)."""


class TorchEmbedder:
    """Runs a bundle by its weights, in bf16 on a GPU and in float32 on a CPU.

    On a GPU two batches are under way at once. Each has pinned memory, a stream and a captured CUDA graph of its own, so
    that one is copied there while the other computes, and a call costs the CPU little more than its copies. A batch
    that is not full runs with what the last one left behind it, whose results are dropped. On a CPU one batch at a time
    uses every thread that torch has.
    """

    def __init__(
        self,
        bundle: Bundle,
        *,
        device: str = "cpu",
        precision: Literal["bf16", "f32"] | None = None,
        batch_size: int = 128,
        engine: str = "torch",
    ) -> None:
        """Load the weights and prepare the device.

        Args:
            bundle: As `load_bundle` gives it, digest checked.
            device: `cpu`, `cuda` or `cuda:1`.
            precision: Of the trunk; None takes bf16 on a GPU, float32 on a CPU.
            batch_size: Images of one inference, at least 1.
            engine: What people are told of it.

        Raises:
            ConfigurationError: `batch_size` is below 1, there is no such device, or it has too little memory.
            ContractError: the bundle's network is none that torch is taught here, or its weights do not fit it.
        """
        if batch_size < 1:
            raise ConfigurationError(f"batch_size ({batch_size}) must be at least 1")
        self._card = bundle.card
        self._batch_size = batch_size
        self._engine = engine
        where = _device(device)
        network = load_network(bundle)
        chosen = precision or ("bf16" if where.type == "cuda" else "f32")
        try:
            network.prepared(device=where, precision=chosen)
            self._lanes = Lanes(_lanes(network, self._card, where, batch_size), batch=batch_size)
        except torch.OutOfMemoryError as error:
            raise ConfigurationError(
                f"{device} has too little free memory for batches of {batch_size} images: lower CATALOG_ENGINE_BATCH "
                "or set CATALOG_ENGINE=openvino"
            ) from error
        except RuntimeError as error:
            said = str(error).strip().splitlines()[0]
            raise ConfigurationError(
                f"{device} cannot be used ({said}): CATALOG_ENGINE=openvino does without"
            ) from error

    @property
    def card(self) -> ModelCard:
        """The bundle's card."""
        return self._card

    @property
    def engine(self) -> str:
        """What was chosen and why."""
        return self._engine

    @property
    def batch_size(self) -> int:
        """Images of one inference."""
        return self._batch_size

    @property
    def parallel(self) -> int:
        """Batches under way at once."""
        return len(self._lanes)

    def embed(self, images: NDArray[np.uint8]) -> Embeddings:
        """Run (N, S, S, 3) uint8 RGB images, N >= 1. Thread-safe.

        Raises:
            ContractError: wrong shape or dtype, or the embedder was closed.
        """
        check_images(images, self._card)
        return to_embeddings(self._lanes.run(images))

    def close(self) -> None:
        """Release the engine; closing twice is harmless."""
        self._lanes.close()


class _CpuLane:
    """Runs any number of images."""

    def __init__(self, network: BundleNetwork) -> None:
        self._network = network

    def run(self, images: NDArray[np.uint8]) -> Outputs:
        with torch.no_grad():
            found = self._network(torch.from_numpy(np.require(images, requirements=["C", "W"])))
        return {name: output.numpy().copy() for name, output in found.items()}


class _CudaLane:
    """Pinned memory, a stream and a captured graph for `batch` images."""

    def __init__(self, network: BundleNetwork, *, device: torch.device, size: int, batch: int) -> None:
        shape = (batch, size, size, 3)
        self._device = device
        self._upload = torch.zeros(shape, dtype=torch.uint8, pin_memory=True)
        self._pixels = self._upload.numpy()
        with torch.cuda.device(device), torch.no_grad():
            self._stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
            self._images = torch.zeros(shape, dtype=torch.uint8, device=device)
            self._done = torch.cuda.Event(blocking=True)  # type: ignore[no-untyped-call]
            self._stream.wait_stream(torch.cuda.current_stream(device))  # the weights and zeros are written there
            with torch.backends.cudnn.flags(enabled=True, benchmark=True):
                self._graph, self._outputs = _captured(network, self._images, self._stream)
            self._answers = {
                name: torch.empty(found.shape, dtype=found.dtype, pin_memory=True)
                for name, found in self._outputs.items()
            }

    def run(self, images: NDArray[np.uint8]) -> Outputs:
        """Copy there, compute and copy back on this lane's stream; only the end is waited for."""
        count = len(images)
        np.copyto(self._pixels[:count], images)
        with torch.cuda.device(self._device), torch.cuda.stream(self._stream), torch.no_grad():
            self._images[:count].copy_(self._upload[:count], non_blocking=True)
            self._graph.replay()
            for name, found in self._outputs.items():
                self._answers[name].copy_(found, non_blocking=True)
            self._done.record(self._stream)
        self._done.synchronize()
        return {name: answer[:count].numpy().copy() for name, answer in self._answers.items()}


def _captured(
    network: BundleNetwork, images: torch.Tensor, stream: torch.cuda.Stream
) -> tuple[torch.cuda.CUDAGraph, dict[str, torch.Tensor]]:
    """The network's work on `images` as a graph that is launched as one, and where it leaves its outputs."""
    with torch.cuda.stream(stream):
        for _ in range(_WARM_UP_RUNS):
            network(images)
    stream.synchronize()
    graph = torch.cuda.CUDAGraph()
    # Other threads of the process may use the device meanwhile, which the default mode forbids.
    with torch.cuda.graph(graph, stream=stream, capture_error_mode="thread_local"):
        outputs = network(images)
    return graph, outputs


def _lanes(network: BundleNetwork, card: ModelCard, device: torch.device, batch: int) -> list[Lane]:
    if device.type == "cpu":
        return [_CpuLane(network)]
    size = card.preprocessing.input_size
    return [_CudaLane(network, device=device, size=size, batch=batch) for _ in range(CUDA_LANES)]


def _device(name: str) -> torch.device:
    """The device of that name, which is there.

    Raises:
        ConfigurationError: it is not.
    """
    device = torch.device(name)
    if device.type == "cpu":
        return device
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if count == 0:
        raise ConfigurationError(
            f"torch sees no GPU for the device {name} (none here, its driver missing, or a torch not built for it); "
            "CATALOG_ENGINE=openvino does without"
        )
    if (device.index or 0) >= count:
        raise ConfigurationError(f"there is no device {name}: the last GPU here is cuda:{count - 1}")
    return torch.device("cuda", device.index or 0)
