"""Tables of any size as a stream of rows: CSV (comma, semicolon or tab), JSON lines and Parquet."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from workers.errors import ConfigurationError

SUFFIXES: Final = (".csv", ".tsv", ".parquet", ".pq", ".jsonl", ".ndjson")
_DELIMITERS: Final = (",", ";", "\t")


@dataclass(frozen=True, kw_only=True, slots=True)
class TableRow:
    """One row."""

    line: int
    """Line of a text file the row ends on, or number of a Parquet row; both from 1."""
    cells: Mapping[str, str]
    """By column name in lower case; what is empty is left out."""


def read_table(path: Path) -> Iterator[TableRow]:
    """Every row of a table, in constant memory.

    Raises:
        ConfigurationError: no such file, another kind of file, or one that is damaged; the text names file and line.
    """
    suffix = path.suffix.lower()
    readers = {".csv": _csv, ".tsv": _csv, ".parquet": _parquet, ".pq": _parquet, ".jsonl": _jsonl, ".ndjson": _jsonl}
    if suffix not in readers:
        raise ConfigurationError(f"{path} is no table by its name: {', '.join(SUFFIXES)} are read")
    if not path.is_file():
        raise ConfigurationError(f"there is no table at {path}")
    try:
        yield from readers[suffix](path)
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{path} is not UTF-8 text ({error.reason}); save it as UTF-8") from error


def _csv(path: Path) -> Iterator[TableRow]:
    with path.open(newline="", encoding="utf-8-sig") as file:
        first = file.readline()
        delimiter = max(_DELIMITERS, key=first.count)
        file.seek(0)
        rows = csv.reader(file, delimiter=delimiter, strict=True)
        try:
            names = next(rows, [])
            for row in rows:
                if len(row) not in (0, len(names)):
                    raise ConfigurationError(
                        f"{path}, line {rows.line_num}: {len(row)} fields where the header has {len(names)}"
                    )
                yield TableRow(line=rows.line_num, cells=_cells(zip(names, row, strict=False)))
        except csv.Error as error:
            raise ConfigurationError(f"{path}, line {rows.line_num} is badly quoted: {error}") from error


def _jsonl(path: Path) -> Iterator[TableRow]:
    with path.open(encoding="utf-8-sig") as file:
        for line, text in enumerate(file, 1):
            if not text.strip():
                continue
            try:
                held = json.loads(text)
            except ValueError as error:
                raise ConfigurationError(f"{path}, line {line} is no JSON: {error}") from error
            if not isinstance(held, dict):
                raise ConfigurationError(f"{path}, line {line} is no JSON object with a value a column")
            yield TableRow(line=line, cells=_cells(held.items()))


def _parquet(path: Path) -> Iterator[TableRow]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    number = 0
    try:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=4096):
                for held in batch.to_pylist():
                    number += 1
                    yield TableRow(line=number, cells=_cells(held.items()))
    except pa.ArrowException as error:
        detail = " ".join(str(error).split())[:200]
        raise ConfigurationError(f"{path} is no sound Parquet file: {detail}") from error


def _cells(held: Iterable[tuple[str, object]]) -> dict[str, str]:
    spelled = ((name.strip().casefold(), _spelled(value)) for name, value in held)
    return {name: text for name, text in spelled if text}


def _spelled(value: object) -> str:
    """A cell as text; a list (JSON, Parquet) as its parts with a bar between, as a CSV cell spells it."""
    if value is None:
        return ""
    if isinstance(value, list):
        return "|".join(_spelled(part) for part in value)
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value).strip()
