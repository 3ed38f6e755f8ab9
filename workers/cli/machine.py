"""Commands about this machine and what it is set up with: doctor, upgrade and sample."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from workers.cli.options import Json


def doctor(json: Json = False) -> None:
    """Check settings, folders, model, engine, ledger and index, each with what to do about it."""
    from workers.cli.checks import run_checks
    from workers.cli.output import Output

    output = Output(json=json)
    failed = 0
    for check in run_checks():
        failed += not check.ok
        if json:
            output.emit({"check": check.name, "ok": check.ok, "detail": check.detail})
        else:
            output.say(
                f"{'ok  ' if check.ok else 'FAIL'}  {check.name:<9} {check.detail}", style=None if check.ok else "red"
            )
    if failed:
        raise typer.Exit(1)


def upgrade(json: Json = False) -> None:
    """Bring the ledger's tables up to date, as Postgres needs once for every release. Stop the workers before."""
    from workers.adapters.ledger import upgrade_ledger
    from workers.bootstrap import open_process
    from workers.cli.output import Output

    output = Output(json=json)
    with open_process() as process:
        if process.settings.ledger_url is None:
            _ = process.home  # SQLite makes its file, but no folder
        done = upgrade_ledger(process.settings.resolved_ledger_url)
    if json:
        output.emit({"ledger": done.where, "from": done.before, "to": done.after})
    came_to = (
        f"revision {done.after}, nothing to do"
        if done.before == done.after
        else f"from revision {done.before or 'none'} to {done.after}"
    )
    output.say(f"ledger {done.where}: {came_to}")


def sample(
    folder: Annotated[Path, typer.Argument(help="Where to write the images and manifest.csv.")],
    images: Annotated[int, typer.Option("--images", min=1, max=10_000_000, help="How many.")] = 1000,
    seed: Annotated[int, typer.Option(help="The same seed draws the same catalog.")] = 7,
    json: Json = False,
) -> None:
    """Draw a sample catalog: garments in several views on several backgrounds, with their manifest."""
    from rich.progress import Progress

    from workers.cli.output import Output, duration
    from workers.sample.catalog import write

    output = Output(json=json)
    with Progress(console=output.err, transient=True, disable=json or not output.err.is_terminal) as progress:
        task = progress.add_task("drawing", total=images)
        report = write(folder, images=images, seed=seed, on_progress=lambda done: progress.update(task, completed=done))
    if json:
        output.emit(
            {
                "folder": str(report.folder),
                "manifest": str(report.manifest),
                "images": report.images,
                "products": report.products,
                "seconds": round(report.seconds, 3),
            }
        )
        return
    output.say(
        f"drew {report.images:,} images of {report.products:,} products into {report.folder} in {duration(report.seconds)}"
    )
    output.say(f"index it: catalog ingest {report.folder} --manifest {report.manifest} --name sample")
