"""`python -m training report`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from training.commands.console import CONSOLE, Run


def report(
    run: Run,
    out: Annotated[
        Path | None, typer.Option(help="The page to write; default: report.html in the run's folder.")
    ] = None,
    pictures: Annotated[
        bool, typer.Option(help="Show images of the data set; without them the page has curves, tables and settings.")
    ] = True,
) -> None:
    """Make one self-contained HTML page of a run: curves, figures, mistakes, searches, where the network looks, boxes.

    It reads config.json, data.json, log.jsonl and what `evaluate` left (evaluation.json and the predictions); what is not
    there yet is left out, and the page says so. Open it with any browser; it loads nothing from anywhere.
    """
    from training.report.material import gather, nothing
    from training.report.page import compose, render, save
    from training.report.reading import read_run

    found = read_run(run)
    with CONSOLE.status("reading images and network") as status:
        material = gather(found) if pictures else nothing("The report was made with --no-pictures.")
        status.update("making the page")
        page = render(compose(found, material))
    path = out or run / "report.html"
    save(page, path)
    typer.echo(f"{path} ({len(page.encode()) / 1e6:.1f} MB)")
