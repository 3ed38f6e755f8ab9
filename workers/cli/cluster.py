"""Commands about a whole cluster on this machine: up and down."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from workers.cli.options import Json

if TYPE_CHECKING:
    from workers.cli.output import Output
    from workers.cluster.cluster import PartStatus


def up(
    workers: Annotated[
        int | None,
        typer.Option(min=1, max=64, help="How many; of several, one takes interactive work only. Default: 2."),
    ] = None,
    broker_port: Annotated[
        int | None, typer.Option(min=1, max=65535, help="Port of Valkey; default: a free one.")
    ] = None,
    store_port: Annotated[
        int | None, typer.Option(min=1, max=65535, help="Port of the S3 server; default: a free one.")
    ] = None,
    store_folder: Annotated[
        Path | None, typer.Option(help="Folder whose sub-folders are the S3 server's buckets; default: in the home.")
    ] = None,
    status: Annotated[bool, typer.Option("--status", help="Only show what runs.")] = False,
    json: Json = False,
) -> None:
    """Start a whole cluster on this machine: Postgres, Valkey, S3, workers and a beat. For development and demos."""
    from workers.cli.output import Output
    from workers.cluster.cluster import ClusterOptions
    from workers.cluster.cluster import status as cluster_status
    from workers.cluster.cluster import up as start_all
    from workers.cluster.state import ClusterFolder
    from workers.settings import load_settings

    output = Output(json=json)
    settings = load_settings()
    if not status:
        options = ClusterOptions(
            workers=workers, broker_port=broker_port, store_port=store_port, store_folder=store_folder
        )
        start_all(
            settings.home,
            options,
            index_url=settings.index_url,
            on_start=lambda name: output.note(f"starting {name}"),
        )
    parts = cluster_status(settings.home)
    _show(output, parts)
    if not parts or not all(part.running for part in parts):
        if status:
            output.note("not complete; start what is missing with: catalog up", style="yellow")
            raise typer.Exit(1)
        return
    if not json:
        environment = ClusterFolder(settings.home.absolute()).environment
        output.say("")
        output.say("use it in this shell:   set -a; . " + str(environment) + "; set +a")
        output.say("then:                   catalog ingest /path/to/images --name shop")
        output.say("stop it:                catalog down")


def down(json: Json = False) -> None:
    """Stop the cluster of this home; workers finish the images in hand, data stays."""
    from workers.cli.output import Output
    from workers.cluster.cluster import down as stop_all
    from workers.settings import load_settings

    output = Output(json=json)
    killed = stop_all(load_settings().home, on_stop=lambda name: output.note(f"stopping {name}"))
    if json:
        output.emit({"stopped": True, "killed": killed})
    for name in killed:
        output.note(f"{name} did not end in time and was killed", style="yellow")
    output.say("stopped; start it again, with its data, with: catalog up")


def _show(output: Output, parts: list[PartStatus]) -> None:
    if output.json:
        for part in parts:
            output.emit(
                {
                    "part": part.name,
                    "running": part.running,
                    "pid": part.pid,
                    "address": part.address,
                    "log": part.log,
                }
            )
        return
    if not parts:
        output.say("there is no cluster in this home")
        return
    rows = [(part.name, "running" if part.running else "stopped", part.pid, part.address, part.log) for part in parts]
    output.table(["part", "state", "#pid", "address", "log"], rows)
