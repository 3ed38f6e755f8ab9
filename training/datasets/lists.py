"""The list files of DeepFashion: a row count, a header, then a name and its values a line, separated by runs of spaces."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

import numpy as np
from numpy.typing import NDArray

from training.datasets.attributes import ABSENT, PRESENT, UNKNOWN, Attributes
from workers.errors import ConfigurationError

_SPACE: Final = 32
_MINUS, _ZERO, _ONE = b"-01"
_OURS: Final = np.array([ABSENT, UNKNOWN, PRESENT], dtype=np.int8)
"""What the file's -1, 0 and 1 mean."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One line."""

    line: int
    """From 1."""
    name: str
    values: tuple[str, ...]


def read_rows(path: Path, *, values: int) -> Iterator[Row]:
    """Every row of a list file: the last `values` fields of a line, and all before them as the name, blanks included.

    Raises:
        ConfigurationError: no such file, a row with too few fields, or another number of rows than line 1 states.
    """
    for line, text in _lines(path):
        fields = text.decode("utf-8", "surrogateescape").rsplit(maxsplit=values)
        if len(fields) != values + 1:
            raise ConfigurationError(f"{path}, line {line}: a name and {values} values are needed, not {text[:80]!r}")
        yield Row(line=line, name=fields[0].strip(), values=tuple(fields[1:]))


def read_attribute_rows(path: Path, *, attributes: int) -> Iterator[tuple[str, Attributes]]:
    """Every row of `list_attr_img.txt`, whose -1, 0 and 1 become our absent, unknown and present.

    Equal rows share one value: images of one garment have the same attributes. Memory is one line's (2 kB) and what the
    caller keeps; the 600 MB of the published file take seconds.

    Raises:
        ConfigurationError: as `read_rows`, or a value that is none of the three.
    """
    seen: dict[bytes, Attributes] = {}
    for line, text in _lines(path):
        start = _start_of_values(text, attributes)
        values = None if start is None else _signs(text[start:])
        if start is None or values is None or values.size != attributes:
            raise ConfigurationError(
                f"{path}, line {line}: a name and {attributes} values of -1, 0 or 1 are needed, not {text[:80]!r}..."
            )
        key = values.tobytes()
        packed = seen.get(key)
        if packed is None:
            packed = seen[key] = Attributes.pack(_OURS[values + 1])
        yield text[:start].decode("utf-8", "surrogateescape").strip(), packed


def _start_of_values(text: bytes, count: int) -> int | None:
    """Where the last `count` fields of a line begin, or None where there are fewer and a name."""
    blank = np.frombuffer(text, dtype=np.uint8) <= _SPACE
    starts = np.flatnonzero(~blank & np.concatenate([[True], blank[:-1]]))
    return int(starts[-count]) if len(starts) > count else None


def _signs(text: bytes) -> NDArray[np.int8] | None:
    """The numbers -1, 0 and 1 of a text that holds nothing else, or None; ten times as fast as splitting it."""
    characters = np.frombuffer(text, dtype=np.uint8)
    digit = (characters == _ZERO) | (characters == _ONE)
    minus = characters == _MINUS
    follows = np.concatenate([digit[1:], [False]])
    sound = np.all(digit | minus | (characters <= _SPACE)) and not np.any(digit & follows) and np.all(follows[minus])
    if not sound or np.any(digit[:-1] & minus[1:]):
        return None
    values: NDArray[np.int8] = (characters[digit] - _ZERO).astype(np.int8)
    negative = np.concatenate([[False], minus[:-1]])[digit]
    values[negative] *= -1
    return values


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Number and text of every row behind the header; the count in line 1 is checked at the end."""
    with _opened(path) as file:
        first = file.readline().strip()
        if not first.isdigit():
            raise ConfigurationError(f"{path}, line 1: the number of rows is needed, not {first[:40]!r}")
        file.readline()
        rows = 0
        for line, text in enumerate(file, 3):
            if text.strip():
                rows += 1
                yield line, text.rstrip()
    if rows != int(first):
        raise ConfigurationError(
            f"{path} states {int(first):,} rows and has {rows:,}: it was cut or edited; fetch it again"
        )


@contextmanager
def _opened(path: Path) -> Iterator[IO[bytes]]:
    try:
        with path.open("rb") as file:
            yield file
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror or error}") from error
