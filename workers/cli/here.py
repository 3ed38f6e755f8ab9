"""Commands about this machine: where CATALOG_API_URL leads to a server they refuse, instead of touching a home here."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable

import typer

from workers.errors import ConfigurationError

VARIABLE = "CATALOG_API_URL"


def here_only(command: Callable[..., None]) -> Callable[..., None]:
    """The command, refused where the settings lead to a server."""

    @functools.wraps(command)
    def guarded(*arguments: object, **options: object) -> None:
        url = os.environ.get(VARIABLE)
        if url:
            raise ConfigurationError(
                f"this command is for the machine itself, and {VARIABLE} leads to {url}: unset it, or run this there"
            )
        command(*arguments, **options)

    return guarded


def all_here_only(group: typer.Typer) -> typer.Typer:
    """The same for every command of a group."""
    for one in group.registered_commands:
        if one.callback is not None:
            one.callback = here_only(one.callback)
    return group
