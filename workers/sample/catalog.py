"""Draws the sample catalog as a stream of pictures, and writes it to a folder with its manifest and annotations."""

from __future__ import annotations

import csv
import itertools
import json
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import simplejpeg

from workers.errors import ConfigurationError, ContractError
from workers.sample.pose import Sitting, sit
from workers.sample.products import Product, product
from workers.sample.studio import photograph
from workers.sample.wardrobe import wardrobe

DRAWING: Final = 1
"""Version of the drawing; raised when the same seed gives other pictures."""
_MARK: Final = "sample.json"
_QUALITY: Final = 85
_SHARD: Final = 20_000
"""Products of a folder level: 2,000 of each category, at most 8,000 files."""
_SMALLEST, _LARGEST = 64, 4096
_MANIFEST: Final = (
    "image",
    "product_id",
    "category",
    "brand",
    "price",
    "currency",
    "colour",
    "in_stock",
    "title",
    "url",
)
_ANNOTATIONS: Final = (
    "image",
    "category",
    "colour",
    "pattern",
    "attributes",
    "x1",
    "y1",
    "x2",
    "y2",
    "width",
    "height",
    "product_id",
    "view",
    "split",
)


@dataclass(frozen=True, kw_only=True, slots=True)
class SampleImage:
    """One picture with everything that is known about it."""

    key: str
    """Path below the catalog's folder, with forward slashes."""
    jpeg: bytes
    product_id: str
    view: str
    category: str
    colour: str
    pattern: str
    attributes: tuple[str, ...]
    box: tuple[int, int, int, int]
    """x1, y1, x2, y2 in pixels, right and bottom exclusive, cut at the frame."""
    width: int
    height: int
    brand: str
    price: float
    currency: str
    in_stock: bool
    title: str
    split: str
    """train, validation or test; all views of a product share it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SampleReport:
    """What a call of `write` left behind."""

    images: int
    products: int
    folder: Path
    manifest: Path
    seconds: float


@dataclass(frozen=True, kw_only=True, slots=True)
class _Shot:
    """A view that is planned but not painted."""

    sitting: Sitting
    seed: int
    number: int
    key: str


def draw(*, images: int, seed: int = 7, width: int = 384, height: int = 512) -> Iterator[SampleImage]:
    """The first `images` pictures of the catalog of `seed`, product by product.

    The same arguments give the same bytes; fewer images give a prefix of more. Memory does not grow with the count.

    Raises:
        ContractError: for a count below one, a negative seed or sides outside 64 to 4096 pixels.
    """
    _check(images, seed, width, height)
    return itertools.chain.from_iterable(map(_painted, _by_product(images, seed, width, height)))


def write(
    folder: Path, *, images: int, seed: int = 7, on_progress: Callable[[int], None] | None = None
) -> SampleReport:
    """Write pictures, `manifest.csv` and `annotations.csv` to a folder that is new, empty or already a sample catalog.

    Pictures that are there already stay untouched, so that an interrupted call is finished, and a larger count of the
    same seed extended, by calling again. `on_progress` gets the number of pictures done after each product.

    Raises:
        ContractError: the folder holds other things, another sample catalog or a larger one; or bad arguments.
        ConfigurationError: the folder cannot be written.
    """
    _check(images, seed, 384, 512)
    started = time.monotonic()
    try:
        _claim(folder, images, seed)
        products = _write_all(folder, images, seed, on_progress)
    except OSError as error:
        raise ConfigurationError(f"cannot write the sample catalog to {folder}: {error.strerror or error}") from error
    return SampleReport(
        images=images,
        products=products,
        folder=folder,
        manifest=folder / "manifest.csv",
        seconds=time.monotonic() - started,
    )


def _check(images: int, seed: int, width: int, height: int) -> None:
    if images < 1:
        raise ContractError(f"a sample catalog needs at least one image, not {images}")
    if seed < 0:
        raise ContractError(f"the seed must not be negative: {seed}")
    if not (_SMALLEST <= width <= _LARGEST and _SMALLEST <= height <= _LARGEST):
        raise ContractError(f"pictures of {width} x {height} pixels: both sides must be {_SMALLEST} to {_LARGEST}")


def _by_product(images: int, seed: int, width: int, height: int) -> Iterator[list[_Shot]]:
    """The planned views of each product in turn, until `images` are reached."""
    left = images
    for index in itertools.count():
        item = product(seed, index)
        numbers = range(min(left, len(item.views)))
        yield [
            _Shot(sitting=sit(item, seed, n, width, height), seed=seed, number=n, key=_key(item, item.views[n]))
            for n in numbers
        ]
        left -= len(numbers)
        if left <= 0:
            return


def _key(item: Product, view: str) -> str:
    shard = item.index // _SHARD
    level = f"{shard:02d}/" if shard else ""
    return f"images/{item.category.value}/{level}{item.product_id}_{view}.jpg"


def _painted(shots: list[_Shot]) -> Iterator[SampleImage]:
    clothes = wardrobe(shots[0].sitting.product, shots[0].seed)
    for shot in shots:
        sitting, item = shot.sitting, shot.sitting.product
        pixels = np.ascontiguousarray(photograph(sitting, clothes, shot.seed, shot.number))
        jpeg = simplejpeg.encode_jpeg(pixels, quality=_QUALITY, colorspace="RGB", colorsubsampling="420", fastdct=True)
        yield SampleImage(
            key=shot.key,
            jpeg=jpeg,
            product_id=item.product_id,
            view=sitting.view,
            category=item.category.value,
            colour=item.colour,
            pattern=item.pattern,
            attributes=item.attributes,
            box=sitting.box,
            width=sitting.width,
            height=sitting.height,
            brand=item.brand,
            price=item.price,
            currency="EUR",
            in_stock=item.in_stock,
            title=item.title,
            split=item.split,
        )


def _claim(folder: Path, images: int, seed: int) -> None:
    """Make the folder this catalog's, or refuse it."""
    if folder.exists() and not folder.is_dir():
        raise ContractError(f"{folder} is a file: name a new or empty folder for the sample catalog")
    mark = folder / _MARK
    if mark.is_file():
        held = _read_mark(mark)
        if (held.get("seed"), held.get("drawing")) != (seed, DRAWING):
            raise ContractError(
                f"{folder} holds the sample catalog of seed {held.get('seed')} (drawing {held.get('drawing')}), "
                f"not of seed {seed} (drawing {DRAWING}): name another folder"
            )
        if int(held.get("images", 0)) > images:
            raise ContractError(
                f"{folder} holds {held['images']} sample images, more than {images}: name another folder"
            )
    elif folder.is_dir() and any(folder.iterdir()):
        raise ContractError(f"{folder} holds other things: name a new or empty folder for the sample catalog")
    folder.mkdir(parents=True, exist_ok=True)
    _replace(mark, json.dumps({"seed": seed, "images": images, "drawing": DRAWING}).encode() + b"\n")


