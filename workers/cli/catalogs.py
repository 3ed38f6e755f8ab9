"""Commands about catalogs: list, browse, drop, quarantine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from workers.cli.options import DEFAULT_NAME, Json, Name

if TYPE_CHECKING:
    from schemas.outcomes import Reason


def list_catalogs(json: Json = False) -> None:
    """All catalogs with their size, source and model."""
    from workers.bootstrap import open_process
    from workers.cli.checks import missing_cure
    from workers.cli.output import Output
    from workers.errors import NotFoundError

    output = Output(json=json)
    with open_process() as process:
        rows = []
        for catalog in process.ledger.catalogs():
            active = catalog.active_generation
            generation = process.ledger.generation(catalog.name, active) if active is not None else None
            points: int | None = 0
            problem = None
            if generation is not None:
                try:
                    points = process.index.count(generation.collection)
                except NotFoundError:
                    points, problem = None, f"index missing; cure: {missing_cure(catalog.name)}"
            last = next(iter(process.ledger.jobs(catalog=catalog.name, limit=1)), None)
            rows.append(
                {
                    "catalog": catalog.name,
                    "images": points,
                    "problem": problem,
                    "source": catalog.source_url,
                    "collection": generation.collection if generation is not None else None,
                    "model": generation.model_digest if generation is not None else None,
                    "last_job": last.id if last is not None else None,
                    "last_state": last.state.value if last is not None else None,
                    "last_finished_at": last.finished_at.isoformat() if last is not None and last.finished_at else None,
                }
            )
    if json:
        for row in rows:
            output.emit(row)
    elif not rows:
        output.say("no catalogs yet; make one with: catalog ingest /path/to/images")
    else:
        columns = ("catalog", "images", "source", "model", "last_state")
        table = [[str(row[c])[:12] if c == "model" and row[c] else row[c] for c in columns] for row in rows]
        output.table(["catalog", "#images", "source", "model", "last job"], table)
        for row in rows:
            if row["problem"]:  # below the table, where no narrow column folds the command
                output.say(f"{row['catalog']}: {row['problem']}", style="red")


def browse(
    name: Name = DEFAULT_NAME,
    category: Annotated[list[str] | None, typer.Option(help="Only this category (repeatable: any of them).")] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="How many.")] = 20,
    json: Json = False,
) -> None:
    """Searchable images of a catalog with what is known of them, in no particular order."""
    from schemas.query import AnyOf, Filter
    from workers.bootstrap import open_process
    from workers.cli.output import Output
    from workers.cli.search import read_categories
    from workers.query.search import active_generation

    output = Output(json=json)
    where = Filter(conditions=(AnyOf(field="category", values=read_categories(category)),)) if category else None
    with open_process() as process:
        generation = active_generation(name, process.ledger)
        points = process.index.scroll(generation.collection, where=where, limit=limit)
        total = process.index.count(generation.collection, where)
    if json:
        for point in points:
            output.emit(point.payload.to_json())
        return
    rows = [(p.payload.category, p.payload.product_id, p.payload.brand, p.payload.price, p.payload.key) for p in points]
    output.table(["category", "product", "brand", "#price", "image"], rows)
    output.say(f"{len(rows):,} of {total:,} images", style="dim")


def drop(
    name: Name = DEFAULT_NAME,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    json: Json = False,
) -> None:
    """Forget a catalog: its index and what is known of it. The images in its source are never touched."""
    from workers.bootstrap import open_process
    from workers.cli.output import Output
    from workers.errors import ContractError
    from workers.indexing.submit import drop_catalog

    output = Output(json=json)
    with open_process() as process:
        catalog = process.ledger.catalog(name)
        if not yes:
            if json or not output.err.is_terminal:
                raise ContractError(f"dropping {name!r} removes its index; say --yes to do it")
            typer.confirm(f"Drop the catalog {name!r} (source {catalog.source_url})?", abort=True, err=True)
        drop_catalog(name, ledger=process.ledger, index=process.index)
    if json:
        output.emit({"catalog": name, "dropped": True})
    else:
        output.say(f"dropped {name}; its source {catalog.source_url} was not touched")


def quarantine(
    name: Name = DEFAULT_NAME,
    reason: Annotated[str | None, typer.Option(help="Only this reason, as 'truncated'.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="How many rows at most.")] = 100,
    json: Json = False,
) -> None:
    """Images of a catalog that are not searchable, each with the reason and what to do."""
    from workers.bootstrap import open_process
    from workers.cli.output import Output

    output = Output(json=json)
    if reason is not None:
        read_reason(reason)
    with open_process() as process:
        process.ledger.catalog(name)
        rows = process.ledger.quarantine(name, limit=limit, reason=reason)
    if json:
        for row in rows:
            output.emit(
                {
                    "key": row.key,
                    "outcome": row.kind.value,
                    "reason": row.reason.value,
                    "detail": row.detail,
                    "advice": row.reason.advice,
                    "attempts": row.attempts,
                    "at": row.at.isoformat(),
                }
            )
        return
    if not rows:
        output.say(f"nothing of {name} is in quarantine")
        return
    output.table(["image", "reason", "detail", "#tries"], [(r.key, r.reason.value, r.detail, r.attempts) for r in rows])
    for known in sorted({row.reason for row in rows}):
        output.say(f"{known.value}: {known.advice}")
    output.say(f"when they are mended: catalog ingest again; to try them as they are: catalog retry --name {name}")


def read_reason(text: str) -> Reason:
    """The reason of that name, or ContractError naming those there are."""
    from schemas.outcomes import Reason
    from workers.errors import ContractError

    try:
        return Reason(text)
    except ValueError as error:
        raise ContractError(f"{text!r} is no reason; there are: {', '.join(r.value for r in Reason)}") from error
