"""From a run with every head to evaluation, bundle and the engine that serves it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from schemas.model_card import CARD_FILE, CATEGORY_OUTPUT, EMBEDDING_OUTPUT, GRAPH_FILE, WEIGHTS_FILE, ModelCard
from training import gate
from training.__main__ import main
from training.bundle import evaluate_bundle
from training.datasets.record import DataSet
from training.evaluation import load_evaluation
from training.export import Exported, export, served_outputs
from training.loop import fit
from training.measuring import Measured, evaluate_run
from training.model import Serving
from training.predict import predict
from training.predictions import NAMES_FILE, PREDICTIONS_FILE, load_predictions
from training.recipes import smoke_stream
from training.trained import Trained, choose_map, held_out, held_out_split, load_run, of_split
from training.views import clean_inputs
from workers.adapters.bundle import load_bundle
from workers.adapters.embedder.openvino import OpenVinoEmbedder
from workers.errors import ConfigurationError, ContractError


@dataclass(frozen=True)
class Run:
    folder: Path
    trained: Trained


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A network of two epochs knows nothing: three in four held-out images are given the category it sees in them."""
    folder = tmp_path_factory.mktemp("runs") / "every-head"
    fit(smoke_stream(), folder, cache=folder.parent)
    trained = load_run(folder)
    held = held_out(trained.data)
    seen = predict(Serving(trained.student), clean_inputs(held, 64), held).probabilities.argmax(1)
    renamed = {r.name: replace(r, category=int(c)) for i, (r, c) in enumerate(zip(held, seen, strict=True)) if i % 4}
    records = tuple(renamed.get(r.name, r) for r in trained.data.records)
    return Run(folder=folder, trained=replace(trained, data=replace(trained.data, records=records)))


@pytest.fixture(scope="module")
def evaluated(run: Run) -> Measured:
    return evaluate_run(run.trained)


