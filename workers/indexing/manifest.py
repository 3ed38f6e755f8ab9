"""The product manifest: a CSV or Parquet file with a row an image, read in one pass and constant memory.

A bad row becomes a `ManifestProblem` and is left out; nothing else is disturbed. Only what makes the file as a whole
unusable raises. What a column may hold is said in `manifest_cells`, how files are read in `manifest_files`.
"""

from __future__ import annotations

import dataclasses
import difflib
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final
from urllib.parse import unquote

from schemas.extra_field import ExtraField
from schemas.ids import check_key
from schemas.payload import MANIFEST_FIELDS, JsonValue, Payload
from schemas.records import ManifestProblem, ManifestRow, fields_digest
from workers.errors import ContractError
from workers.indexing.manifest_cells import EXTRA_READERS, READERS, Cell, shown, text
from workers.indexing.manifest_files import Record, header, records

KEY_COLUMN: Final = "image"
STANDARD_COLUMNS: Final = ("category", *MANIFEST_FIELDS)
MAX_PROBLEMS: Final = 10_000
"""Problems kept for the report (about 3 MB); the others are only counted."""
_RESERVED: Final = (frozenset(f.name for f in dataclasses.fields(Payload)) | {KEY_COLUMN}) - {*STANDARD_COLUMNS}
"""Names of the payload that the indexer itself uses: a declared column must not overwrite them."""
_FIELD_NAME: Final = re.compile(r"[\w-]{1,64}")
"""What the index takes for a payload field's name, which engines read as a path."""
_LIKELY_KEY_COLUMNS: Final = (
    "image_path",
    "image_key",
    "key",
    "path",
    "file",
    "filename",
    "file_name",
    "img",
    "picture",
)


def read_manifest(path: Path, *, source_url: str, extra_fields: tuple[ExtraField, ...]) -> ManifestReading:
    """Open a manifest and settle its columns; rows are read by `ManifestReading.rows`.

    Column names are compared without regard to case and the blanks around them. `extra_fields` are columns that become
    payload beside the standard ones. Keys may be written relative to `source_url`, or with it in front, or (for a
    folder) as absolute paths below it; see `manifest_key`.

    Raises:
        ContractError: no such file, neither CSV nor Parquet, empty, not UTF-8, no `image` column, a column twice, or an
            extra field whose name the index uses itself or cannot take.
    """
    names = [field.name for field in extra_fields]
    if odd := [name for name in names if not _FIELD_NAME.fullmatch(name)]:
        raise ContractError(
            f"no manifest column can be kept as {shown(odd[0])}: a field's name has 1 to 64 letters, digits, hyphens and "
            "underscores; rename the column"
        )
    if taken := sorted({name for name in names if name.strip().casefold() in _RESERVED}):
        raise ContractError(
            f"no manifest column can be kept as {taken[0]!r}: the index uses that name; rename the column"
        )
    return ManifestReading(path, header(path), source_url=source_url, extra_fields=extra_fields)


def manifest_key(written: str, *, source_url: str) -> str:
    """The object key that a manifest's cell names.

    The blanks around it, a leading `source_url/` and leading `./` are dropped; backslashes become slashes; for a folder an
    absolute path or `file:` URL (percent-decoded) below it becomes relative. Case and Unicode form stay: keys are
    compared byte for byte.

    Raises:
        ValueError: with a phrase that says why it names nothing below the source.
    """
    key = written.strip().replace("\\", "/")
    if not key:
        raise ValueError("is empty; every row names its image")
    root = source_url.rstrip("/")
    folder = _folder(root)
    if key.startswith(f"{root}/"):
        key = key[len(root) + 1 :] if folder is None else unquote(key[len(root) + 1 :])
    elif folder is not None and key.startswith("file:"):
        key = unquote(key.removeprefix("file://").removeprefix("file:"))
    if folder is not None and key.startswith(f"{folder}/"):
        key = key[len(folder) + 1 :]
    while key.startswith("./"):
        key = key[2:].lstrip("/")
    if key.startswith("/") or "://" in key:
        raise ValueError(f"is {shown(key)}, which is not below the source {source_url}")
    return check_key(key)


