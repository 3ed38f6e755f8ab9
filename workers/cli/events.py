"""Commands that bring changes in from elsewhere: events, watch, look, update."""

from __future__ import annotations

import signal
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from workers.cli.options import DEFAULT_NAME, Json, Name

if TYPE_CHECKING:
    from schemas.records import Job
    from workers.bootstrap import Process
    from workers.cli.output import Output
    from workers.indexing.update import Updated
    from workers.ports import ObjectStore

app = typer.Typer(no_args_is_help=True, help="Receive notifications of an object store.")
Only = Annotated[
    str | None, typer.Option("--name", "-n", help="Only for this catalog; default: whichever it concerns.")
]


@app.command()
def serve(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on.")] = 8077,
) -> None:
    """Take notifications over HTTP: POST /v1/events, or /v1/events/NAME for one catalog."""
    import uvicorn

    from workers.bootstrap import open_process
    from workers.cli.output import Output
    from workers.pump import Pump
    from workers.web.events import PATH, check_bind, make_events_app

    output = Output(json=False)
    with open_process() as process:
        check_bind(host, has_token=process.settings.events_token is not None)
        config = uvicorn.Config(
            make_events_app(process), host=host, port=port, log_level="warning", server_header=False
        )
        output.note(f"taking notifications on http://{host}:{port}{PATH}")
        for ending in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(ending, lambda *_: None)  # the server ends by itself, then raises the signal once more
        with Pump(process):
            uvicorn.Server(config).run()


@app.command()
def sqs(
    queue_url: Annotated[str, typer.Argument(help="As https://sqs.eu-west-1.amazonaws.com/123456789012/images.")],
    name: Only = None,
) -> None:
    """Take notifications from an SQS queue until SIGTERM."""
    from workers.bootstrap import open_process
    from workers.cli.output import Output
    from workers.indexing.desk import EventDesk
    from workers.pump import Pump
    from workers.sqs import SqsReceiver

    output = Output(json=False)
    with open_process() as process:
        receiver = SqsReceiver(queue_url, EventDesk(process.ledger), only=name)
        for ending in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(ending, receiver.end)
        receiver.connect()
        output.note(f"taking notifications from {queue_url}")
        with Pump(process):
            receiver.run()


def watch(
    folder: Annotated[Path, typer.Argument(help="A local folder of images.")],
    name: Name = DEFAULT_NAME,
    include: Annotated[list[str] | None, typer.Option(help="Only keys that match this glob (repeatable).")] = None,
    exclude: Annotated[list[str] | None, typer.Option(help="No keys that match this glob (repeatable).")] = None,
) -> None:
    """Keep a catalog in line with a local folder: a full sync first, then every change as it comes, until Ctrl-C."""
    from workers.bootstrap import open_process
    from workers.cli.output import Output
    from workers.pump import Pump
    from workers.watching import FolderWatch

    output, stop = Output(json=False), threading.Event()
    with open_process() as process:
        store = process.open_source(str(folder))
        process.ledger.ensure_catalog(name, source_url=store.url)
        with FolderWatch(folder, catalog=name, store=store, ledger=process.ledger) as watched:
            _first_sync(output, process, name, store, include=tuple(include or ()), exclude=tuple(exclude or ()))
            for ending in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
                signal.signal(ending, lambda *_: stop.set())
            output.note(f"watching {folder} for {name}; Ctrl-C ends it")
            with Pump(process):
                while not stop.wait(0.5):
                    if not watched.is_alive:
                        output.note("the folder cannot be watched any more", style="red")
                        raise typer.Exit(1)


def look(
    keys: Annotated[list[str], typer.Argument(help="Keys as in the source, as women/shirt.jpg.")],
    name: Name = DEFAULT_NAME,
    json: Json = False,
) -> None:
    """Look at single images now: what is new or changed is indexed, what is gone is deleted."""
    from workers.cli.output import Output
    from workers.deployment.opening import open_deployment

    with open_deployment() as there:
        job = there.follow(there.index_keys(name, keys).id, on_progress=lambda *_: None)
        there.work_off()
        _tell_jobs(Output(json=json), [job])


def update(
    set_field: Annotated[
        list[str] | None,
        typer.Option("--set", help="A field and its value, as price=19.90; 'price=' removes it (repeatable)."),
    ] = None,
    key: Annotated[list[str] | None, typer.Option(help="Of this image (repeatable).")] = None,
    product: Annotated[list[str] | None, typer.Option(help="Of all images of this product (repeatable).")] = None,
    file: Annotated[
        Path | None, typer.Option(help="CSV, Parquet or JSON lines: a row an image or product_id, with fields to set.")
    ] = None,
    name: Name = DEFAULT_NAME,
    json: Json = False,
) -> None:
    """Change price, stock and other product fields without embedding anything again."""
    from schemas.ids import new_id
    from workers.cli.output import Output
    from workers.deployment.opening import open_deployment
    from workers.errors import ContractError
    from workers.indexing.update import submit_updates

    if (file is None) == (not set_field) or (file is not None and (key or product)):
        raise ContractError("give either --set with --key or --product, or --file")
    output = Output(json=json)
    with open_deployment() as there:
        if file is not None:
            ledger = there.here("--file").ledger
            updated = submit_updates(name, file, ledger=ledger, idempotency_key=new_id())
        else:
            fields = dict(_assignment(text) for text in set_field or ())
            updated = there.update(name, fields, keys=key or (), products=product or ())
        _tell_update(output, updated)
        _tell_jobs(output, [there.follow(job.id, on_progress=lambda *_: None) for job in updated.jobs])


def _first_sync(
    output: Output,
    process: Process,
    name: str,
    store: ObjectStore,
    *,
    include: tuple[str, ...],
    exclude: tuple[str, ...],
) -> None:
    from schemas.records import JobOptions
    from workers.cli.ingest import bring_to_rest
    from workers.deployment.local import LocalDeployment
    from workers.indexing.submit import submit_sync

    bundle = process.chosen_bundle()
    submitted = submit_sync(
        name,
        store=store,
        ledger=process.ledger,
        index=process.index,
        card=bundle.card,
        keep_bundle=lambda: process.keep_bundle(bundle),
        options=JobOptions(include=include, exclude=exclude),
    )
    bring_to_rest(output, LocalDeployment(process), submitted.job)


def _assignment(text: str) -> tuple[str, str]:
    name, sign, value = text.partition("=")
    if not sign or not name.strip():
        raise typer.BadParameter(f"{text!r}: write FIELD=VALUE, as price=19.90", param_hint="--set")
    return name.strip(), value


def _tell_update(output: Output, updated: Updated) -> None:
    for problem in updated.problems[:5]:
        output.note(f"line {problem.line}: {problem.problem}", style="yellow")
    if len(updated.problems) > 5:
        output.note(f"... and {len(updated.problems) - 5:,} more rows left out", style="yellow")
    output.say(f"{updated.images:,} images to update")


def _tell_jobs(output: Output, jobs: list[Job]) -> None:
    from schemas.records import JobState
    from workers.cli.report import show_job

    for job in jobs:
        show_job(output, job)
    if any(job.state is not JobState.DONE for job in jobs):
        raise typer.Exit(1)
