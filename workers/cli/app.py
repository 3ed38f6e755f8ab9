"""The `catalog` command. Commands import what they need when they run, so that `--help` answers at once."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from io import TextIOWrapper
from typing import NoReturn

import typer

from workers.cli import (
    catalogs,
    cluster,
    control,
    evaluate,
    events,
    ingest,
    jobs,
    keys,
    machine,
    model,
    processes,
    schedules,
    search,
    serve,
)
from workers.cli.here import all_here_only, here_only
from workers.errors import CatalogError
from workers.readable import readable

app = typer.Typer(
    name="catalog",
    help="Keep a visual search index true to a fashion catalog: ingest images, search by picture, look after the rest.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
COMMANDS: tuple[Callable[..., None], ...] = (
    *(ingest.ingest, ingest.reindex, ingest.retry, ingest.confirm),
    *(events.look, events.update),
    *(search.search, search.classify),
    *(catalogs.list_catalogs, catalogs.browse, catalogs.quarantine),
    *(jobs.status, jobs.jobs, jobs.report, jobs.cancel),
    *(control.pause, control.resume, control.workers),
)
"""Those that work the same here and through a server."""
HERE_COMMANDS: tuple[Callable[..., None], ...] = (
    *(serve.serve, cluster.up, cluster.down, processes.worker, processes.beat),
    *(machine.doctor, machine.upgrade, machine.sample, events.watch, catalogs.drop, evaluate.evaluate),
)
for command in COMMANDS:
    app.command(command.__name__.removesuffix("_catalogs"))(command)
for command in HERE_COMMANDS:
    app.command(command.__name__)(here_only(command))
app.command("priority", context_settings={"ignore_unknown_options": True})(control.priority)  # -5 is a number
app.add_typer(all_here_only(model.app), name="model")
app.add_typer(all_here_only(schedules.app), name="schedule")
app.add_typer(all_here_only(events.app), name="events")
app.add_typer(all_here_only(keys.app), name="keys")


def main() -> None:
    """Run the command line; a person's error is one line on stderr and a non-zero exit."""
    _open_closed_streams()
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # as stderr: a terminal's encoding must not end a command
    try:
        try:
            app()
        finally:
            sys.stdout.flush()  # here, where a full disk can still be reported
    except CatalogError as error:
        _end(str(error))
    except UnicodeEncodeError as error:
        _end(f"{error.object!r} is no text (UTF-8), which it has to be")
    except BrokenPipeError:
        # The reader of our output has gone (`| head`): nothing is wrong here.
        _forget_output()
        sys.exit(0)
    except OSError as error:
        _end(": ".join(str(part) for part in (error.strerror or error, error.filename) if part))


def _end(message: str) -> NoReturn:
    sys.stderr.write(f"error: {readable(message)}\n")
    _forget_output()
    sys.exit(1)


def _open_closed_streams() -> None:
    """A stream that was closed before we began (`>&-`) leads to nowhere, instead of to the next file that is opened."""
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest free number, which is this one
            setattr(sys, name, open(number, mode, encoding="utf-8", closefd=False))  # noqa: SIM115


def _forget_output() -> None:
    """What is still buffered must not be written at the interpreter's end, where it would fail again."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
