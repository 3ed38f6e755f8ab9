"""The data set a run's settings name: read, its labels settled, the holdout cut off."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final

from schemas.taxonomy import map_category
from training.config import DataConfig, SourceName
from training.datasets import photographs
from training.datasets.deepfashion import read_deepfashion
from training.datasets.drawn import read_drawn
from training.datasets.folders import read_folder
from training.datasets.inshop import read_inshop
from training.datasets.photographs import default_folder, read_photographs
from training.datasets.record import LABELS, DataSet, Record
from training.datasets.tabular import read_manifest, read_seed
from training.splits import hold_out
from workers.errors import ConfigurationError

SOURCES: Final[Mapping[SourceName, str]] = {
    "clothing": "the CC0 clothing photographs (a folder with images.csv)",
    "deepfashion": "DeepFashion category and attribute prediction (a folder with Anno, Eval and img)",
    "inshop": "DeepFashion in-shop clothes retrieval (a folder with Anno, Eval and img)",
    "seed": "CSV with boxes: image_path, category, x1, y1, x2, y2 or x1_modified...",
    "folder": "image folders: <split>/<label>/<image> or <label>/<image>",
    "manifest": "a product manifest: CSV, JSON lines or Parquet with image, product_id, category...",
    "drawn": "the sample catalog, drawn in memory",
}
"""Every reader with what it reads."""


def load_data_set(config: DataConfig) -> DataSet:
    """The configured data set with its holdout: whole groups (senders, products) of the training images, source by source.

    Records are in the reader's order, which never changes.

    Raises:
        ConfigurationError: the source is unknown, absent or damaged, or there is nothing to train on.
    """
    read = read_mix(config) if config.source == "clothing" else (read_source(config),)
    share, largest = config.holdout_share, config.holdout_largest_group
    parts = [replace(part, records=hold_out(part.records, share=share, largest_group=largest)) for part in read]
    data = masked_small_classes(_merged(parts), config.smallest_class_images)
    if not any(r.split == "train" and r.labelled for r in data.records):
        raise ConfigurationError("nothing to train on: no labelled record in the split `train` of any source")
    return data if config.licence is None else replace(data, licence=config.licence)


def read_source(config: DataConfig) -> DataSet:
    """One source with the splits it has itself, nothing held out; of `clothing` the photographs alone.

    Raises:
        ConfigurationError: the source is unknown, absent or damaged.
    """
    if config.source == "clothing":
        folder = default_folder() if config.folder is None else Path(config.folder)
        records = read_photographs(folder, mapped_trust=config.mapped_trust)
        return DataSet(records=records, licence=photographs.LICENCE)
    if config.source == "drawn":
        return read_drawn(images=config.drawn_images, seed=config.drawn_seed)
    images = None if config.images_folder is None else Path(config.images_folder)
    readers: dict[SourceName, Callable[[Path], DataSet]] = {
        "deepfashion": read_deepfashion,
        "inshop": read_inshop,
        "seed": lambda place: read_seed(place, images),
        "folder": read_folder,
        "manifest": lambda place: read_manifest(place, images),
    }
    if config.source not in readers:
        raise ConfigurationError(f"no source {config.source!r}; there are: {', '.join(SOURCES)}")
    if config.folder is None:
        raise ConfigurationError(f"the source {config.source!r} needs a folder: {SOURCES[config.source]}")
    data = readers[config.source](Path(config.folder).expanduser())
    return to_taxonomy(data, mapped_trust=config.mapped_trust) if config.labels == "taxonomy" else data


def read_mix(config: DataConfig) -> tuple[DataSet, ...]:
    """The clothing photographs and the drawings, as far as they are switched on."""
    parts = []
    if config.photographs:
        parts.append(read_source(config))
    if config.drawn_images:
        parts.append(read_drawn(images=config.drawn_images, seed=config.drawn_seed))
    return tuple(parts)


def to_taxonomy(data: DataSet, *, mapped_trust: float) -> DataSet:
    """The data set with the taxonomy's ten labels instead of its own.

    A word that is one of the ten keeps its trust; one that the taxonomy maps counts `mapped_trust` times that; others are
    masked.
    """
    targets = [_target(label, mapped_trust) for label in data.labels]

    def relabelled(record: Record) -> Record:
        category, trust = (None, 0.0) if record.category is None else targets[record.category]
        return replace(record, category=category, trust=trust * record.trust)

    return replace(data, labels=LABELS, records=tuple(map(relabelled, data.records)))


def masked_small_classes(data: DataSet, fewest: int) -> DataSet:
    """The data set with the classes masked, in every split, of which there are fewer than `fewest` training images."""
    if fewest <= 1:
        return data
    images = Counter(r.category for r in data.records if r.split == "train")
    small = {c for c in range(len(data.labels)) if images[c] < fewest}
    records = (replace(r, category=None, trust=0.0) if r.category in small else r for r in data.records)
    return replace(data, records=tuple(records))


def _target(label: str, mapped_trust: float) -> tuple[int | None, float]:
    mapped = map_category(label.rpartition("/")[2])
    if mapped is None:
        return None, 0.0
    trust = 1.0 if label.casefold() == mapped.value else mapped_trust
    return (LABELS.index(mapped.value), trust) if trust else (None, 0.0)


def _merged(parts: list[DataSet]) -> DataSet:
    """Sources with the same labels as one; attributes are those of the parts that have any."""
    if not parts:
        return DataSet(records=())
    naming = next((part for part in parts if part.attributes), parts[0])
    return replace(
        naming,
        records=tuple(record for part in parts for record in part.records),
        licence="; ".join(part.licence for part in parts),
        flaws=tuple(flaw for part in parts for flaw in part.flaws),
    )
