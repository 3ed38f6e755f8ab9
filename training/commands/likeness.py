"""`python -m training likeness`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from training.commands.console import CONSOLE
from training.datasets.record import Split
from training.recipes import RECIPES, recipe


def likeness(
    bundle: Annotated[Path, typer.Argument(help="The finished bundle whose card is to say it.")],
    recipe_name: Annotated[
        str | None,
        typer.Option("--recipe", help=f"Whose data to measure on. One of: {', '.join(RECIPES)}. Default: the card's."),
    ] = None,
    split: Annotated[Split, typer.Option(help="Whose images search each other.")] = "validation",
) -> None:
    """Measure what a finished bundle's similarities are worth, and write it into its card.

    A logistic curve from cosine to the share of right neighbours (Platt 1999),
    fitted to the neighbours that the split's images find among each other. The
    bundle's digest does not cover the card: catalogs stay bound to the model.
    Exporting measures it too; this is for bundles made before.

    Example:

        python -m training likeness my-bundle
    """
    from training.bundle import add_likeness, read_card
    from training.datasets.sources import read_source

    card = read_card(bundle)
    data = read_source(recipe(recipe_name or card.provenance.recipe).data)
    found = add_likeness(bundle, data, split=split)
    CONSOLE.print(
        f"likeness = 1 / (1 + exp(-({found.slope:g} * cosine {found.intercept:+g}))), by {found.by}, from {found.pairs} "
        f"neighbours of the {found.images} images of {found.data}: "
        + ", ".join(f"{found.of(cosine):.0%} at {cosine:g}" for cosine in (0.6, 0.7, 0.8, 0.9, 1.0)),
        highlight=False,
    )
