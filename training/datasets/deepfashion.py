"""Reader of DeepFashion's *category and attribute prediction* benchmark (Liu et al., CVPR 2016)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import tee
from pathlib import Path, PurePosixPath
from typing import Final

from training.datasets.attributes import Attributes
from training.datasets.boxes import Box, image_sizes, share_box
from training.datasets.lists import read_attribute_rows, read_rows
from training.datasets.record import DataSet, Flaw, Record, Split
from workers.errors import ConfigurationError

SOURCE: Final = "deepfashion"
LICENCE: Final = "DeepFashion: for non-commercial research only, by agreement with its authors"

_SPLITS: Final[Mapping[str, Split]] = {"train": "train", "val": "validation", "test": "test"}
_ATTRIBUTE_GROUPS: Final = {"1": "texture", "2": "fabric", "3": "shape", "4": "part", "5": "style"}


def read_deepfashion(folder: Path) -> DataSet:
    """Every image of the published partition.

    `Eval/list_eval_partition.txt` says which images there are. Categories, attributes and boxes come from `Anno/`, or
    `Anno_coarse/` where there is no `Anno/`; a list that is missing masks its labels, as an image does that is missing
    from a list. Boxes become shares of the size that the image's own header states. An image's group is its folder,
    which holds the pictures of one garment.

    Raises:
        ConfigurationError: not this layout, or a list that is damaged; the text names file and line.
    """
    partition = folder / "Eval" / "list_eval_partition.txt"
    if not partition.is_file():
        raise ConfigurationError(
            f"{folder} is no DeepFashion category and attribute folder: {partition} is missing; name the folder that holds "
            "Anno, Eval and img"
        )
    notes = annotation_folder(folder)
    flaws: list[Flaw] = []
    splits = dict(read_partition(partition, _SPLITS))
    labels, _ = _vocabulary(notes / "list_category_cloth.txt")
    attributes, kinds = _vocabulary(notes / "list_attr_cloth.txt")
    categories = dict(_categories(notes / "list_category_img.txt", len(labels), flaws)) if labels else {}
    facts = dict(_attributes(notes / "list_attr_img.txt", splits, len(attributes))) if attributes else {}
    boxes = dict(read_boxes(folder, notes / "list_bbox.txt", splits, flaws))
    records = tuple(
        Record(
            name=name,
            source=SOURCE,
            split=split,
            group=str(PurePosixPath(name).parent),
            category=categories.get(name),
            trust=1.0 if name in categories else 0.0,
            attributes=facts.get(name),
            box=boxes.get(name),
            path=folder / name,
        )
        for name, split in splits.items()
    )
    return DataSet(
        records=records,
        labels=labels,
        attributes=attributes,
        attribute_groups=tuple(_ATTRIBUTE_GROUPS.get(kind, kind) for kind in kinds),
        licence=LICENCE,
        flaws=tuple(flaws),
    )


def annotation_folder(folder: Path) -> Path:
    """`Anno` below a data set's folder, or `Anno_coarse`.

    Raises:
        ConfigurationError: there is neither.
    """
    for name in ("Anno", "Anno_coarse"):
        if (folder / name).is_dir():
            return folder / name
    raise ConfigurationError(f"{folder} has neither Anno nor Anno_coarse: the lists of labels and boxes are missing")


def read_partition(path: Path, meanings: Mapping[str, Split]) -> Iterator[tuple[str, Split]]:
    """Name and split of every image of a partition list whose last field is the split.

    Raises:
        ConfigurationError: the list is damaged, or names a split that this benchmark does not have.
    """
    for row in read_rows(path, values=1):
        split = meanings.get(row.values[0])
        if split is None:
            raise ConfigurationError(
                f"{path}, line {row.line}: {row.values[0]!r} is none of the splits {', '.join(meanings)}"
            )
        yield row.name, split


def read_boxes(
    folder: Path, path: Path, wanted: Mapping[str, object], flaws: list[Flaw], *, before: int = 0
) -> Iterator[tuple[str, Box]]:
    """Name and box of the wanted images of a box list, whose last four fields are pixels. No list, no boxes.

    An image without a readable header gets none; a box outside its image is masked and becomes a flaw.

    Args:
        folder: What the images' names start from.
        path: The list.
        wanted: The images there are.
        flaws: Takes what is masked.
        before: Fields between the name and the box, which are not used.

    Raises:
        ConfigurationError: the list is damaged.
    """
    if not path.is_file():
        return
    rows, again = tee(row for row in read_rows(path, values=before + 4) if row.name in wanted)
    for row, size in zip(rows, image_sizes(folder / row.name for row in again), strict=True):
        if size is None:
            continue
        try:
            x1, y1, x2, y2 = map(float, row.values[before:])
            yield row.name, share_box((x1, y1, x2, y2), size)
        except ValueError as error:
            flaws.append(Flaw(kind="box", name=row.name, reason=f"{path.name}, line {row.line}: {error}"))


def _vocabulary(path: Path) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Names and their types; both empty where the list is missing."""
    if not path.is_file():
        return (), ()
    rows = list(read_rows(path, values=1))
    return tuple(row.name for row in rows), tuple(row.values[0] for row in rows)


def _categories(path: Path, labels: int, flaws: list[Flaw]) -> Iterator[tuple[str, int]]:
    if not path.is_file():
        return
    for row in read_rows(path, values=1):
        number = row.values[0]
        if number.isdigit() and 1 <= int(number) <= labels:
            yield row.name, int(number) - 1
        else:
            reason = f"{path.name}, line {row.line}: category {number} is none of 1 to {labels}"
            flaws.append(Flaw(kind="label", name=row.name, reason=reason))


def _attributes(path: Path, wanted: Mapping[str, object], attributes: int) -> Iterator[tuple[str, Attributes]]:
    if not path.is_file():
        return
    for name, packed in read_attribute_rows(path, attributes=attributes):
        if name in wanted:
            yield name, packed
