"""Measuring a finished bundle: exactly the graph that workers load."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from pydantic import ValidationError

from schemas.model_card import CARD_FILE, DIGESTED_FILES, GRAPH_FILE, ModelCard, bundle_digest
from training.datasets.record import DataSet, Split
from training.graph import Engine, read
from training.measuring import Choices, Measured, measure_engine
from training.predict import predict_records
from training.predictions import Predictions
from training.trained import catalog
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


def _catalog(card: ModelCard, engine: Engine, data: DataSet) -> Predictions | None:
    """What is searched beside the measured images when the accept rates of the card's threshold are measured."""
    searched = () if card.no_match is None else catalog(data, card.no_match.data.split("/")[0])
    return predict_records(engine, searched, card.preprocessing.input_size) if searched else None
