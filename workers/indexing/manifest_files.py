"""Manifest files as a stream of records: CSV (comma, semicolon or tab) and Parquet, in constant memory.

Faults of the file raise `ContractError`; faults of one record come as its `fault`, and reading goes on behind it.
"""

from __future__ import annotations

import csv
import re
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import TextIOWrapper
from pathlib import Path
from typing import Any, Final, TextIO

from workers.errors import ContractError
from workers.indexing.manifest_cells import UNREADABLE, Cell

CSV_SUFFIXES: Final = frozenset({".csv", ".tsv"})
PARQUET_SUFFIXES: Final = frozenset({".parquet", ".pq"})
_DELIMITERS: Final = (",", ";", "\t")
_MAX_RECORD_CHARS: Final = 1024 * 1024
"""Of one record over all its lines. Far beyond any real one, and small enough to hold and to read twice."""
_BATCH_ROWS: Final = 4096
"""Parquet rows turned into Python values at once: about 4 MB with eight columns of text."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Record:
    """One row of the file."""

    line: int
    """Physical line a CSV record begins on, or number of a Parquet row; both from 1."""
    cells: Sequence[Cell]
    """As many as there are columns, unless `fault` is set."""
    fault: str | None = None


def header(path: Path) -> tuple[str, ...]:
    """Names of the columns, without the blanks around them; "" for an unnamed one.

    Raises:
        ContractError: no such file, another kind of file, empty, unreadable or not UTF-8.
    """
    if path.suffix.lower() in CSV_SUFFIXES:
        with _opened_csv(path) as (names, _, _):
            return names
    if path.suffix.lower() in PARQUET_SUFFIXES:
        with _opened_parquet(path) as file:
            return tuple(name.strip() for name in file.schema_arrow.names)
    raise ContractError(f"the manifest {path} is neither CSV (.csv, .tsv) nor Parquet (.parquet, .pq) by its name")


def records(path: Path, columns: Sequence[int]) -> Iterator[Record]:
    """Every record behind the header; of Parquet only the wanted `columns` are read, the others are None.

    Raises:
        ContractError: the rest of the file cannot be read; records before that have been yielded by then.
    """
    if path.suffix.lower() in CSV_SUFFIXES:
        with _opened_csv(path) as (names, lines, delimiter):
            yield from _csv_records(lines, delimiter, len(names))
    else:
        with _opened_parquet(path) as file:
            yield from _parquet_records(file, columns)


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Translate what the operating system says into one line for a person."""
    try:
        yield
    except FileNotFoundError as error:
        raise ContractError(f"there is no manifest at {path}") from error
    except IsADirectoryError as error:
        raise ContractError(f"the manifest {path} is a folder; name a CSV or Parquet file") from error
    except OSError as error:
        raise ContractError(f"the manifest {path} cannot be read: {error.strerror or error}") from error


class _Lines:
    """Physical lines of a text file, counted, with those of the current record kept so that they can be read again."""

    def __init__(self, file: TextIO, path: Path) -> None:
        self.line = 0
        """Number of the line handed out last."""
        self._file = file
        self._path = path
        self._record: list[str] = []
        self._record_chars = 0
        self._again: deque[str] = deque()

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        text = self._again.popleft() if self._again else self._read()
        self.line += 1
        self._record.append(text)
        self._record_chars += len(text)
        if self._record_chars > _MAX_RECORD_CHARS:
            raise csv.Error("no closing quote")
        return text

    def begin_record(self) -> None:
        """What comes next belongs to another record."""
        self._record.clear()
        self._record_chars = 0

    def rewind(self, *, keep: int) -> None:
        """Hand out the current record's lines again, but for the first `keep`."""
        again = self._record[keep:]
        self._again.extendleft(reversed(again))
        self.line -= len(again)
        self.begin_record()

    def _read(self) -> str:
        text = self._file.readline(_MAX_RECORD_CHARS)
        if not text:
            raise StopIteration
        if len(text) == _MAX_RECORD_CHARS:
            raise ContractError(f"{self._path}: line {self.line + 1} has over a million characters; that is no CSV")
        if not text.isascii() and (wrong := _UNDECODED.search(text)):
            raise ContractError(
                f"{self._path}: line {self.line + 1} is not UTF-8 (byte 0x{ord(wrong[0]) - 0xDC00:02X}); "
                "save the manifest as UTF-8"
            )
        return text


_UNDECODED: Final = re.compile("[\udc80-\udcff]")
"""What `surrogateescape` makes of bytes that are no UTF-8; valid UTF-8 never decodes to these."""


