"""Opens the engine for a bundle: chosen by rule, and measured against the bundle's graph where it is another one."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from workers.adapters.bundle import Bundle
from workers.adapters.embedder.choice import EngineChoice, EngineWish, choose_engine, look_around, openvino_choice
from workers.adapters.embedder.openvino import OpenVinoEmbedder
from workers.adapters.embedder.parity import Parity, measure_parity
from workers.errors import CatalogError, ContractError
from workers.ports import Embedder
from workers.telemetry import log

CPU_BATCH: Final = 16
"""Measured best on 2 CPUs: larger ones gain nothing, smaller ones lose."""
GPU_BATCH: Final = 128
"""Large enough to fill a data-centre card with a ResNet at 224 pixels; not measured on one."""

Samples = Callable[[], NDArray[np.uint8]]
"""(N, S, S, 3) pictures that parity is measured on; called only when it has to be."""


@dataclass(frozen=True, kw_only=True, slots=True)
class EngineOptions:
    """How an engine is to be opened."""

    wish: EngineWish
    cache_dir: Path
    """Where compiled graphs and measured parity are kept."""
    threads: int | None = None
    """CPU threads of OpenVINO; None takes all it finds."""
    streams: int = 1
    """Batches at once of OpenVINO."""
    batch_size: int | None = None
    """Images of one inference; None leaves it to the engine."""
    single: bool = False
    """For one picture at a time, answered as fast as may be."""


def open_engine(bundle: Bundle, options: EngineOptions, *, samples: Samples) -> Embedder:
    """The engine that `choose_engine` names.

    An engine that `auto` took and that cannot be used (an architecture it does not know, a driver that fails, answers
    too far from the graph's) is given up for OpenVINO with a warning; one that was asked for by name is not.

    Raises:
        ConfigurationError: the machine lacks what was asked for.
        ContractError: the bundle cannot be run, or the engine asked for is too far from the bundle's graph.
    """
    machine = look_around(options.wish)
    choice = choose_engine(options.wish, bundle.card, machine, single=options.single)
    if choice.engine == "torch":
        try:
            return _open_torch(bundle, options, choice, samples)
        except CatalogError as error:
            if options.wish != EngineWish():
                raise
            choice = openvino_choice(bundle.card, machine, f"the GPU is not used: {error}")
            log.warning("the GPU is not used", reason=str(error))
    log.info("engine", engine=str(choice))
    return _open_openvino(bundle, options, choice)


def _open_openvino(bundle: Bundle, options: EngineOptions, choice: EngineChoice) -> OpenVinoEmbedder:
    return OpenVinoEmbedder(
        bundle,
        threads=options.threads,
        cache_dir=options.cache_dir,
        batch_size=1 if options.single else options.batch_size or CPU_BATCH,
        streams=1 if options.single else options.streams,
        engine=str(choice),
    )


def _open_torch(bundle: Bundle, options: EngineOptions, choice: EngineChoice, samples: Samples) -> Embedder:
    from workers.adapters.embedder.torch import TorchEmbedder

    batch = GPU_BATCH if choice.device != "cpu" else CPU_BATCH
    embedder = TorchEmbedder(
        bundle,
        device=choice.device,
        batch_size=1 if options.single else options.batch_size or batch,
        engine=str(choice),
    )
    try:
        parity = _parity(embedder, bundle, options, choice, samples)
        if parity.faults:
            raise ContractError(
                f"torch on {choice.device} and the bundle's graph are too far apart to share a model digest "
                f"({'; '.join(parity.faults)}): set CATALOG_ENGINE=openvino, or export the bundle anew"
            )
    except BaseException:
        embedder.close()
        raise
    log.info("engine", engine=str(choice), parity=str(parity))
    return embedder


def _parity(
    embedder: Embedder, bundle: Bundle, options: EngineOptions, choice: EngineChoice, samples: Samples
) -> Parity:
    """What was measured before of this bundle, engine, device and these versions, or is measured now and kept."""
    kept = options.cache_dir / f"parity-{_key(bundle, choice)}.json"
    try:
        return Parity.model_validate_json(kept.read_bytes())
    except (OSError, ValidationError):
        pass  # never measured, or half written
    reference = _open_openvino(bundle, replace(options, single=False, batch_size=None), choice)
    try:
        parity = measure_parity(reference, embedder, samples())
    finally:
        reference.close()
    partial = kept.with_suffix(f".{os.getpid()}.partial")
    with suppress(OSError):  # a full disk: measured again next time
        partial.write_text(parity.model_dump_json(indent=2) + "\n", encoding="utf-8")
        partial.replace(kept)
    return parity


def _key(bundle: Bundle, choice: EngineChoice) -> str:
    import torch

    from workers.adapters.embedder import network

    cuda = choice.device != "cpu"
    said = {
        "digest": bundle.card.digest,
        "device": torch.cuda.get_device_name(choice.device) if cuda else "cpu",
        "precision": choice.precision,
        "cuda": torch.version.cuda if cuda else None,
        "cudnn": torch.backends.cudnn.version() if cuda else None,  # type: ignore[no-untyped-call]
        "versions": [version(name) for name in ("openvino", "torch", "torchvision")],
        "network": hashlib.sha256(Path(network.__file__).read_bytes()).hexdigest(),
    }
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()[:32]
