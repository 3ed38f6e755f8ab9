"""Reader of image folders: `<split>/<label>/<image>`, or `<label>/<image>` with the split drawn by hash."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from training.datasets.entries import SPLIT_WORDS, Entry, to_data_set
from training.datasets.record import DataSet, Split
from workers.errors import ConfigurationError

SOURCE: Final = "folder"
_SUFFIXES: Final = frozenset({".jpg", ".jpeg", ".png", ".webp", ".gif", ".avif"})


def read_folder(folder: Path) -> DataSet:
    """Every image below the folder, in the order of names; hidden files and files of other kinds are not looked at.

    Where the first level is named after splits (train, val, validation, test...), the second holds the labels; else the
    first does. Folders below a label's are groups, which no split tears; an image beside them is a group of its own.

    Raises:
        ConfigurationError: no such folder, no image, an empty split, or splits beside labels.
    """
    if not folder.is_dir():
        raise ConfigurationError(f"there is no folder {folder}; name the one that holds a folder for each label")
    entries: list[Entry] = []
    splits, others = _first_level(folder)
    for path in splits:
        found = list(_labels(path, folder, SPLIT_WORDS[path.name.casefold()]))
        if not found:
            raise ConfigurationError(f"the split {path} holds no image; fill or remove the folder")
        entries += found
    if splits and others:
        raise ConfigurationError(
            f"{folder} holds splits ({splits[0].name}) beside other folders with images ({others[0].name}): move those "
            "into a split"
        )
    if not splits:
        entries += _labels(folder, folder, None)
    if not entries:
        raise ConfigurationError(f"{folder} holds no image in a folder named after its label")
    return to_data_set(entries, source=SOURCE, flaws=())


def _first_level(folder: Path) -> tuple[list[Path], list[Path]]:
    """Folders named after splits, and others that hold an image."""
    below = _folders(folder)
    splits = [p for p in below if p.name.casefold() in SPLIT_WORDS]
    others = [p for p in below if p not in splits and any(_images(p))] if splits else []
    return splits, others


def _labels(folder: Path, root: Path, split: Split | None) -> Iterator[Entry]:
    for label in _folders(folder):
        for path in _images(label):
            inner = path.parent.relative_to(label).as_posix()
            group = path.relative_to(folder).as_posix() if inner == "." else f"{label.name}/{inner}"
            yield Entry(
                name=path.relative_to(root).as_posix(), path=path, group=group, split=split, category=label.name
            )


def _folders(folder: Path) -> list[Path]:
    return sorted(p for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))


def _images(folder: Path) -> Iterator[Path]:
    return (p for p in sorted(folder.rglob("*")) if p.suffix.lower() in _SUFFIXES and not p.name.startswith("."))
