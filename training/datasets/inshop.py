"""Reader of DeepFashion's *in-shop clothes retrieval* benchmark (Liu et al., CVPR 2016)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Final

from training.datasets.deepfashion import LICENCE, annotation_folder, read_boxes
from training.datasets.lists import read_rows
from training.datasets.record import DataSet, Flaw, Record, Split
from workers.errors import ConfigurationError

SOURCE: Final = "inshop"

_CLOTHES_AND_POSE: Final = 2
"""Fields between an image's name and its box: the type of clothes and the pose, as numbers."""
_SPLITS: Final[Mapping[str, Split]] = {"train": "train", "query": "query", "gallery": "gallery"}


def read_inshop(folder: Path) -> DataSet:
    """Every image of the published partition; product and group are the item's id.

    The category is what the folders above the item say, as `WOMEN/Dresses` of `img/WOMEN/Dresses/id_00000002/...`.

    Raises:
        ConfigurationError: not this layout, or a list that is damaged; the text names file and line.
    """
    partition = folder / "Eval" / "list_eval_partition.txt"
    if not partition.is_file():
        raise ConfigurationError(
            f"{folder} is no DeepFashion in-shop folder: {partition} is missing; name the folder that holds Anno, Eval "
            "and img"
        )
    facts = _partition(partition)
    flaws: list[Flaw] = []
    boxes = {}
    if any((folder / name).is_dir() for name in ("Anno", "Anno_coarse")):
        path = annotation_folder(folder) / "list_bbox_inshop.txt"
        boxes = dict(read_boxes(folder, path, facts, flaws, before=_CLOTHES_AND_POSE))
    kinds = {name: _kind(name, item) for name, (item, _) in facts.items()}
    labels = tuple(sorted({kind for kind in kinds.values() if kind is not None}))
    index = {label: i for i, label in enumerate(labels)}
    records = []
    for name, (item, split) in facts.items():
        kind = kinds[name]
        records.append(
            Record(
                name=name,
                source=SOURCE,
                split=split,
                group=item,
                category=None if kind is None else index[kind],
                trust=0.0 if kind is None else 1.0,
                box=boxes.get(name),
                product=item,
                path=folder / name,
            )
        )
    return DataSet(records=tuple(records), labels=labels, licence=LICENCE, flaws=tuple(flaws))


def _partition(path: Path) -> dict[str, tuple[str, Split]]:
    """Item and split of every image."""
    found = {}
    for row in read_rows(path, values=2):
        item, split = row.values
        if split not in _SPLITS:
            raise ConfigurationError(f"{path}, line {row.line}: {split!r} is none of the splits {', '.join(_SPLITS)}")
        found[row.name] = (item, _SPLITS[split])
    return found


def _kind(name: str, item: str) -> str | None:
    """The folders between `img` and the item's own."""
    parts = PurePosixPath(name).parts
    between = parts[1 : parts.index(item)] if item in parts else ()
    return "/".join(between) or None
