"""`python -m training export`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from training.commands.console import CONSOLE, Checkpoint, InputSize, Json, Run, show_metrics


def export(
    run: Run,
    bundle: Annotated[Path, typer.Argument(help="Folder to write; replaced as a whole when everything is ready.")],
    name: Annotated[
        str, typer.Option(help="The model's name in its card: a-z, 0-9, dot, dash, underscore.")
    ] = "clothing-resnet18",
    checkpoint: Checkpoint = "last",
    input_size: InputSize = None,
    as_json: Json = False,
) -> None:
    """Write a bundle: int8 where the gate allows, calibrated, measured, everything stated in its card.

    The gate keeps int8 only if the 95 % bound of what it loses against float32
    is at most 1.0 point in top-1 and in neighbours' precision@10, paired over
    held-out images with views of them and over folds of the training images;
    else the graph runs in bfloat16. Temperature and no-match threshold are
    chosen on held-out images by the graph that is kept. Attribute and box heads
    are exported if they were trained and there is something to measure them on.

    The run's folder gets the evaluation of the exported graph, for the report.

    Example:

        python -m training export runs/first my-bundle --name my-model
    """
    from training.export import export as write
    from training.trained import load_run

    trained = load_run(run, checkpoint=f"{checkpoint}.safetensors", input_size=input_size)
    exported = write(trained, bundle, name=name)
    exported.measured[0].write(run)
    show_metrics(exported.card.metrics, as_json)
    CONSOLE.print(f"{exported.card.graph.precision} bundle {exported.card.digest[:12]} in {exported.folder}")
    for loss in exported.losses:
        CONSOLE.print(f"int8 against float32: {loss}", highlight=False)
