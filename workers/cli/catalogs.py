"""Commands about catalogs: list, browse, drop, quarantine."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from workers.cli.options import DEFAULT_NAME, Json, Name

if TYPE_CHECKING:
    from schemas.outcomes import Reason


def list_catalogs(json: Json = False) -> None:
    """All catalogs with their size, source and model."""
    from workers.cli.output import Output
    from workers.deployment.opening import open_deployment

    output = Output(json=json)
    with open_deployment() as there:
        found = there.catalogs()
    if json:
        for one in found:
            output.emit(asdict(one))
        return
    if not found:
        output.say("no catalogs yet; make one with: catalog ingest /path/to/images")
        return
    rows = [
        (one.catalog, one.images, one.source, one.model[:12] if one.model is not None else None, one.last_state)
        for one in found
    ]
    output.table(["catalog", "#images", "source", "model", "last job"], rows)
    for one in found:
        if one.problem:  # below the table, where no narrow column folds the command
            output.say(f"{one.catalog}: {one.problem}", style="red")


def browse(
    name: Name = DEFAULT_NAME,
    category: Annotated[list[str] | None, typer.Option(help="Only this category (repeatable: any of them).")] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="How many.")] = 20,
    json: Json = False,
) -> None:
    """Searchable images of a catalog with what is known of them, in no particular order."""
    from workers.cli.output import Output
    from workers.cli.search import read_categories
    from workers.deployment.opening import open_deployment

    output = Output(json=json)
    with open_deployment() as there:
        found = there.browse(name, categories=read_categories(category or ()), limit=limit)
    if json:
        for payload in found.payloads:
            output.emit(payload.to_json())
        return
    rows = [(p.category, p.product_id, p.brand, p.price, p.key) for p in found.payloads]
    output.table(["category", "product", "brand", "#price", "image"], rows)
    output.say(f"{len(rows):,} of {found.total:,} images", style="dim")


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
    from workers.cli.output import Output
    from workers.deployment.opening import open_deployment
    from workers.job_json import left_json

    output = Output(json=json)
    if reason is not None:
        read_reason(reason)
    with open_deployment() as there:
        rows = there.quarantine(name, limit=limit, reason=reason)
    if json:
        for row in rows:
            output.emit(left_json(row))
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
