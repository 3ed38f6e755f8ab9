"""The teacher's networks: tuning changes what it should and nothing else, and OpenVINO runs what torch tuned."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

pytest.importorskip("efficientnet_lite_pytorch", reason="the train extra is not installed")

from training.augment import shrink
from training.config import Config, TeacherConfig
from training.datasets.drawn import draw_records
from training.datasets.record import LABELS, Record
from training.fitting.observer import Observer
from training.recipes import smoke
from training.teacher import Member, Teacher
from training.teacher_networks import load_teacher_network
from training.teacher_tuning import normalised, teacher_members, tune_network
from training.views import clean_inputs
from workers.errors import ConfigurationError

NAME = "efficientnet-lite0"
SIZE = 64


@pytest.fixture(scope="module")
def records() -> tuple[Record, ...]:
    return draw_records(images=48, seed=3)


@pytest.fixture(scope="module")
def tuned(records: tuple[Record, ...], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("teacher") / "tuned.safetensors"
    tune_network(NAME, records, size=SIZE, epochs=2, config=smoke(), path=path, classes=len(LABELS))
    return path


def test_tuning_changes_the_upper_blocks_and_leaves_the_rest(tuned: Path) -> None:
    published = load_teacher_network(NAME, size=SIZE, classes=len(LABELS)).state_dict()
    after = load_teacher_network(NAME, size=SIZE, classes=len(LABELS), tuned=tuned).state_dict()

    changed = {name for name in published if not torch.equal(published[name], after[name])}

    assert "blocks.5._project_conv.weight" in changed
    assert "end.0.weight" in changed
    assert not any(name.startswith(("start.", *(f"blocks.{i}." for i in range(5)))) for name in changed)
    assert not any("running" in name for name in changed), "batch statistics are frozen"


def test_the_head_starts_as_a_probe_that_knows_its_images(records: tuple[Record, ...], tmp_path: Path) -> None:
    path = tmp_path / "probe.safetensors"
    tune_network(NAME, records, size=SIZE, epochs=0, config=smoke(), path=path, classes=len(LABELS))
    network = load_teacher_network(NAME, size=SIZE, classes=len(LABELS), tuned=path)

    with torch.inference_mode():
        probabilities = network(normalised(clean_inputs(records, SIZE)))[2]

    right = probabilities.argmax(1).numpy() == np.array([r.category for r in records])
    assert right.mean() > 0.8


def test_the_teacher_says_what_its_networks_say(tuned: Path, records: tuple[Record, ...]) -> None:
    views = clean_inputs(records[:6], 96)
    members = (Member(name=NAME, size=SIZE, tuned=tuned), Member(name="efficientnet-lite1", size=96))

    features = Teacher(members, classes=len(LABELS), threads=1)(views)

    network = load_teacher_network(NAME, size=SIZE, classes=len(LABELS), tuned=tuned)
    with torch.inference_mode():
        pooled, positions, probabilities = network(normalised(np.stack([shrink(v, SIZE) for v in views])))
    assert features.pooled.shape == (6, 2 * 1280)
    assert features.positions.shape == tuple(positions.shape) == (6, 4, 1280)
    assert np.corrcoef(features.pooled[:, :1280].ravel(), pooled.numpy().ravel())[0, 1] > 0.99
    untuned = np.full_like(features.probabilities, 1 / len(LABELS))
    np.testing.assert_allclose(2 * features.probabilities - untuned, probabilities.numpy(), atol=0.05)


def test_networks_are_tuned_once_for_the_same_records(records: tuple[Record, ...], tmp_path: Path) -> None:
    config = _config(TeacherConfig(networks=(NAME,), tuning_epochs=(0,)))

    (first,) = teacher_members(config, records, tmp_path, Observer(), classes=len(LABELS))
    assert first.tuned is not None
    written = first.tuned.stat().st_mtime_ns
    (again,) = teacher_members(config, records, tmp_path, Observer(), classes=len(LABELS))
    (other,) = teacher_members(config, records[:-1], tmp_path, Observer(), classes=len(LABELS))

    assert again == first
    assert first.tuned.stat().st_mtime_ns == written
    assert other.tuned != first.tuned, "one record less is another teacher"
    assert first.size == SIZE, "views of 64 pixels hold no more"


@pytest.mark.parametrize(
    ("teacher", "message"),
    [
        (
            TeacherConfig(networks=("efficientnet-lite9",)),
            "no teacher 'efficientnet-lite9'; there are: efficientnet-lite0",
        ),
        (TeacherConfig(networks=(NAME,), tuning_epochs=(1, 1)), "2 numbers for 1 networks"),
        (TeacherConfig(networks=(NAME,), tuning_epochs=(1,)), "needs labelled images"),
    ],
)
def test_a_teacher_that_cannot_be_is_refused(teacher: TeacherConfig, message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=message):
        teacher_members(_config(teacher), (), tmp_path, Observer(), classes=len(LABELS))


def _config(teacher: TeacherConfig) -> Config:
    return replace(smoke(), teacher=teacher)
