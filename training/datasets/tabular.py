"""Reader of tables with a row an image: the CSV of box-annotated photographs, and product manifests.

Columns, in any order and case; what a table lacks is unknown, and other columns are not used:

| column | meaning |
|---|---|
| `image` or `image_path` | path below the images' folder |
| `category` | the label |
| `product_id` | what several images may show |
| `attributes` | all that it has, with bars between: `striped|v-neck`; empty is unknown, not none |
| `x1`, `y1`, `x2`, `y2` | box in pixels, of `width` x `height` where these columns are there, else of the image's header |
| `x1_modified`, ... `y2_modified` | the same box as shares; used rather than the pixels |
| `split` | train, validation, test, query or gallery; empty: by the hash of the group |
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Final

from training.datasets.boxes import Box, checked_shares, image_sizes, share_box
from training.datasets.entries import SPLIT_WORDS, Entry, split_named, to_data_set
from training.datasets.record import DataSet, Flaw, Split
from training.datasets.tables import SUFFIXES, TableRow, read_table
from workers.errors import ConfigurationError

SEED: Final = "seed"
MANIFEST: Final = "manifest"

_IMAGE: Final = ("image", "image_path")
_SIDES: Final = ("x1", "y1", "x2", "y2")
_LARGEST_FOLDER: Final = 0.05
"""Share of the images. Smaller folders, as one a garment, are groups that no split tears; a larger one is just a place."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Found:
    """A row's entry, with the box that still lacks its image's size."""

    entry: Entry
    place: str
    pixels: Box | None = None


def read_seed(place: Path, images: Path | None = None) -> DataSet:
    """A CSV of photographs with boxes, in pixels or as shares, or a folder that holds it (or `train.csv`, `test.csv`...).

    Args:
        place: The table or its folder.
        images: What image paths start from; None: the table's folder.

    Raises:
        ConfigurationError: no table, one without a column of images, or a damaged one; the text names file and line.
    """
    return _read(place, images, SEED)


def read_manifest(place: Path, images: Path | None = None) -> DataSet:
    """A product manifest: CSV, JSON lines or Parquet; images of one product stay in one split.

    Arguments and errors as of `read_seed`.
    """
    return _read(place, images, MANIFEST)


def _read(place: Path, images: Path | None, source: str) -> DataSet:
    flaws: list[Flaw] = []
    found: dict[str, _Found] = {}
    for path in _tables(place, source):
        split = SPLIT_WORDS.get(path.stem.casefold())
        root = images or path.parent
        for row in read_table(path):
            _take(row, path, root, split, found, flaws)
    if not found:
        raise ConfigurationError(
            f"{place} names no image: a column `image` or `image_path` with a path a row is needed"
        )
    entries = _grouped([*_with_boxes(list(found.values()), flaws)])
    return to_data_set(entries, source=source, flaws=flaws)


def _tables(place: Path, source: str) -> list[Path]:
    """The table itself; of a folder those named after splits, else the one named after the source, else the only one."""
    if not place.is_dir():
        return [place]
    tables = sorted(p for p in place.iterdir() if p.suffix.lower() in SUFFIXES and p.is_file())
    by_split = [p for p in tables if p.stem.casefold() in SPLIT_WORDS]
    chosen = by_split or [p for p in tables if p.stem.casefold() == source] or tables
    if not chosen:
        raise ConfigurationError(f"{place} holds no table ({', '.join(SUFFIXES)}); name the table itself")
    if len(chosen) > 1 and not by_split:
        raise ConfigurationError(f"{place} holds {', '.join(p.name for p in chosen)}; name the table to use")
    return chosen


def _take(
    row: TableRow, table: Path, root: Path, split: Split | None, found: dict[str, _Found], flaws: list[Flaw]
) -> None:
    """Add a row's image, or say why it is left out."""
    place = f"{table.name}, line {row.line}"
    name = next((row.cells[column] for column in _IMAGE if column in row.cells), None)
    if name is None:
        flaws.append(Flaw(kind="row", name=table.name, reason=f"{place}: no `image`"))
    elif name in found:
        flaws.append(
            Flaw(kind="row", name=name, reason=f"{place}: the image is named twice, first in {found[name].place}")
        )
    else:
        found[name] = _found(row.cells, name, root, split, place, flaws)


def _found(
    cells: Mapping[str, str], name: str, root: Path, split: Split | None, place: str, flaws: list[Flaw]
) -> _Found:
    product = cells.get("product_id")
    attributes = cells.get("attributes")
    entry = Entry(
        name=name,
        path=root / name,
        group="" if product is None else f"product-{product}",
        split=split_named(cells["split"], place) if "split" in cells else split,
        category=cells.get("category"),
        attributes=None if attributes is None else frozenset(part.strip() for part in attributes.split("|")) - {""},
        product=product,
    )
    try:
        shares = _numbers(cells, [f"{side}_modified" for side in _SIDES])
        if shares is not None:
            return _Found(entry=replace(entry, box=checked_shares(shares)), place=place)
        pixels = _numbers(cells, _SIDES)
        if pixels is not None and "width" in cells and "height" in cells:
            box = share_box(pixels, (int(cells["width"]), int(cells["height"])))
            return _Found(entry=replace(entry, box=box), place=place)
    except ValueError as error:
        flaws.append(Flaw(kind="box", name=name, reason=f"{place}: {error}"))
        return _Found(entry=entry, place=place)
    return _Found(entry=entry, place=place, pixels=pixels)


def _numbers(cells: Mapping[str, str], columns: Sequence[str]) -> Box | None:
    """The four numbers of a box; None where all four cells are empty.

    Raises:
        ValueError: some are empty, or one is no number.
    """
    texts = [cells[column] for column in columns if column in cells]
    if not texts:
        return None
    if len(texts) < len(columns):
        raise ValueError(f"a box needs {', '.join(columns)}; {len(texts)} of them are there")
    try:
        x1, y1, x2, y2 = map(float, texts)
    except ValueError:
        raise ValueError(f"a box needs four numbers, not {', '.join(texts)}") from None
    return x1, y1, x2, y2


def _with_boxes(found: Sequence[_Found], flaws: list[Flaw]) -> Iterator[Entry]:
    """The entries, with the boxes in pixels turned to shares by the sizes their images' headers state."""
    sizes = image_sizes(f.entry.path for f in found if f.pixels is not None)
    for f in found:
        size = next(sizes) if f.pixels is not None else None
        if f.pixels is None or size is None:
            yield f.entry
            continue
        try:
            yield replace(f.entry, box=share_box(f.pixels, size))
        except ValueError as error:
            flaws.append(Flaw(kind="box", name=f.entry.name, reason=f"{f.place}: {error}"))
            yield f.entry


def _grouped(entries: Sequence[Entry]) -> list[Entry]:
    """A group for what has no product: its folder where the folders are small, else the image alone."""
    folders = Counter(PurePosixPath(e.name).parent for e in entries)
    small = max(folders.values()) <= max(1, _LARGEST_FOLDER * len(entries))
    return [
        e if e.group else replace(e, group=f"folder-{PurePosixPath(e.name).parent}" if small else f"image-{e.name}")
        for e in entries
    ]