@pytest.fixture(scope="module")
def exported(run: Run, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Exported]:
    """An int8 bundle, whatever the gate says of a network of two epochs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gate, "GATE_POINTS", 1000.0)
        yield export(run.trained, tmp_path_factory.mktemp("bundles") / "every-head", name="every-head")


@pytest.fixture(scope="module")
def embedder(exported: Exported) -> Iterator[OpenVinoEmbedder]:
    made = OpenVinoEmbedder(load_bundle(exported.folder), threads=1)
    yield made
    made.close()


def test_every_task_is_measured(evaluated: Measured) -> None:
    names = {m.name for m in evaluated.evaluation.metrics}
    assert {
        *("top1", "top3", "macro_f1", "ece", "neighbour_precision_at_1", "product_recall_at_1", "product_map_at_r"),
        *("attribute_recall_at_3_pooled", "attribute_recall_at_3_per_attribute", "box_iou", "box_iou_over_half"),
        *("no_match_false_accept", "no_match_true_accept"),
    } <= names
    assert {m.data for m in evaluated.evaluation.metrics} == {"drawn/validation"}
    assert evaluated.evaluation.no_match is not None
    assert evaluated.evaluation.no_match.by == "product"


def test_the_report_finds_what_it_reads(run: Run, evaluated: Measured, tmp_path: Path) -> None:
    evaluated.write(tmp_path)
    assert load_evaluation(tmp_path) == evaluated.evaluation
    found = load_predictions(tmp_path, run.trained.data.records)
    assert list(found) == ["drawn/validation"]
    np.testing.assert_array_equal(found["drawn/validation"].vectors, evaluated.predictions[0][1].vectors)
    names = json.loads((tmp_path / NAMES_FILE).read_text())
    assert set(names[0]) == {"data", "source", "name", "split", "category", "product", "box"}


def test_the_bundle_is_what_its_card_says(run: Run, exported: Exported) -> None:
    card = load_bundle(exported.folder).card
    assert card == exported.card
    assert card.graph.precision == "int8"
    assert card.heads.category is not None
    assert card.heads.attributes is not None
    assert card.heads.attributes.labels == run.trained.data.attributes
    assert card.heads.box is not None
    assert {m.engine for m in card.metrics} == {"openvino-int8", "torch-float32"}
    assert all(m.low is not None and m.groups for m in card.metrics)
    assert card.no_match is not None
    assert card.no_match_below == card.no_match.below
    provenance = card.provenance
    assert provenance.data_digest == run.trained.data.digest()
    assert provenance.teacher is None, "the run had none"
    assert provenance.licences == (run.trained.data.licence,)
    assert "int8 kept" in provenance.notes
    assert sorted(p.name for p in exported.folder.iterdir()) == [CARD_FILE, "model.bin", GRAPH_FILE, WEIGHTS_FILE]


def test_the_gate_refuses_int8_when_a_bound_is_too_high(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gate, "GATE_POINTS", -1000.0)
    card = export(run.trained, tmp_path / "bundle", name="strict").card
    assert card.graph.precision == "bf16"
    assert "int8 refused" in card.provenance.notes
    assert "i8" not in (tmp_path / "bundle" / GRAPH_FILE).read_text()


def test_the_temperature_was_fitted_on_what_the_int8_graph_says(run: Run, embedder: OpenVinoEmbedder) -> None:
    from training.calibration import fit_temperature

    held = held_out(run.trained.data)
    served = embedder.embed(clean_inputs(held, 64)).category
    assert served is not None
    categories = np.array([r.category for r in held])
    assert fit_temperature(served, categories) == pytest.approx(1.0, abs=0.02), "nothing is left to correct"


def test_the_engine_serves_what_was_trained(run: Run, exported: Exported, embedder: OpenVinoEmbedder) -> None:
    held = held_out(run.trained.data)
    inputs = clean_inputs(held, 64)
    assert exported.card.heads.category is not None
    serving = Serving(
        run.trained.student,
        temperature=exported.card.heads.category.temperature,
        mapping=choose_map(run.trained),
    )
    ours, served = predict(serving, inputs, held), embedder.embed(inputs)
    # The map stretches the little that a network of two epochs spreads, with the rounding: near on the whole.
    assert np.median((ours.vectors * served.vectors).sum(1)) > 0.95
    np.testing.assert_allclose(np.linalg.norm(served.vectors, axis=1), 1, atol=1e-5)
    assert served.category is not None
    assert served.attributes is not None
    assert served.boxes is not None
    np.testing.assert_allclose(served.category, ours.probabilities, atol=0.1)
    np.testing.assert_allclose(served.attributes, ours.attributes, atol=0.05)
    np.testing.assert_allclose(served.boxes, ours.boxes, atol=0.05)


def test_the_weights_in_the_bundle_are_the_students(run: Run, exported: Exported) -> None:
    kept = load_file(exported.folder / WEIGHTS_FILE)
    state = run.trained.student.state_dict()
    assert {n for n in kept if n.startswith("student.")} == {f"student.{n}" for n in state}
    for name, tensor in state.items():
        torch.testing.assert_close(kept[f"student.{name}"].to(tensor.dtype), tensor, rtol=1e-3, atol=1e-4)


def test_a_finished_bundle_measures_as_its_card_says(run: Run, exported: Exported) -> None:
    found = evaluate_bundle(exported.folder, run.trained.data).evaluation
    stated = [m for m in exported.card.metrics if m.engine == "openvino-int8"]
    assert [m.name for m in found.metrics] == [m.name for m in stated]
    for ours, theirs in zip(found.metrics, stated, strict=True):
        assert ours.value == pytest.approx(theirs.value, abs=1e-6), ours.name


def test_the_command_line_measures_a_bundle_alone(exported: Exported, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "training", "evaluate", "--bundle", str(exported.folder), "--json"]
    found = subprocess.run([*command, "--out", str(tmp_path / "out")], capture_output=True, text=True, timeout=250)
    assert found.returncode == 0, found.stderr
    lines = [json.loads(line) for line in found.stdout.splitlines()]
    assert {line["engine"] for line in lines} == {"openvino-int8"}
    assert (tmp_path / "out" / PREDICTIONS_FILE).is_file()
    assert "no match below" in found.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "nothing to measure: name a run's folder, or a bundle with --bundle"),
        (["--bundle", "{tmp}"], "is no model bundle: card.json, model.xml, model.bin, weights.safetensors missing"),
        (["{tmp}"], "config.json is no training config of this version"),
    ],
)
def test_what_cannot_be_measured_is_one_clear_line(
    arguments: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    filled = [a.replace("{tmp}", str(tmp_path)) for a in arguments]
    monkeypatch.setattr(sys, "argv", ["training", "evaluate", *filled])
    with pytest.raises(SystemExit) as stopped:
        main()
    assert stopped.value.code == 1
    found = capsys.readouterr()
    assert found.out == ""
    assert said.replace(" ", "") in "".join(found.err.split())  # a long path may be broken anywhere
    assert "Traceback" not in found.err


def test_a_bundle_of_other_labels_or_files_is_refused(run: Run, exported: Exported, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="measure it on data with its labels"):
        evaluate_bundle(exported.folder, replace(run.trained.data, labels=("boots", "clogs")))
    for path in exported.folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    card = ModelCard.model_validate_json((tmp_path / CARD_FILE).read_text())
    (tmp_path / CARD_FILE).write_text(card.model_copy(update={"digest": "0" * 64}).model_dump_json())
    with pytest.raises(ContractError, match="not those of its card"):
        evaluate_bundle(tmp_path, run.trained.data)


def test_heads_that_nothing_is_there_to_measure_on_are_not_exported(run: Run) -> None:
    records = tuple(
        replace(r, attributes=None, box=None) if r.split == "validation" else r for r in run.trained.data.records
    )
    assert len(served_outputs(run.trained)) == 4
    without = replace(run.trained, data=replace(run.trained.data, records=records))
    assert served_outputs(without) == (EMBEDDING_OUTPUT, CATEGORY_OUTPUT)


def test_too_few_held_out_images_are_refused(run: Run) -> None:
    kept = [r for r in run.trained.data.records if r.split != "holdout"] + list(held_out(run.trained.data)[:5])
    with pytest.raises(ConfigurationError, match=r"5 held-out images .* raise data.holdout_share"):
        held_out(replace(run.trained.data, records=tuple(kept)))


def test_validation_chooses_where_nothing_was_held_out_and_test_measures(run: Run) -> None:
    splits = {"train": "train", "holdout": "validation", "validation": "test"}
    data: DataSet = replace(
        run.trained.data,
        records=tuple(replace(r, split=splits[r.split]) for r in run.trained.data.records if r.split in splits),  # type: ignore[arg-type]
    )
    assert held_out_split(data) == "validation"
    assert held_out(data) == of_split(data.records, "validation")
    measured = evaluate_run(replace(run.trained, data=data))
    assert {m.data for m in measured.evaluation.metrics} == {"drawn/test"}
