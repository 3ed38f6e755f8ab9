"""The cache of augmented views with the teacher's features of the very same view.

Making a view and asking the teacher costs as much as half a training step, so a fixed number of views an image is made
once and read many times. One folder a source: `pixels.npy`, `pooled.npy`, `positions.npy`, `probabilities.npy`
(memory-mapped) and `views.json`, written last.
"""

from __future__ import annotations

import hashlib
import json
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib.format import open_memmap
from numpy.typing import NDArray

from schemas.model_card import Preprocessing
from training.augment import augment, crop_to_box, shrink
from training.config import Config
from training.datasets.record import Record
from training.teacher import Basis, Features, Member, Teacher, fit_basis, load_basis
from workers.errors import ConfigurationError, ItemError
from workers.imaging.decode import Decoded, decode
from workers.imaging.limits import DecodeLimits
from workers.imaging.preprocess import to_input

_FORMAT = 2
"""Raised when views come out differently for the same settings, so that older caches are not used."""
_BASIS_IMAGES = 1200
"""Images behind means and principal components: 49 positions each, far more than 1,280 channels need."""
_BATCH = 32
_AHEAD = 24
"""Images whose views are made ahead of the teacher; bounds memory at about 50 MB."""
_LIMITS = DecodeLimits()
DECODE_MARGIN = 1.25
"""Views zoom in, so a JPEG is decoded to this many times the teacher's size at least."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Views:
    """The cached views of one source; first axis: its training records, in their order."""

    folder: Path
    """Where they lie; what is derived from them may be kept beside them."""

    pixels: NDArray[np.uint8]
    """(N, V, S, S, 3)."""
    pooled: NDArray[np.float16]
    """(N, V, M * 1280) pooled features of the teacher's M networks as they are."""
    positions: NDArray[np.float16]
    """(N, V, G * G, K) teacher's positions in the basis."""
    probabilities: NDArray[np.float16]
    """(N, V, C) what the teacher's tuned networks say; of no use where they were not tuned."""


def cached_views(
    records: Sequence[Record],
    *,
    per_image: int,
    config: Config,
    members: Sequence[Member],
    classes: int,
    cache: Path,
    on_progress: Callable[[int], None] | None = None,
) -> tuple[Views, Basis]:
    """The views of these records from the cache, made first where they are missing.

    The basis is fitted on the first source that asks and then shared by all that the same teacher sees.
    """
    teacher_facts = [(m.name, m.size, m.tuned and m.tuned.name) for m in members]
    key = _digest(records, per_image, config, teacher_facts)
    folder = cache / f"{records[0].source}-{key[:16]}"
    basis_path = cache / f"basis-{_digest_of(_FORMAT, config.teacher.map_dimensions, teacher_facts)[:16]}.safetensors"
    if not (folder / "views.json").is_file():
        folder.mkdir(parents=True, exist_ok=True)
        teacher = Teacher(members, classes=classes, threads=config.loop.threads)
        if not basis_path.is_file():
            features = _clean_features(records, teacher, config.views.teacher_size)
            fit_basis(features, config.teacher.map_dimensions).save(basis_path)
        _write(records, per_image, config, teacher, load_basis(basis_path), folder, on_progress)
        (folder / "views.json").write_text(json.dumps({"digest": key, "records": len(records)}), encoding="utf-8")
    views = Views(
        folder=folder,
        pixels=np.load(folder / "pixels.npy", mmap_mode="r"),
        pooled=np.load(folder / "pooled.npy", mmap_mode="r"),
        positions=np.load(folder / "positions.npy", mmap_mode="r"),
        probabilities=np.load(folder / "probabilities.npy", mmap_mode="r"),
    )
    return views, load_basis(basis_path)


def clean_inputs(records: Sequence[Record], size: int, *, box_margin: float | None = None) -> NDArray[np.uint8]:
    """(N, S, S, 3): the images exactly as serving prepares them, cut to their boxes first where a margin is given.

    Raises:
        ConfigurationError: an image cannot be read or decoded.
    """
    inputs = np.empty((len(records), size, size, 3), dtype=np.uint8)
    with ThreadPoolExecutor() as pool:
        for i, pixels in enumerate(pool.map(lambda r: _clean(r, size, box_margin), records)):
            inputs[i] = pixels
    return inputs


