"""Options that several commands share, spelled once."""

from __future__ import annotations

from typing import Annotated

import typer

Name = Annotated[str, typer.Option("--name", "-n", help="The catalog.", envvar="CATALOG_NAME", show_default=True)]
Json = Annotated[bool, typer.Option("--json", help="One JSON object a line on stdout; everything else on stderr.")]
JobId = Annotated[str, typer.Argument(help="A job's id, or its first characters.", metavar="JOB")]
Priority = Annotated[
    int | None, typer.Option(min=-9, max=9, help="9 is served first, -9 last; default: 0.", show_default=False)
]
DEFAULT_NAME = "default"
