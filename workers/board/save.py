"""A board as files."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from pathlib import Path

from workers.board.html import render_html
from workers.board.png import render_png
from workers.board.tiles import Board
from workers.errors import ContractError


def save(board: Board, path: Path) -> tuple[Path, ...]:
    """Write the board as `path` says: `.png` or `.html`; any other name gets both endings, and both files are written.

    A file appears complete or not at all; one that is there already is replaced.

    Raises:
        ContractError: the place cannot be written, or the board is too large for one picture; nothing was written.
    """
    _check_place(path)
    suffix = path.suffix.lower()
    if suffix in (".png", ".html", ".htm"):
        places = {("png" if suffix == ".png" else "html"): path}
    else:
        places = {ending: path.with_name(f"{path.name}.{ending}") for ending in ("png", "html")}
    contents = {
        place: render_png(board) if form == "png" else render_html(board).encode() for form, place in places.items()
    }
    _write(contents)
    return tuple(contents)


def _check_place(path: Path) -> None:
    """Refuse a folder, or a place whose folder is missing, before time is spent on drawing."""
    with contextlib.suppress(OSError):  # a name that the system does not take at all: writing says so
        if path.is_dir():
            raise ContractError(f"the board cannot be written to {path}: it is a folder; name a file in it")
        if not path.parent.is_dir():
            raise ContractError(
                f"the board cannot be written to {path}: there is no folder {path.parent}; make it first"
            )


def _write(contents: Mapping[Path, bytes]) -> None:
    """Write all files beside their places, then move them there."""
    parts = {place: place.with_name(f".board-{os.getpid()}{place.suffix}.part") for place in contents}
    place = next(iter(contents))
    try:
        for place, content in contents.items():
            if place.is_dir():
                raise IsADirectoryError(0, "it is a folder")
            parts[place].write_bytes(content)
        for place, part in parts.items():
            part.replace(place)
    except OSError as error:
        raise ContractError(f"the board cannot be written to {place}: {error.strerror or error}") from error
    finally:
        for part in parts.values():
            with contextlib.suppress(OSError):
                part.unlink(missing_ok=True)
