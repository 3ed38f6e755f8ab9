"""The command that serves: `catalog serve`."""

from __future__ import annotations

from typing import Annotated

import typer

from workers.cli.options import Json


def serve(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0: any free one.")] = 8080,
    json: Json = False,
) -> None:
    """Serve the HTTP interface and the web page, until Ctrl-C or SIGTERM."""
    from workers.bootstrap import open_process
    from workers.cli.output import Output
    from workers.web.app import make_app
    from workers.web.options import server_options
    from workers.web.serve import address_of, listen, run

    output = Output(json=json)
    with open_process() as process, listen(host, port) as bound:
        app = make_app(process, server_options(process.settings, host=host, needs_key=False))
        url = address_of(bound)
        if json:
            output.emit({"url": url, "page": f"{url}/", "openapi": f"{url}/openapi.json"})
        else:
            output.say(f"page  {url}/\nAPI   {url}/openapi.json\nends with Ctrl-C")
        run(app, bound)
