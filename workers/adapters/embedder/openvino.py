"""The CPU engine: a bundle's OpenVINO graph behind the `Embedder` port."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from schemas.model_card import EMBEDDING_OUTPUT, ModelCard
from workers.adapters.bundle import Bundle
from workers.adapters.embedder.lanes import Lanes, Outputs
from workers.adapters.embedder.precision import CpuPrecision, choose_precision, cpu_instructions
from workers.adapters.embedder.signal_stack import kept_signal_stack
from workers.adapters.embedder.tensors import check_images, output_names, to_embeddings
from workers.errors import ConfigurationError, ContractError
from workers.ports import Embeddings


class OpenVinoEmbedder:
    """Runs a bundle on the CPU in batches of one fixed size.

    The graph is compiled for exactly `batch_size` images, which is faster than a graph that takes any number; a last
    batch that is not full is padded and the padding's results dropped. `streams` batches run at once, the threads
    shared out among them; further callers wait. One thread a stream gives the most images a second, above all while
    other threads decode: a batch that is split among threads stands still when one of them loses its core (measured on
    two cores with ResNet-18 at 224 px: 368 against 346 images/s alone, 316 against 282 with decoding beside it). One
    stream with every thread gives the quickest single answer.
    """

    def __init__(
        self,
        bundle: Bundle,
        *,
        threads: int | None = None,
        cache_dir: Path | None = None,
        batch_size: int = 16,
        streams: int = 1,
        engine: str = "OpenVINO",
    ) -> None:
        """Compile the graph, or load it compiled from the cache.

        Args:
            bundle: As `load_bundle` gives it, digest checked.
            threads: CPU threads of all streams together; None leaves it to the engine (every physical core).
            cache_dir: Where compiled graphs are kept, so that the next start takes a fraction of a second; None
                compiles on every start.
            batch_size: Images of one inference, at least 1.
            streams: Inferences at once, at least 1.
            engine: What people are told of it.

        Raises:
            ConfigurationError: `threads`, `batch_size` or `streams` is below 1.
            ContractError: the graph does not load, or its inputs and outputs are not what the card says.
        """
        if batch_size < 1 or streams < 1 or (threads is not None and threads < 1):
            raise ConfigurationError(
                f"batch_size ({batch_size}), streams ({streams}) and threads ({threads}) must be at least 1"
            )
        self._card = bundle.card
        self._batch_size = batch_size
        self._engine = engine
        precision = choose_precision(bundle.card.graph.precision, cpu_instructions())
        compiled = _compile(
            bundle, precision=precision, threads=threads, cache_dir=cache_dir, batch_size=batch_size, streams=streams
        )
        names = output_names(bundle.card)
        lanes = [_Lane(compiled.create_infer_request(), names=names) for _ in range(streams)]
        self._lanes = Lanes(lanes, batch=batch_size)

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
        """Inferences at once."""
        return len(self._lanes)

    def embed(self, images: NDArray[np.uint8]) -> Embeddings:
        """Run (N, S, S, 3) uint8 RGB images, N >= 1. Thread-safe.

        Raises:
            ContractError: wrong shape or dtype, or the embedder was closed.
        """
        check_images(images, self._card)
        return to_embeddings(self._lanes.run(images))

    def close(self) -> None:
        """Release the engine once what runs has ended; closing twice is harmless."""
        self._lanes.close()


class _Lane:
    """One inference request of the compiled graph."""

    def __init__(self, request: Any, *, names: tuple[str, ...]) -> None:
        self._request = request
        self._names = names
        # One lane after another: OpenVINO's bindings initialise themselves at the first inference, and two threads that
        # are first at once have been seen to wait for each other for ever, with the interpreter's lock held.
        self.run(np.zeros((1, *request.get_input_tensor().shape[1:]), dtype=np.uint8))

    def run(self, images: NDArray[np.uint8]) -> Outputs:
        """Copies of the results, because the engine reuses its memory."""
        count = len(images)
        self._request.get_input_tensor().data[:count] = images  # what an earlier batch left behind it is padding
        self._request.infer(share_outputs=True)
        return {name: np.array(self._request.get_tensor(name).data[:count], dtype=np.float32) for name in self._names}


def _compile(
    bundle: Bundle,
    *,
    precision: CpuPrecision,
    threads: int | None,
    cache_dir: Path | None,
    batch_size: int,
    streams: int,
) -> Any:
    import openvino as ov

    core = ov.Core()
    size = bundle.card.preprocessing.input_size
    settings: dict[str, Any] = {
        "NUM_STREAMS": streams,
        # An int8 graph's own layers stay int8 under any hint.
        "INFERENCE_PRECISION_HINT": ov.Type.bf16 if precision.rest == "bf16" else ov.Type.f32,
    }
    if threads is not None:
        settings["INFERENCE_NUM_THREADS"] = threads
    if cache_dir is not None:
        cache_dir.mkdir(parents=True, exist_ok=True)
        settings["CACHE_DIR"] = str(cache_dir)
    try:
        graph = core.read_model(bundle.graph)
        _check_graph(graph, bundle)
        graph.reshape([batch_size, size, size, 3])
        with kept_signal_stack():
            return core.compile_model(graph, "CPU", settings)
    except RuntimeError as error:
        raise ContractError(f"{bundle.graph} cannot be run: {str(error).strip().splitlines()[-1]}") from error


def _check_graph(graph: Any, bundle: Bundle) -> None:
    found = {name for output in graph.outputs for name in output.get_names()}
    missing = [name for name in output_names(bundle.card) if name not in found]
    if missing:
        raise ContractError(f"{bundle.graph} lacks the outputs {', '.join(missing)} that its card promises")
    width = graph.output(EMBEDDING_OUTPUT).get_partial_shape()[1].get_length()
    if width != bundle.card.embedding_size:
        raise ContractError(f"{bundle.graph} embeds in {width} dimensions, its card says {bundle.card.embedding_size}")