@contextmanager
def _opened_csv(path: Path) -> Iterator[tuple[tuple[str, ...], _Lines, str]]:
    with _reading(path), path.open("rb") as source:
        if source.peek(2)[:2] in (b"\xff\xfe", b"\xfe\xff"):
            raise ContractError(f"{path} is UTF-16 text; save the manifest as UTF-8")
        lines = _Lines(TextIOWrapper(source, encoding="utf-8-sig", errors="surrogateescape", newline=""), path)
        names, delimiter = _csv_header(lines, path)
        yield names, lines, delimiter


def _csv_header(lines: _Lines, path: Path) -> tuple[tuple[str, ...], str]:
    """The first line that is not blank, read with the delimiter that finds an `image` column or else the most columns."""
    best: tuple[str, ...] = ()
    delimiter, fault = _DELIMITERS[0], None
    while not best and fault is None:
        for candidate in _DELIMITERS:
            lines.rewind(keep=0)
            try:
                cells = next(csv.reader(lines, delimiter=candidate, strict=True))
            except csv.Error as error:  # quoted fields behind another delimiter look badly quoted
                fault = fault or error
                continue
            except StopIteration:
                raise ContractError(f"the manifest {path} is empty; its first line names the columns") from None
            names = tuple(cell.strip() for cell in cells)
            if any(names) and _header_rank(names) > _header_rank(best):
                best, delimiter = names, candidate
        lines.begin_record()
    if not best:
        raise ContractError(f"{path}: the header line is badly quoted: {fault}")
    if any("\x00" in name for name in best):
        raise ContractError(f"{path} is no text: its first line holds NUL bytes; save the manifest as UTF-8 CSV")
    return best, delimiter


def _header_rank(names: tuple[str, ...]) -> tuple[bool, int]:
    return any(name.casefold() == "image" for name in names), len(names)


def _csv_records(lines: _Lines, delimiter: str, width: int) -> Iterator[Record]:
    """Records of `width` cells; lines with nothing in any cell are skipped.

    A faulty record costs its first line only: a quote that was never closed takes no other row along, because reading
    goes on with the very next line.
    """
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    while True:
        lines.begin_record()
        line = lines.line + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            fault = f"is badly quoted ({error}); a quote inside a quoted field is written twice"
            yield Record(line=line, cells=(), fault=fault)
            lines.rewind(keep=1)
            reader = csv.reader(lines, delimiter=delimiter, strict=True)
            continue
        if len(cells) == width:
            if any(map(str.strip, cells)):
                yield Record(line=line, cells=cells)
        elif any(map(str.strip, cells)):
            fault = f"has {len(cells)} field{'s' if len(cells) > 1 else ''} where the header has {width}"
            yield Record(line=line, cells=cells, fault=fault)
            lines.rewind(keep=1)


@contextmanager
def _opened_parquet(path: Path) -> Iterator[Any]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    with _reading(path), path.open("rb") as source:
        try:
            if not source.read(1):
                raise ContractError(f"the manifest {path} is empty; write it again")
            with pq.ParquetFile(source, buffer_size=1 << 20, pre_buffer=False) as file:
                yield file
        except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
            detail = " ".join(str(error).split())[:200]
            raise ContractError(f"the manifest {path} is no sound Parquet file: {detail}") from error


def _parquet_records(file: Any, columns: Sequence[int]) -> Iterator[Record]:
    names = file.schema_arrow.names
    wanted = [names[index] for index in columns]
    row = 0
    for batch in file.iter_batches(batch_size=_BATCH_ROWS, columns=wanted):
        cells: list[Sequence[Cell]] = [[None] * batch.num_rows] * len(names)
        for index, name in zip(columns, wanted, strict=True):
            cells[index] = _python_values(batch.column(name))
        for values in zip(*cells, strict=True):
            row += 1
            yield Record(line=row, cells=values)


def _python_values(column: Any) -> list[Cell]:
    """A column's values; one that pyarrow cannot turn into Python (broken UTF-8, a far date) becomes `UNREADABLE`."""
    import pyarrow as pa

    try:
        values: list[Cell] = column.to_pylist()
    except (ValueError, OverflowError, pa.ArrowException):
        return [_python_value(scalar) for scalar in column]
    return values


def _python_value(scalar: Any) -> Cell:
    import pyarrow as pa

    try:
        return scalar.as_py()
    except (ValueError, OverflowError, pa.ArrowException):
        return UNREADABLE