def _read_mark(mark: Path) -> dict[str, int]:
    try:
        held = json.loads(mark.read_bytes())
        return {name: int(held[name]) for name in ("seed", "images", "drawing")}
    except (ValueError, KeyError, TypeError) as error:
        raise ContractError(f"{mark} is not a sample catalog's mark: name another folder") from error


def _write_all(folder: Path, images: int, seed: int, on_progress: Callable[[int], None] | None) -> int:
    done = products = 0
    manifest, annotations = folder / "manifest.csv", folder / "annotations.csv"
    drafts = [path.with_name(f".{path.name}.part") for path in (manifest, annotations)]
    with drafts[0].open("w", newline="", encoding="utf-8") as m, drafts[1].open("w", newline="", encoding="utf-8") as a:
        goods, notes = csv.writer(m, lineterminator="\n"), csv.writer(a, lineterminator="\n")
        goods.writerow(_MANIFEST)
        notes.writerow(_ANNOTATIONS)
        for shots in _by_product(images, seed, 384, 512):
            _write_pictures(folder, shots)
            for shot in shots:
                goods.writerow(_manifest_row(shot))
                notes.writerow(_annotation_row(shot))
            done, products = done + len(shots), products + 1
            if on_progress is not None:
                on_progress(done)
    drafts[0].replace(manifest)
    drafts[1].replace(annotations)
    return products


def _write_pictures(folder: Path, shots: Iterable[_Shot]) -> None:
    missing = [shot for shot in shots if not (folder / shot.key).exists()]
    if not missing:
        return
    for image in _painted(missing):
        path = folder / image.key
        path.parent.mkdir(parents=True, exist_ok=True)
        _replace(path, image.jpeg)


def _replace(path: Path, content: bytes) -> None:
    """Write a file so that nobody ever sees a part of it."""
    draft = path.with_name(f".{path.name}.part")
    draft.write_bytes(content)
    draft.replace(path)


def _manifest_row(shot: _Shot) -> tuple[str, ...]:
    item = shot.sitting.product
    return (
        shot.key,
        item.product_id,
        item.category.value,
        item.brand,
        f"{item.price:.2f}",
        "EUR",
        item.colour,
        "true" if item.in_stock else "false",
        item.title,
        f"https://shop.example/{item.product_id}",
    )


def _annotation_row(shot: _Shot) -> tuple[str | int, ...]:
    item, sitting = shot.sitting.product, shot.sitting
    return (
        shot.key,
        item.category.value,
        item.colour,
        item.pattern,
        "|".join(item.attributes),
        *sitting.box,
        sitting.width,
        sitting.height,
        item.product_id,
        sitting.view,
        item.split,
    )
