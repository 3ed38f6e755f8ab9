"""Features of a folder of images, as a file for whatever comes next."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from schemas.model_card import Preprocessing
from training.model import Student, normalise
from training.run_folder import LAST
from training.trained_student import load_student
from workers.errors import ConfigurationError, ItemError
from workers.imaging.limits import DecodeLimits
from workers.imaging.preprocess import prepare

SUFFIXES = (".safetensors", ".npy")
_IMAGES = frozenset({".jpg", ".jpeg", ".png", ".gif", ".webp", ".avif"})
_BATCH = 64
_LIMITS = DecodeLimits()


@dataclass(frozen=True, kw_only=True, slots=True)
class Extracted:
    """Features with the names of their images."""

    vectors: NDArray[np.float32]
    """(N, D)."""
    names: tuple[str, ...]
    """Paths below the source, with forward slashes."""
    left_out: tuple[tuple[str, str], ...]
    """Name and reason of images that could not be decoded."""

    def save(self, path: Path) -> None:
        """Write the vectors (tensor `features` in a safetensors file), and the names as JSON beside them.

        Raises:
            ConfigurationError: another suffix than .safetensors or .npy, or the folder cannot be written.
        """
        from safetensors.numpy import save_file

        check_suffix(path)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            if path.suffix == ".npy":
                np.save(path, self.vectors, allow_pickle=False)
            else:
                save_file({"features": self.vectors}, path)
            path.with_suffix(".names.json").write_text(json.dumps(self.names, indent=1) + "\n", encoding="utf-8")
        except OSError as error:
            raise ConfigurationError(f"{path} cannot be written: {error.strerror or error}") from error


def extract(
    run: Path,
    source: Path,
    *,
    checkpoint: str = LAST,
    input_size: int | None = None,
    normalised: bool = False,
) -> Extracted:
    """The averaged student's embeddings (before the map that an export fits) of an image or a folder of them.

    Raises:
        ConfigurationError: the run has no such checkpoint, or there is no readable image.
    """
    loaded = load_student(run, checkpoint=checkpoint)
    preprocessing = Preprocessing(input_size=input_size or loaded.config.model.input_size)
    paths = _images(source)
    base = source if source.is_dir() else source.parent
    names: list[str] = []
    left_out: list[tuple[str, str]] = []
    parts: list[NDArray[np.float32]] = []
    for chunk in (paths[i : i + _BATCH] for i in range(0, len(paths), _BATCH)):
        pixels: list[NDArray[np.uint8]] = []
        for path, found in zip(chunk, _prepared(chunk, preprocessing), strict=True):
            name = path.relative_to(base).as_posix()
            if isinstance(found, str):
                left_out.append((name, found))
            else:
                names.append(name)
                pixels.append(found)
        if pixels:
            parts.append(_embedded(loaded.student, np.stack(pixels), preprocessing))
    if not parts:
        raise ConfigurationError(f"none of the {len(paths)} images in {source} can be decoded: {left_out[0][1]}")
    vectors = np.concatenate(parts)
    if normalised:
        vectors = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    return Extracted(vectors=vectors, names=tuple(names), left_out=tuple(left_out))


def _images(source: Path) -> list[Path]:
    if source.is_file():
        return [source]
    found = sorted(p for p in source.rglob("*") if p.suffix.lower() in _IMAGES and p.is_file())
    if not found:
        raise ConfigurationError(f"no images ({', '.join(sorted(_IMAGES))}) in {source}")
    return found


def _prepared(paths: Sequence[Path], preprocessing: Preprocessing) -> Iterator[NDArray[np.uint8] | str]:
    """Each image's input, or why there is none."""

    def one(path: Path) -> NDArray[np.uint8] | str:
        try:
            return prepare(path.read_bytes(), preprocessing, _LIMITS)
        except (ItemError, OSError) as error:
            return str(error)

    with ThreadPoolExecutor() as pool:
        yield from pool.map(one, paths)


def _embedded(student: Student, pixels: NDArray[np.uint8], preprocessing: Preprocessing) -> NDArray[np.float32]:
    with torch.inference_mode():
        images = normalise(torch.from_numpy(pixels), preprocessing.mean, preprocessing.std)
        found: NDArray[np.float32] = student(images).embedding.numpy()
    return found


def check_suffix(path: Path) -> None:
    """Raise a `ConfigurationError` unless the path's suffix says in which of the two formats to write."""
    if path.suffix not in SUFFIXES:
        raise ConfigurationError(f"{path} must end in {' or '.join(SUFFIXES)}")
