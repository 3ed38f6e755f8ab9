"""Commands that are processes of the distributed form: worker and beat."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from schemas.records import Lane
    from workers.settings import Settings


def worker(
    lanes: Annotated[
        str, typer.Option(help="Which work to take, first things first: interactive, bulk or both.")
    ] = "interactive,bulk",
    name: Annotated[str | None, typer.Option(help="The worker's name for Celery; default: made of its pid.")] = None,
) -> None:
    """Work on jobs until SIGTERM, which ends the images in hand first. Needs CATALOG_BROKER_URL."""
    from workers.distributed.worker import run_worker

    settings, broker_url = _distributed("worker")
    raise typer.Exit(run_worker(settings, broker_url, lanes=_lanes(lanes), name=name))


def beat(
    every: Annotated[float, typer.Option(min=0.5, max=60.0, help="Seconds between ticks.")] = 5.0,
) -> None:
    """Keep jobs and schedules moving: finds lost work, starts what is due. Run one or several. Needs CATALOG_BROKER_URL."""
    from workers.bootstrap import Process
    from workers.distributed.beat import run_beat

    settings, broker_url = _distributed("beat")
    with Process(settings) as process:
        run_beat(process, broker_url, tick_s=every)


def _distributed(command: str) -> tuple[Settings, str]:
    """The settings and the broker; a Postgres ledger too, or workers on other machines would each have their own."""
    from workers.errors import ConfigurationError
    from workers.settings import load_settings
    from workers.telemetry import configure_logging

    settings = load_settings()
    configure_logging(settings.log_level)
    if settings.broker_url is None:
        raise ConfigurationError(
            f"catalog {command} needs a broker: set CATALOG_BROKER_URL (redis://HOST:6379/0), or try a whole cluster on "
            "this machine with: catalog up"
        )
    return settings, settings.broker_url


def _lanes(text: str) -> list[Lane]:
    from schemas.records import Lane

    names = [name.strip() for name in text.split(",") if name.strip()]
    unknown = [name for name in names if name not in {lane.value for lane in Lane}]
    if unknown or not names:
        raise typer.BadParameter(f"{text!r}: name interactive, bulk, or both with a comma", param_hint="--lanes")
    return [Lane(name) for name in dict.fromkeys(names)]