class ManifestReading:
    """A manifest whose columns are known. Iterate `rows()` to its end, then look at what was left out."""

    def __init__(
        self, path: Path, columns: tuple[str, ...], *, source_url: str, extra_fields: tuple[ExtraField, ...]
    ) -> None:
        self.path = path
        self.columns = columns
        """As the header spells them."""
        self.problems: list[ManifestProblem] = []
        """Rows left out by the latest pass, in order; the first 10,000 of `problem_count`."""
        self.problem_count = 0
        self._source_url = source_url
        places = _places(path, columns)
        self._key_place = places.pop(KEY_COLUMN)
        standard = {name.casefold(): (name, READERS.get(name, text)) for name in STANDARD_COLUMNS}
        declared = {field.name.casefold(): (field.name, EXTRA_READERS[field.kind]) for field in extra_fields}
        wanted = declared | standard
        self._readers: Sequence[tuple[str, int, Callable[[Cell], JsonValue]]] = [
            (name, places[folded], read) for folded, (name, read) in wanted.items() if folded in places
        ]
        self.unknown_columns: tuple[str, ...] = tuple(
            columns[place] or f"(column {place + 1}, unnamed)"
            for folded, place in sorted(places.items(), key=lambda item: item[1])
            if folded not in wanted
        )
        """Columns that are neither standard nor declared; they are not read."""
        self.missing_extra_fields: tuple[str, ...] = tuple(
            field.name for field in extra_fields if field.name.casefold() not in places
        )
        """Declared columns that this manifest does not have."""

    def rows(self) -> Iterator[ManifestRow]:
        """Every sound row in file order. Each call is a pass of its own and begins the problems anew. The same key may
        come twice: who stores rows sees that.

        Raises:
            ContractError: the file cannot be read to its end (bytes that are not UTF-8, damaged Parquet). What was yielded
                before must not be taken for the whole manifest.
        """
        self.problems, self.problem_count = [], 0
        for record in records(self.path, [self._key_place, *(place for _, place, _ in self._readers)]):
            row = self._row(record)
            if row is not None:
                yield row

    def _row(self, record: Record) -> ManifestRow | None:
        if record.fault is not None:
            written = record.cells[self._key_place] if self._key_place < len(record.cells) else None
            self._note(record.line, written, f"the row {record.fault}")
            return None
        written = record.cells[self._key_place]
        fields: dict[str, JsonValue] = {}
        faults = []
        key = ""
        try:
            key = manifest_key(text(written) or "", source_url=self._source_url)
        except ValueError as error:
            faults.append(f"{KEY_COLUMN} {error}")
        for name, place, read in self._readers:
            try:
                value = read(record.cells[place])
            except ValueError as error:
                faults.append(f"{name} {error}")
            else:
                if value is not None:
                    fields[name] = value
        if faults:
            self._note(record.line, key or written, "; ".join(faults))
            return None
        return ManifestRow(key=key, digest=fields_digest(fields), fields=fields, line=record.line)

    def _note(self, line: int, written: Cell, problem: str) -> None:
        self.problem_count += 1
        if len(self.problems) < MAX_PROBLEMS:
            key = written.strip() if isinstance(written, str) else None
            if key and (len(key) > 200 or not key.isprintable()):
                key = shown(key)
            self.problems.append(ManifestProblem(line=line, key=key or None, problem=problem))


def _folder(root: str) -> str | None:
    """The absolute path of a folder source (`file:///data/images` or `/data/images`), or None for another store."""
    if root.startswith("file:"):
        return unquote(root.removeprefix("file://").removeprefix("file:"))
    return root if root.startswith("/") else None


def _places(path: Path, columns: tuple[str, ...]) -> dict[str, int]:
    """Index of every column by its folded name; unnamed ones under a name of their own."""
    places: dict[str, int] = {}
    for place, name in enumerate(columns):
        folded = name.casefold() or f"\x00{place}"
        if folded in places:
            first = columns[places[folded]]
            raise ContractError(
                f"{path} has two columns of one name, {first!r} (column {places[folded] + 1}) and {name!r} "
                f"(column {place + 1}); remove or rename one"
            )
        places[folded] = place
    if KEY_COLUMN not in places:
        raise ContractError(f"{path} has no 'image' column, which names each row's image{_advice(columns)}")
    return places


def _advice(columns: tuple[str, ...]) -> str:
    """What to do about a missing `image` column: the columns found, and the one that is probably meant."""
    named = [name for name in columns if name]
    folded = {name.casefold(): name for name in named}
    near = [name for name in _LIKELY_KEY_COLUMNS if name in folded] or difflib.get_close_matches(
        KEY_COLUMN, folded, n=1, cutoff=0.5
    )
    found = ", ".join(shown(name) for name in named[:20]) + (f" and {len(named) - 20} more" if len(named) > 20 else "")
    return f"; its columns: {found or 'none has a name'}" + (
        f"; rename {folded[near[0]]!r} to 'image'?" if near else ""
    )
