"""`python -m training`: registers the commands of `training/commands`."""

from __future__ import annotations

import sys

import typer

from training.commands.console import CONSOLE
from training.commands.evaluate import evaluate
from training.commands.export import export
from training.commands.features import features
from training.commands.fit import fit
from training.commands.likeness import likeness
from training.commands.report import report
from training.commands.scan import scan
from workers.errors import CatalogError

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Train a network, measure it, and export the model bundle that workers load.",
)
for command in (fit, evaluate, export, features, likeness, report, scan):
    app.command()(command)


def main() -> None:
    """Run a command; an error of ours is one line on stderr and exit code 1."""
    try:
        app()
    except CatalogError as error:
        CONSOLE.print(f"[red]{type(error).__name__}[/red]: {error}", highlight=False)
        sys.exit(1)


if __name__ == "__main__":
    main()
