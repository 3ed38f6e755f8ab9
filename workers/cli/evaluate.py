"""`catalog evaluate`: how good a catalog's answers are."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from workers.cli.options import DEFAULT_NAME, Json, Name

if TYPE_CHECKING:
    from workers.bootstrap import Process
    from workers.cli.output import Output
    from workers.query.evaluate import Asked, Evaluation, Figure, Judged, Recall
    from workers.query.labelled import Labelled
    from workers.query.resolver import Resolved
    from workers.query.selectivity import Passing


def evaluate(
    folder: Annotated[
        Path | None,
        typer.Argument(
            help="Labelled pictures: a sub-folder for each category, or with --manifest. Default: the catalog's own images "
            "with a declared category or a product.",
            metavar="[FOLDER]",
        ),
    ] = None,
    name: Name = DEFAULT_NAME,
    manifest: Annotated[
        Path | None, typer.Option(help="CSV or Parquet with `image` and `category` or `product_id`, as for ingest.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="Queries at most, drawn at random.")] = 500,
    seed: Annotated[int, typer.Option(min=0, help="Of the draw.")] = 0,
    board: Annotated[
        Path | None, typer.Option(help="Also draw the worst queries: a .png, an .html, or a name for both.")
    ] = None,
    json: Json = False,
) -> None:
    """Measure a catalog's answers: recall of the approximate index with and without filters, category and product hits."""
    from rich.progress import Progress

    from workers.bootstrap import open_process
    from workers.cli.labelled import labelled_folder
    from workers.cli.output import Output
    from workers.errors import ContractError
    from workers.query.evaluate import evaluate as measure
    from workers.query.evaluate import searches
    from workers.query.labelled import labelled_catalog, sample

    if folder is None and manifest is not None:
        raise ContractError("--manifest labels the pictures of a folder; name the folder too")
    output = Output(json=json)
    labelled = labelled_folder(folder, manifest) if folder is not None else None
    with open_process() as process:
        resolved = process.resolver.resolve(name)
        chosen = sample(labelled or labelled_catalog(process.index, resolved), limit, seed=seed)
        with Progress(console=output.err, transient=True, disable=json or not output.err.is_terminal) as progress:
            embedding = progress.add_task("embedding", total=len(chosen))
            asked, unusable = _embed(process, resolved, chosen, lambda: progress.advance(embedding))
            searching = progress.add_task("searching", total=searches(len(asked)))
            found = measure(
                asked,
                resolved=resolved,
                index=process.index,
                unusable=unusable,
                on_progress=lambda done: progress.update(searching, completed=done),
            )
        _show(output, found)
        if board is not None:
            _draw(output, process, name, found, board)


def _embed(
    process: Process, resolved: Resolved, images: tuple[Labelled, ...], advance: Any
) -> tuple[list[Asked], dict[str, str]]:
    from workers.query.evaluate import Asked, embed_labelled

    asked: list[Asked] = []
    unusable: dict[str, str] = {}
    for one in embed_labelled(
        images,
        resolved=resolved,
        index=process.index,
        embedder_for=process.embedder,
        limits=process.limits,
        read=lambda image: process.read_picture(image.path) if image.path is not None else b"",
    ):
        advance()
        if isinstance(one, Asked):
            asked.append(one)
        else:
            unusable[one[0].name] = str(one[1])
    return asked, unusable


def _show(output: Output, found: Evaluation) -> None:
    if output.json:
        output.emit(evaluation_json(found))
        return
    for image, reason in list(found.unusable.items())[:10]:
        output.note(f"{image}: {reason}", style="red")
    rows = [(name.replace("_", " "), *_cells(figure)) for name, figure in found.figures.items()]
    output.table(["figure", "#value", "95 % interval", "#queries"], rows)
    output.say("")
    output.table(
        ["filter", "#passing", "#recall@10", "95 % interval", "#p50 ms", "#p95 ms", "#p99 ms"],
        [_recall_row(recall) for recall in found.recalls],
    )
    own = f", {found.themselves_indexed:,} of them indexed and left out of their own answers"
    output.say(f"{found.queries:,} queries{own if found.themselves_indexed else ''}", style="dim")


def _cells(figure: Figure) -> tuple[str, str | None, int]:
    interval = None if figure.low is None or figure.high is None else f"{figure.low:.3f} to {figure.high:.3f}"
    return f"{figure.value:.3f}", interval, figure.queries


def _recall_row(recall: Recall) -> tuple[object, ...]:
    if recall.recall is None:
        none = "no image passes it" if recall.passing is not None else "the catalog has no condition near it"
        return (f"about {recall.wanted_share:.1%}: {none}", None, None, None, None, None, None)
    value, interval, _ = _cells(recall.recall)
    took = recall.latency_ms
    times = (f"{took[p]:.1f}" for p in ("p50", "p95", "p99"))
    if recall.passing is None:
        return ("none", None, value, interval, *times)
    return (condition_text(recall.passing), f"{recall.passing.share:.1%}", value, interval, *times)


def condition_text(passing: Passing) -> str:
    """A condition as `--filter` takes it."""
    from schemas.query import AnyOf, Range

    match passing.condition:
        case AnyOf(field=field, values=values):
            words = ",".join(str(v).lower() if isinstance(v, bool) else str(v).replace(",", "\\,") for v in values)
            return f"{field}={words}"
        case Range(field=field, maximum=maximum):
            return f"{field}<={maximum:g}"
        case other:
            raise TypeError(f"no condition with a share: {other}")


def evaluation_json(found: Evaluation) -> dict[str, Any]:
    """What was measured, as programs read it."""
    return {
        "queries": found.queries,
        "themselves_indexed": found.themselves_indexed,
        "unusable": dict(found.unusable),
        "figures": {name: _figure_json(figure) for name, figure in found.figures.items()},
        "recall_at_10": [
            {
                "wanted_share": recall.wanted_share,
                "filter": None if recall.passing is None else condition_text(recall.passing),
                "share": None if recall.passing is None else round(recall.passing.share, 6),
                "recall": None if recall.recall is None else _figure_json(recall.recall),
                "latency_ms": {name: round(value, 3) for name, value in recall.latency_ms.items()},
            }
            for recall in found.recalls
        ],
        "worst": [_judged_json(judged) for judged in found.worst],
    }


def _figure_json(figure: Figure) -> dict[str, Any]:
    low, high = (None if bound is None else round(bound, 4) for bound in (figure.low, figure.high))
    return {"value": round(figure.value, 4), "low": low, "high": high, "queries": figure.queries}


def _judged_json(judged: Judged) -> dict[str, Any]:
    return {
        "image": judged.image.name,
        "category": judged.image.category,
        "precision": round(judged.precision, 4),
        "hits": [
            {"key": h.payload.key, "category": h.payload.category, "score": round(h.score, 6)} for h in judged.hits
        ],
    }


def _draw(output: Output, process: Process, name: str, found: Evaluation, target: Path) -> None:
    from workers.board import save
    from workers.cli.boards import worst_board

    if not found.worst:
        output.note("nothing to draw: every hit has its query's category")
        return
    for path in save(worst_board(process, name, found.worst), target):
        output.note(f"drawn: {path}")
