"""Measuring an engine on every split of a data set that is there to be measured on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from schemas.model_card import NoMatch, Preprocessing
from training.calibration import calibrate
from training.datasets.record import DataSet, Record, Split
from training.evaluate import Threshold, evaluate_split
from training.evaluation import Evaluation
from training.metrics.likeness import fit_likeness
from training.metrics.no_match import choose_threshold
from training.model import Serving
from training.predict import Predict, predict, predict_records
from training.predictions import Predictions, save_predictions
from training.trained import Trained, catalog, choose_map, held_out, measured_splits, of_split
from workers.errors import ConfigurationError

FLOAT_ENGINE = "torch-float32"
_FEWEST = 2


@dataclass(frozen=True, kw_only=True, slots=True)
class Measured:
    """An evaluation with the predictions behind it."""

    evaluation: Evaluation
    predictions: tuple[tuple[str, Predictions], ...]
    """By data; of a `query` split the gallery follows, as `inshop/gallery`."""

    def write(self, folder: Path) -> None:
        """Leave `evaluation.json`, `predictions.safetensors` and `names.json` in a folder for the report.

        Raises:
            ConfigurationError: the folder cannot be written.
        """
        try:
            folder.mkdir(parents=True, exist_ok=True)
            save_predictions(self.predictions, folder)
            self.evaluation.write(folder)
        except OSError as error:
            raise ConfigurationError(f"{folder} cannot be written: {error.strerror or error}") from error


@dataclass(frozen=True, kw_only=True, slots=True)
class Choices:
    """What held-out images decide."""

    temperature: float
    no_match: NoMatch | None
    catalog: Predictions | None
    """What was searched in choosing it, and is again when its rates are measured."""


def evaluate_run(trained: Trained, *, splits: Sequence[Split] | None = None) -> Measured:
    """Figures of the float32 network; temperature and threshold are chosen on held-out images, if there are enough.

    A network that was trained on images cut to their boxes is measured on such.

    Raises:
        ConfigurationError: there is nothing to measure on.
    """
    margin = trained.config.stream.box_margin
    mapping = choose_map(trained, box_margin=margin)
    plain = Serving(trained.student, mapping=mapping).eval()
    chosen = choose(
        trained.data, lambda inputs, records: predict(plain, inputs, records), trained.preprocessing, box_margin=margin
    )
    serving = Serving(trained.student, temperature=chosen.temperature, mapping=mapping).eval()
    return measure_engine(
        lambda inputs, records: predict(serving, inputs, records),
        trained.data,
        trained.preprocessing,
        chosen,
        engine=FLOAT_ENGINE,
        source=trained.checkpoint,
        splits=splits,
        box_margin=margin,
    )


def choose(data: DataSet, run: Predict, preprocessing: Preprocessing, *, box_margin: float | None = None) -> Choices:
    """Temperature and no-match threshold by what an engine at temperature 1 says of held-out images."""
    try:
        held = held_out(data)
    except ConfigurationError:
        return Choices(temperature=1.0, no_match=None, catalog=None)
    source, size = held[0].source, preprocessing.input_size
    searched = catalog(data, source)
    gallery = predict_records(run, searched, size, box_margin=box_margin) if searched else None
    found = predict_records(run, held, size, box_margin=box_margin)
    return choose_by(found, gallery, data=f"{source}/{held[0].split}")


def choose_by(held: Predictions, gallery: Predictions | None, *, data: str) -> Choices:
    """As `choose`, by predictions that are there already."""
    return Choices(temperature=calibrate(held), no_match=choose_threshold(held, gallery, data=data), catalog=gallery)


def measure_engine(
    run: Predict,
    data: DataSet,
    preprocessing: Preprocessing,
    chosen: Choices,
    *,
    engine: str,
    source: str,
    splits: Sequence[Split] | None = None,
    box_margin: float | None = None,
) -> Measured:
    """Every figure of an engine on every source's measured splits.

    Args:
        run: The engine, calibrated.
        data: What is measured on.
        preprocessing: The engine's.
        chosen: Temperature and threshold to state. The threshold's rates are measured on the source it was chosen on
            and on every `query` split.
        engine: Its name, as `openvino-int8`.
        source: The checkpoint's or bundle's name.
        splits: Which splits; `query` searches `gallery`. None measures validation, or test where choices were made on
            validation, and queries where there are any.
        box_margin: Cuts images to their boxes first; None shows them whole, as serving does.

    Raises:
        ConfigurationError: none of the splits has images.
    """
    found, evaluations, size = [], [], preprocessing.input_size
    splits = splits or measured_splits(data)
    for split, records, searched in _splits(data.records, splits):
        name = f"{records[0].source}/{split}"
        predictions = predict_records(run, records, size, box_margin=box_margin)
        gallery = predict_records(run, searched, size, box_margin=box_margin) if searched else None
        evaluations.append(
            evaluate_split(
                predictions,
                data.labels,
                data=name,
                engine=engine,
                gallery=gallery,
                attribute_groups=data.attribute_groups,
                threshold=_threshold(chosen, records[0].source, searches_own_gallery=gallery is not None),
            )
        )
        found.append((name, predictions))
        if gallery is not None:
            found.append((f"{records[0].source}/gallery", gallery))
    if not evaluations:
        raise ConfigurationError(f"nothing to measure on: no labelled image in the splits {', '.join(splits)}")
    first, gallery = found[0], found[1][1] if len(found) > 1 and found[1][0].endswith("/gallery") else None
    evaluation = Evaluation(
        engine=engine,
        source=source,
        labels=data.labels,
        attributes=data.attributes,
        temperature=chosen.temperature,
        no_match=chosen.no_match,
        likeness=fit_likeness(first[1], gallery, data=first[0]),
        splits=tuple(evaluations),
    )
    return Measured(evaluation=evaluation, predictions=tuple(found))


def _threshold(chosen: Choices, source: str, *, searches_own_gallery: bool) -> Threshold | None:
    """The threshold to measure: it says nothing of other sources, unless they bring what is searched with them."""
    no_match = chosen.no_match
    if no_match is None or not (searches_own_gallery or no_match.data.startswith(f"{source}/")):
        return None
    return Threshold(below=no_match.below, by=no_match.by, catalog=chosen.catalog)


def _splits(
    records: Sequence[Record], splits: Sequence[Split]
) -> list[tuple[Split, tuple[Record, ...], tuple[Record, ...]]]:
    """Split, its records and, for queries, their gallery, source by source; too few images are left out."""
    found = []
    for source in dict.fromkeys(r.source for r in records):
        for split in splits:
            own = of_split(records, split, source)
            searched = of_split(records, "gallery", source) if split == "query" else ()
            if len(own) >= _FEWEST:
                found.append((split, own, searched))
    return found
