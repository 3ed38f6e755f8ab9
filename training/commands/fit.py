"""`python -m training fit`."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import Annotated, Any

import typer

from training.commands.console import CONSOLE, Json, Run, observed
from training.config import Config, changed, load_config
from training.recipes import RECIPES, recipe

_INTERRUPTED = 130
"""Exit code of a run that was stopped and can be resumed: the shell's for an interrupt."""


def fit(
    run: Run,
    recipe_name: Annotated[str, typer.Option("--recipe", help=f"One of: {', '.join(RECIPES)}.")] = "clothing",
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set", help="A setting other than the recipe's, as loss.box=0 or data.folder=/data; repeatable."
        ),
    ] = None,
    cache: Annotated[
        Path | None,
        typer.Option(
            help="Where views with a teacher's answers are kept; default: `views` beside the run. About 6 GB."
        ),
    ] = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="Epochs, if other than the recipe says.")] = None,
    max_minutes: Annotated[
        float | None, typer.Option(min=0.1, help="Plan the number of epochs so that training ends in this time.")
    ] = None,
    threads: Annotated[int | None, typer.Option(min=1, help="CPU cores; the batch is split among them.")] = None,
    start_from: Annotated[
        str | None,
        typer.Option(
            help="Weights to start from: `imagenet`, a bundle, a run's checkpoint or another safetensors file."
        ),
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Of weights, order and views; default: the recipe's.")] = None,
    checkpoint_every_steps: Annotated[
        int | None, typer.Option(min=0, help="Checkpoints within epochs too; 0 only at their ends.")
    ] = None,
    resume: Annotated[bool, typer.Option(help="Go on with the run in the folder, with its own settings.")] = False,
    as_json: Json = False,
) -> None:
    """Train. Every epoch ends with a checkpoint and a line in log.jsonl.

    Ctrl-C (or SIGTERM) ends the step, writes a checkpoint and exits with 130; `--resume` goes on from there with the same
    weights as if never stopped. Several GPUs: torchrun --nproc-per-node 8 -m training fit ...
    """
    from training import loop

    direct = {
        "epochs": epochs,
        "max_seconds": None if max_minutes is None else 60 * max_minutes,
        "threads": threads,
        "seed": seed,
        "checkpoint_every_steps": checkpoint_every_steps,
    }
    config = (
        load_config(run / loop.CONFIG) if resume else _resolve(changed(recipe(recipe_name), settings or []), direct)
    )
    with observed(as_json) as observer, _asked_to_stop() as asked:
        progress = loop.fit(
            config,
            run,
            cache=cache or run.parent / "views",
            resume=resume,
            start_from=start_from,
            observer=observer,
            stop=lambda: bool(asked),
        )
    if progress.share < 1.0:
        CONSOLE.print(
            f"stopped after step {progress.steps} (epoch {progress.epoch + 1}). "
            f"Go on: python -m training fit {run} --resume",
            highlight=False,
            soft_wrap=True,
        )
        raise typer.Exit(_INTERRUPTED)
    CONSOLE.print(
        f"{progress.epoch} epochs in {progress.seconds / 60:.1f} min. Next: python -m training export {run} BUNDLE",
        highlight=False,
        soft_wrap=True,
    )


def _resolve(config: Config, direct: dict[str, Any]) -> Config:
    return replace(config, loop=replace(config.loop, **{k: v for k, v in direct.items() if v is not None}))


@contextmanager
def _asked_to_stop() -> Iterator[list[int]]:
    """A list that the first interrupt is put into; the second one interrupts for good."""
    asked: list[int] = []

    def note(number: int, _frame: FrameType | None) -> None:
        if asked:
            raise KeyboardInterrupt
        asked.append(number)

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
