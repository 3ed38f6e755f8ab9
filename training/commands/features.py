"""`python -m training features`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from training.commands.console import CONSOLE, Checkpoint, InputSize, Run


def features(
    run: Run,
    source: Annotated[Path, typer.Argument(help="An image, or a folder of images with its sub-folders.")],
    out: Annotated[
        Path,
        typer.Argument(help="File to write, .safetensors or .npy; the images' names go into .names.json beside it."),
    ],
    checkpoint: Checkpoint = "last",
    input_size: InputSize = None,
    normalised: Annotated[
        bool, typer.Option("--normalised", help="Bring every row to length 1, for cosine similarity.")
    ] = False,
) -> None:
    """Extract the embedding of every image of a folder: (N, D) float32 rows in the order of the names.

    Images that cannot be decoded are named on stderr and left out.
    """
    from training.features import check_suffix, extract

    check_suffix(out)
    found = extract(run, source, checkpoint=f"{checkpoint}.safetensors", input_size=input_size, normalised=normalised)
    found.save(out)
    for name, reason in found.left_out:
        CONSOLE.print(f"{name} left out: {reason}", highlight=False, soft_wrap=True)
    rows, size = found.vectors.shape
    CONSOLE.print(f"{rows} x {size} features in {out}, {len(found.left_out)} images left out", highlight=False)
