"""`python -m training evaluate`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from training.commands.console import CONSOLE, Checkpoint, InputSize, Json, show_metrics
from training.datasets.record import Split
from training.recipes import RECIPES, recipe
from workers.errors import ConfigurationError

if TYPE_CHECKING:
    from training.datasets.record import DataSet
    from training.measuring import Measured


def evaluate(
    run: Annotated[
        Path | None, typer.Argument(help="A run's folder, whose float32 network or, with --bundle, whose data is used.")
    ] = None,
    bundle: Annotated[
        Path | None,
        typer.Option(
            help="Measure this finished bundle, by the very graph that workers load, instead of a checkpoint: on the "
            "data of RUN, or else of the recipe its card names."
        ),
    ] = None,
    recipe_name: Annotated[
        str | None,
        typer.Option("--recipe", help=f"Measure the bundle on this recipe's data. One of: {', '.join(RECIPES)}."),
    ] = None,
    split: Annotated[
        Split | None,
        typer.Option(
            help="What to measure on. Default: validation (test where nothing was held out of training and validation "
            "therefore made the choices), and query, which searches the gallery, where there is one."
        ),
    ] = None,
    checkpoint: Checkpoint = "last",
    input_size: InputSize = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Folder for evaluation.json, predictions.safetensors and names.json, which `report` reads. Default: "
            "RUN; with --bundle nothing is written unless this is given."
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Measure a run or a finished bundle, every figure with its 95 % bootstrap interval.

    Top-1/3/5, macro precision, recall and F1, calibration error, attribute
    recall in both published averagings, box IoU, neighbours' category, product
    recall and mAP@R, and how often the no-match threshold lets a wrong or a
    right neighbour pass; each where the data have the labels for it. Intervals
    resample whole senders or products.

    Examples:

        python -m training evaluate runs/first

        python -m training evaluate --bundle my-bundle

        python -m training evaluate runs/first --bundle my-bundle --split test --out measured
    """
    splits = None if split is None else (split,)
    if bundle is not None:
        from training.bundle import evaluate_bundle

        measured = evaluate_bundle(bundle, _data_for(bundle, run, recipe_name), splits=splits)
        folder = out
    else:
        measured = _evaluate_run(run, checkpoint, input_size, splits)
        folder = out or run
    if folder is not None:
        measured.write(folder)
        CONSOLE.print(f"evaluation.json and predictions.safetensors in {folder}", highlight=False)
    show_metrics(measured.evaluation.metrics, as_json)
    _show_threshold(measured)


def _evaluate_run(
    run: Path | None, checkpoint: str, input_size: int | None, splits: tuple[Split, ...] | None
) -> Measured:
    from training.measuring import evaluate_run
    from training.trained import load_run

    if run is None:
        raise ConfigurationError("nothing to measure: name a run's folder, or a bundle with --bundle")
    return evaluate_run(load_run(run, checkpoint=f"{checkpoint}.safetensors", input_size=input_size), splits=splits)


def _data_for(bundle: Path, run: Path | None, recipe_name: str | None) -> DataSet:
    from training.bundle import read_card
    from training.config import load_config
    from training.datasets.sources import load_data_set
    from training.run_folder import CONFIG

    if run is not None:
        return load_data_set(load_config(run / CONFIG).data)
    return load_data_set(recipe(recipe_name or read_card(bundle).provenance.recipe).data)


def _show_threshold(measured: Measured) -> None:
    no_match = measured.evaluation.no_match
    if no_match is not None:
        CONSOLE.print(
            f"no match below {no_match.below:.3f}: when their own {no_match.by} is taken out of the {no_match.gallery} "
            f"images they search, at most {no_match.false_accepts:.0%} of the {no_match.images} images of "
            f"{no_match.data} find one above it",
            highlight=False,
        )
