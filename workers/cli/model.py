"""Commands about model bundles: model show, model verify, model publish."""

from __future__ import annotations

from typing import Annotated

import typer

from workers.cli.options import Json

app = typer.Typer(
    help="The model bundle: what it is, what it measured, whether its files are whole.", no_args_is_help=True
)
Folder = Annotated[str | None, typer.Argument(help="A bundle's folder; default: the one in use.", metavar="[FOLDER]")]


@app.command()
def show(folder: Folder = None, json: Json = False) -> None:
    """The model card."""
    from workers.bootstrap import open_process
    from workers.cli.output import Output

    output = Output(json=json)
    with open_process() as process:
        bundle = process.chosen_bundle(folder)
        engine = str(process.chosen_engine(bundle))
    card = bundle.card
    if json:
        output.emit(card.model_dump(mode="json") | {"folder": str(bundle.folder), "engine": engine})
        return
    heads = card.heads
    output.say(
        f"{card.name}   {card.architecture}, {card.graph.precision}, {card.embedding_size}-d embedding", style="bold"
    )
    output.say(f"  digest      {card.digest}")
    output.say(f"  folder      {bundle.folder}")
    output.say(f"  engine      {engine}")
    output.say(
        f"  input       {card.preprocessing.input_size} x {card.preprocessing.input_size}, {card.preprocessing.resize}"
    )
    output.say(f"  categories  {', '.join(heads.category.labels) if heads.category else 'not trained'}")
    output.say(f"  attributes  {', '.join(heads.attributes.labels) if heads.attributes else 'not trained'}")
    output.say(f"  box         {'trained' if heads.box else 'not trained'}")
    output.say(f"  trained on  {', '.join(card.provenance.data)}")
    output.say(f"  licences    {', '.join(card.provenance.licences) or 'not stated'}")
    if card.provenance.notes:
        output.say(f"  notes       {card.provenance.notes}")
    output.say("")
    rows = [
        (
            m.name,
            f"{m.value:.3f}",
            f"{m.low:.3f} to {m.high:.3f}" if m.low is not None and m.high is not None else None,
            m.engine,
            m.images,
            m.data,
        )
        for m in card.metrics
    ]
    output.table(["measure", "#value", "95 % interval", "engine", "#images", "data"], rows)


@app.command()
def verify(folder: Folder = None, json: Json = False) -> None:
    """Compare the bundle's files with its digest and run the engine once."""
    import numpy as np

    from workers.bootstrap import open_process
    from workers.cli.output import Output
    from workers.errors import ContractError

    output = Output(json=json)
    with open_process() as process:
        bundle = process.chosen_bundle(folder)
        embedder = process.open_embedder(bundle)
        side = bundle.card.preprocessing.input_size
        vectors = embedder.embed(np.full((1, side, side, 3), 128, dtype=np.uint8)).vectors
        if vectors.shape != (1, bundle.card.embedding_size) or not np.isfinite(vectors).all():
            raise ContractError(
                f"the engine gave vectors of shape {vectors.shape}; the card promises {bundle.card.embedding_size}"
            )
    if json:
        output.emit({"folder": str(bundle.folder), "digest": bundle.card.digest, "whole": True})
    else:
        output.say(f"{bundle.folder} is whole: digest {bundle.card.digest}, the engine runs it")


@app.command()
def publish(folder: Folder = None, json: Json = False) -> None:
    """Copy a bundle to CATALOG_MODELS_URL, where workers of all machines find it. New catalogs do so by themselves."""
    from workers.bootstrap import open_process
    from workers.cli.output import Output
    from workers.errors import ConfigurationError

    output = Output(json=json)
    with open_process() as process:
        shelf = process.shelf
        if shelf is None:
            raise ConfigurationError(
                "set CATALOG_MODELS_URL to where bundles are published, as s3://company-models/bundles"
            )
        bundle = process.chosen_bundle(folder)
        published = shelf.publish(bundle)
    if json:
        output.emit({"digest": bundle.card.digest, "url": f"{shelf.url}/{bundle.card.digest}", "published": published})
    output.say(
        f"{'published' if published else 'published before:'} {bundle.card.name} as {shelf.url}/{bundle.card.digest}"
    )
