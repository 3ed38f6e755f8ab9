"""Product fields changed by key or by product: the manifest's rows first, which are the truth, then the payloads."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import orjson

from schemas.payload import JsonValue
from schemas.records import Catalog, Job, ManifestProblem
from workers.errors import ContractError, NotFoundError
from workers.flow import grouped
from workers.indexing.manifest import KEY_COLUMN, STANDARD_COLUMNS, manifest_key
from workers.indexing.manifest_cells import EXTRA_READERS, READERS, shown, text
from workers.indexing.manifest_files import header, records
from workers.ports import Ledger
from workers.ports.inbox import MAX_JOB_KEYS

PRODUCT_COLUMN: Final = "product_id"
_JSON_LINES: Final = frozenset({".jsonl", ".ndjson"})
_MAX_PROBLEMS: Final = 1000

Fields = Mapping[str, JsonValue]


@dataclass(frozen=True, kw_only=True, slots=True)
class Change:
    """New values for the images of a key or of a product; None removes a field."""

    fields: Fields
    key: str | None = None
    product: str | None = None
    line: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Updated:
    """What an update came to: its jobs (of the generation that answers) and the rows of its file that were left out."""

    jobs: tuple[Job, ...] = ()
    images: int = 0
    problems: tuple[ManifestProblem, ...] = ()


@dataclass(slots=True)
class _Collected:
    changes: dict[str, dict[str, JsonValue]] = field(default_factory=dict)
    problems: list[ManifestProblem] = field(default_factory=list)


def read_fields(given: Mapping[str, Any], catalog: Catalog) -> dict[str, JsonValue]:
    """Values as a manifest's cells are read; an empty one removes its field.

    Raises:
        ContractError: nothing is given, the catalog keeps no such field, or a value is none for its field.
    """
    if not given:
        raise ContractError("nothing to set: give at least one field, as price=19.90")
    extra = {field.name: field.kind for field in catalog.extra_fields}
    known = (*STANDARD_COLUMNS, *extra)
    read: dict[str, JsonValue] = {}
    for name, value in given.items():
        if name not in known:
            raise ContractError(f"{catalog.name!r} keeps no field {shown(name)}; there are: {', '.join(known)}")
        reader = READERS.get(name, text) if name in STANDARD_COLUMNS else EXTRA_READERS[extra[name]]
        try:
            read[name] = reader(value)
        except ValueError as error:
            raise ContractError(f"{name} {error}") from error
    return read


def submit_update(
    name: str,
    given: Mapping[str, Any],
    *,
    ledger: Ledger,
    keys: Sequence[str] = (),
    products: Sequence[str] = (),
    idempotency_key: str,
) -> Updated:
    """Set the same fields on all images of these keys and products.

    Raises:
        NotFoundError: no such catalog, or it has never been indexed.
        ContractError: no key or product is given, the catalog knows none of that name, or a field or value is none.
    """
    catalog = _indexed(ledger, name)
    if not keys and not products:
        raise ContractError("nothing to update: name at least one key or product")
    fields = read_fields(given, catalog)
    changes = [Change(fields=fields, key=key) for key in keys]
    changes += [Change(fields=fields, product=product) for product in products]
    return _apply(catalog, changes, ledger=ledger, idempotency_key=idempotency_key, strict=True)


def submit_updates(name: str, path: Path, *, ledger: Ledger, idempotency_key: str) -> Updated:
    """Apply a file of updates, a row a key or product; rows that cannot be applied are left out and reported.

    CSV and Parquet have a column `image`, or `product_id` where there is none; an empty cell leaves its field alone. JSON
    lines hold one object each with `image` or `product_id`; null removes a field.

    Raises:
        NotFoundError: no such catalog, or it has never been indexed.
        ContractError: the file as a whole cannot be used.
    """
    catalog = _indexed(ledger, name)
    read = _json_lines if path.suffix.lower() in _JSON_LINES else _table
    return _apply(catalog, read(path, catalog), ledger=ledger, idempotency_key=idempotency_key, strict=False)


def _indexed(ledger: Ledger, name: str) -> Catalog:
    catalog = ledger.catalog(name)
    if catalog.active_generation is None:
        raise NotFoundError(f"the catalog {name!r} has not been indexed yet; run: catalog ingest {catalog.source_url}")
    return catalog


def _apply(
    catalog: Catalog,
    changes: Iterable[Change | ManifestProblem],
    *,
    ledger: Ledger,
    idempotency_key: str,
    strict: bool,
) -> Updated:
    jobs: list[Job] = []
    images = 0
    problems: list[ManifestProblem] = []
    for part, collected in enumerate(_parts(catalog, changes, ledger, strict=strict)):
        problems += collected.problems[: _MAX_PROBLEMS - len(problems)]
        if collected.changes:
            key = idempotency_key if part == 0 else f"{idempotency_key}/{part}"
            jobs.append(ledger.change_manifest(catalog.name, collected.changes, idempotency_key=key)[0])
            images += len(collected.changes)
    return Updated(jobs=tuple(jobs), images=images, problems=tuple(problems))


def _parts(
    catalog: Catalog, changes: Iterable[Change | ManifestProblem], ledger: Ledger, *, strict: bool
) -> Iterator[_Collected]:
    """Changes by key, in parts of at most one job; within a part the later change of a field counts."""
    collected = _Collected()
    for some in grouped(iter(changes), 500):
        known = _known_keys(ledger, catalog, [c.key for c in some if isinstance(c, Change) and c.key is not None])
        for change in some:
            if isinstance(change, ManifestProblem):
                collected.problems.append(change)
                continue
            found = False
            for key in _keys_of(ledger, catalog, change, known):
                found = True
                collected.changes.setdefault(key, {}).update(change.fields)
                if len(collected.changes) >= MAX_JOB_KEYS:
                    yield collected
                    collected = _Collected()
            if not found:
                what = f"image {change.key!r}" if change.key is not None else f"product {change.product!r}"
                problem = f"{catalog.name!r} knows no {what}"
                if strict:
                    raise ContractError(problem)
                collected.problems.append(ManifestProblem(line=change.line, key=change.key, problem=problem))
    yield collected


def _keys_of(ledger: Ledger, catalog: Catalog, change: Change, known: set[str]) -> Iterator[str]:
    if change.key is not None:
        if change.key in known:
            yield change.key
        return
    after: str | None = None
    while page := ledger.product_keys(catalog.name, change.product or "", after=after):
        yield from page
        after = page[-1]


def _known_keys(ledger: Ledger, catalog: Catalog, keys: Sequence[str]) -> set[str]:
    if not keys or catalog.active_generation is None:
        return set()
    rows = ledger.rows_of(catalog.name, catalog.active_generation, keys, job_id="")
    return {row.key for row in rows} | {row.key for row in ledger.manifest_rows_of(catalog.name, keys)}


def _table(path: Path, catalog: Catalog) -> Iterator[Change | ManifestProblem]:
    columns = [name.casefold() for name in header(path)]
    if len(set(columns)) < len(columns):
        raise ContractError(f"{path} has two columns of one name; remove or rename one")
    selector = next((name for name in (KEY_COLUMN, PRODUCT_COLUMN) if name in columns), None)
    if selector is None:
        raise ContractError(f"{path} has neither an 'image' nor a 'product_id' column, which says what a row is about")
    names = {name.casefold(): name for name in (*STANDARD_COLUMNS, *(field.name for field in catalog.extra_fields))}
    unknown = [name for name in columns if name != selector and name not in names]
    if unknown:
        raise ContractError(
            f"{catalog.name!r} keeps no field {shown(unknown[0])}; there are: {', '.join(names.values())}"
        )
    for record in records(path, range(len(columns))):
        if record.fault is not None:
            yield ManifestProblem(line=record.line, key=None, problem=f"the row {record.fault}")
            continue
        cells = dict(zip(columns, record.cells, strict=True))
        chosen = cells.pop(selector)
        given = {names[name]: cell for name, cell in cells.items() if cell is not None and cell != ""}
        yield _change(catalog, selector, chosen, given, record.line)


def _json_lines(path: Path, catalog: Catalog) -> Iterator[Change | ManifestProblem]:
    try:
        with path.open("rb") as file:
            for line, written in enumerate(file, start=1):
                if not written.strip():
                    continue
                try:
                    row = orjson.loads(written)
                except orjson.JSONDecodeError as error:
                    yield ManifestProblem(line=line, key=None, problem=f"the line is no JSON: {error}")
                    continue
                if not isinstance(row, dict) or not {KEY_COLUMN, PRODUCT_COLUMN} & row.keys():
                    yield ManifestProblem(line=line, key=None, problem="the line has neither 'image' nor 'product_id'")
                    continue
                selector = KEY_COLUMN if KEY_COLUMN in row else PRODUCT_COLUMN
                yield _change(catalog, selector, row.pop(selector), row, line)
    except OSError as error:
        raise ContractError(f"the updates {path} cannot be read: {error.strerror or error}") from error


def _change(
    catalog: Catalog, selector: str, chosen: Any, given: Mapping[str, Any], line: int
) -> Change | ManifestProblem:
    name = None
    try:
        name = text(chosen)
        if name is None:
            raise ContractError(f"{selector} is empty; every row names what it is about")
        fields = read_fields(given, catalog)
        if selector == PRODUCT_COLUMN:
            return Change(fields=fields, product=name, line=line)
        return Change(fields=fields, key=manifest_key(name, source_url=catalog.source_url), line=line)
    except (ContractError, ValueError) as error:
        return ManifestProblem(line=line, key=name, problem=str(error))
