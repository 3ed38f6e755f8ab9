"""The command that serves: `catalog serve`."""

from __future__ import annotations

from typing import Annotated

import typer

from workers.cli.options import Json


def serve(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0: any free one.")] = 8080,
    require_key: Annotated[
        bool,
        typer.Option("--require-key", help="Ask for an API key on this machine, too; beyond it one is always asked."),
    ] = False,
    json: Json = False,
) -> None:
    """Serve the HTTP interface and the web page, until Ctrl-C or SIGTERM."""
    from contextlib import ExitStack

    from workers.bootstrap import open_process
    from workers.cli.output import Output
    from workers.dispatch import is_distributed
    from workers.web.app import make_app
    from workers.web.keys import KeyRing, by_key, check_keys
    from workers.web.options import is_loopback, server_options
    from workers.web.serve import address_of, listen, run
    from workers.web.working import Working

    output = Output(json=json)
    needs_key = require_key or not is_loopback(host)
    with open_process() as process, ExitStack() as held:
        if needs_key:
            check_keys(process.ledger, host=host)
        bound = held.enter_context(listen(host, port))
        authenticate = by_key(KeyRing(lambda: process.ledger), needs_key=needs_key)
        options = server_options(process.settings, host=host, needs_key=needs_key)
        app = make_app(process, options, authenticate=authenticate)
        url = address_of(bound)
        if json:
            output.emit({"url": url, "page": f"{url}/", "openapi": f"{url}/openapi.json"})
        else:
            output.say(f"page  {url}/\nAPI   {url}/openapi.json\nends with Ctrl-C")
        if not is_distributed(process):
            held.enter_context(Working())
        run(app, bound)