def decode_record(record: Record, min_side_px: int) -> Decoded:
    """The pixels of a record.

    Raises:
        ConfigurationError: the image cannot be read or decoded; the text names it.
    """
    try:
        return decode(record.read(), min_side_px=min_side_px, limits=_LIMITS)
    except (ItemError, OSError) as error:
        raise ConfigurationError(
            f"the image {record.name} of {record.source} cannot be used ({error}): repair it or take it out of the data "
            "set; `python -m training scan` finds all such images"
        ) from error


def views_of(record: Record, count: int, config: Config) -> NDArray[np.uint8]:
    """(count, T, T, 3) views; the same for the same record and settings."""
    size = config.views.teacher_size
    pixels = decode_record(record, int(size * DECODE_MARGIN)).pixels
    name_seed = int.from_bytes(hashlib.sha256(f"{record.source}/{record.name}".encode()).digest()[:8], "big")
    rng = np.random.default_rng([config.loop.seed, name_seed])
    return np.stack([augment(pixels, config.views, rng) for _ in range(count)])


def _clean(record: Record, size: int, box_margin: float | None) -> NDArray[np.uint8]:
    decoded = decode_record(record, size)
    if box_margin is not None and record.box is not None:
        decoded = replace(decoded, pixels=crop_to_box(decoded.pixels, record.box, box_margin)[0])
    return to_input(decoded, Preprocessing(input_size=size))


def _clean_features(records: Sequence[Record], teacher: Teacher, size: int) -> Features:
    step = max(1, len(records) // _BASIS_IMAGES)
    inputs = clean_inputs(records[::step], size)
    parts = [teacher(inputs[i : i + _BATCH]) for i in range(0, len(inputs), _BATCH)]
    return Features(
        pooled=np.concatenate([p.pooled for p in parts]),
        positions=np.concatenate([p.positions for p in parts]),
        probabilities=np.concatenate([p.probabilities for p in parts]),
    )


def _write(
    records: Sequence[Record],
    per_image: int,
    config: Config,
    teacher: Teacher,
    basis: Basis,
    folder: Path,
    on_progress: Callable[[int], None] | None,
) -> None:
    n, side = len(records), config.views.stored_size
    arrays: dict[str, np.memmap[Any, Any]] = {}

    def put(name: str, i: int, values: NDArray[Any], dtype: type) -> None:
        if name not in arrays:
            arrays[name] = open_memmap(folder / f"{name}.npy", mode="w+", dtype=dtype, shape=(n, *values.shape))
        arrays[name][i] = values

    for i, views in enumerate(_views_ahead(records, per_image, config)):
        features = teacher(views)
        put("pixels", i, np.stack([shrink(view, side) for view in views]), np.uint8)
        put("pooled", i, features.pooled, np.float16)
        put("positions", i, basis.project(features.positions), np.float16)
        put("probabilities", i, features.probabilities, np.float16)
        if on_progress is not None:
            on_progress(1)
    for array in arrays.values():
        array.flush()


def _views_ahead(records: Sequence[Record], per_image: int, config: Config) -> Iterator[NDArray[np.uint8]]:
    waiting: deque[Future[NDArray[np.uint8]]] = deque()
    with ThreadPoolExecutor(max_workers=config.loop.threads) as pool:
        for record in records:
            waiting.append(pool.submit(views_of, record, per_image, config))
            if len(waiting) >= _AHEAD:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _digest(records: Sequence[Record], per_image: int, config: Config, teacher_facts: object) -> str:
    names = [(r.name, hashlib.sha256(r.data).hexdigest() if r.data is not None else "") for r in records]
    look = {k: v for k, v in asdict(config.views).items() if not k.startswith("per_")}
    dimensions = config.teacher.map_dimensions
    return _digest_of(_FORMAT, names, per_image, look, dimensions, teacher_facts, config.loop.seed)


def _digest_of(*parts: object) -> str:
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
