"""Measuring a finished bundle: exactly the graph that workers load."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from pydantic import ValidationError

from schemas.model_card import CARD_FILE, DIGESTED_FILES, GRAPH_FILE, Likeness, ModelCard, bundle_digest
from training.datasets.record import DataSet, Split
from training.graph import Engine, read
from training.measuring import Choices, Measured, measure_engine
from training.metrics.likeness import fit_likeness
from training.predict import predict_records
from training.predictions import Predictions
from training.trained import catalog, of_split
from workers.errors import ConfigurationError, ContractError


def read_card(folder: Path) -> ModelCard:
    """The card of a bundle whose files are what it says.

    Raises:
        ContractError: no bundle, an invalid card, or files of another digest.
    """
    missing = [name for name in (CARD_FILE, *DIGESTED_FILES) if not (folder / name).is_file()]
    if missing:
        raise ContractError(f"{folder} is no model bundle: {', '.join(missing)} missing")
    try:
        card = ModelCard.model_validate_json((folder / CARD_FILE).read_bytes())
    except ValidationError as error:
        raise ContractError(f"{folder / CARD_FILE} is no valid model card: {error.errors()[0]['msg']}") from error
    digests = {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in DIGESTED_FILES}
    if bundle_digest(digests, card.preprocessing, card.heads) != card.digest:
        raise ContractError(f"the files in {folder} are not those of its card: copy the bundle again or export it anew")
    return card


def evaluate_bundle(folder: Path, data: DataSet, *, splits: Sequence[Split] | None = None) -> Measured:
    """Every figure of a bundle on a data set, with the temperature and the threshold that its card states.

    Raises:
        ContractError: as `read_card`.
        ConfigurationError: the data set has other labels than the bundle, or nothing to measure on.
    """
    card = read_card(folder)
    category, attributes = card.heads.category, card.heads.attributes
    if category is not None and category.labels != data.labels:
        raise ConfigurationError(
            f"the bundle knows {len(category.labels)} categories ({', '.join(category.labels[:3])}, ...), the data set "
            f"{len(data.labels)} ({', '.join(data.labels[:3])}, ...): measure it on data with its labels"
        )
    if attributes is not None and attributes.labels != data.attributes:
        raise ConfigurationError("the bundle's attributes are not those of the data set: measure it on its own data")
    engine = Engine(read(folder / GRAPH_FILE), card.graph.precision)
    temperature = 1.0 if category is None else category.temperature
    return measure_engine(
        engine,
        data,
        card.preprocessing,
        Choices(temperature=temperature, no_match=card.no_match, catalog=_catalog(card, engine, data)),
        engine=f"openvino-{card.graph.precision}",
        source=f"{card.name} {card.digest[:12]}",
        splits=splits,
    )


def add_likeness(folder: Path, data: DataSet, *, split: Split) -> Likeness:
    """Measure a bundle's likeness on the data's first source and write it into the card, whose digest covers other files.

    Raises:
        ContractError: as `read_card`.
        ConfigurationError: the split does not tell right neighbours from wrong ones, or the card cannot be written.
    """
    card = read_card(folder)
    records = of_split(data.records, split)
    records = tuple(r for r in records if r.source == records[0].source)
    searched = of_split(data.records, "gallery", records[0].source) if split == "query" and records else ()
    name = f"{records[0].source}/{split}" if records else split
    engine, size = Engine(read(folder / GRAPH_FILE), card.graph.precision), card.preprocessing.input_size
    found = None
    if records:
        gallery = predict_records(engine, searched, size) if searched else None
        found = fit_likeness(predict_records(engine, records, size), gallery, data=name)
    if found is None:
        raise ConfigurationError(f"{name} does not tell right neighbours from wrong ones: too few labelled images")
    said = card.model_copy(update={"likeness": found})
    partial = folder / (CARD_FILE + ".partial")
    try:
        partial.write_text(said.model_dump_json(indent=2) + "\n", encoding="utf-8")
        partial.chmod(0o644)
        partial.replace(folder / CARD_FILE)
    except OSError as error:
        raise ConfigurationError(f"{folder} cannot be written: {error.strerror or error}") from error
    return found


def _catalog(card: ModelCard, engine: Engine, data: DataSet) -> Predictions | None:
    """What is searched beside the measured images when the accept rates of the card's threshold are measured."""
    searched = () if card.no_match is None else catalog(data, card.no_match.data.split("/")[0])
    return predict_records(engine, searched, card.preprocessing.input_size) if searched else None
