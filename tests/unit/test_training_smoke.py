"""The smoke recipe from data to bundle, on drawings, with the real teacher, the real loop and the real engine."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from training.config import Config
from training.loop import LAST, LOG, EpochLine, Observer, TrainingError, fit
from training.recipes import smoke
from workers.errors import ConfigurationError


@dataclass(frozen=True)
class Smoke:
    config: Config
    run: Path
    cache: Path


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Smoke:
    root = tmp_path_factory.mktemp("smoke")
    made = Smoke(config=smoke(), run=root / "straight", cache=root / "views")
    fit(made.config, made.run, cache=made.cache)
    return made


def test_the_log_has_a_line_an_epoch(trained: Smoke) -> None:
    lines = [json.loads(line) for line in (trained.run / LOG).read_text().splitlines()]
    assert [line["epoch"] for line in lines] == [1, 2]
    assert lines[-1]["share"] == 1.0
    assert set(lines[0]["loss"]) == {"label", "soft_label", "pooled", "positions"}
    assert 0 <= lines[0]["errors"]["holdout"] <= 1


def test_stopping_and_resuming_gives_the_same_weights(trained: Smoke, tmp_path: Path) -> None:
    def stop(_line: EpochLine) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(trained.config, tmp_path / "run", cache=trained.cache, observer=Observer(on_epoch=stop))
    resumed = fit(trained.config, tmp_path / "run", cache=trained.cache, resume=True)
    assert resumed.epoch == 2
    straight, stopped = load_file(trained.run / LAST), load_file(tmp_path / "run" / LAST)
    assert straight.keys() == stopped.keys()
    for name, tensor in straight.items():
        torch.testing.assert_close(stopped[name], tensor, rtol=0, atol=0, msg=name)


def test_another_run_can_start_from_its_weights(trained: Smoke, tmp_path: Path) -> None:
    still = replace(trained.config, loop=replace(trained.config.loop, epochs=1, learning_rate=1e-12, weight_decay=0.0))
    fit(still, tmp_path / "run", cache=trained.cache, start_from=trained.run / LAST)
    before, after = load_file(trained.run / LAST), load_file(tmp_path / "run" / LAST)
    torch.testing.assert_close(after["student.category.weight"], before["ema.category.weight"])
    assert json.loads((tmp_path / "run" / "config.json").read_text())["loop"]["start_from"]


def test_a_used_folder_and_a_missing_checkpoint_are_refused(trained: Smoke, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="not empty"):
        fit(trained.config, trained.run, cache=trained.cache)
    with pytest.raises(ConfigurationError, match="resume from"):
        fit(trained.config, tmp_path, cache=trained.cache, resume=True)
    with pytest.raises(ConfigurationError, match="start from"):
        fit(trained.config, tmp_path, cache=trained.cache, start_from=tmp_path / "no.safetensors")


def test_a_broken_loss_stops_and_keeps_the_last_checkpoint(trained: Smoke, tmp_path: Path) -> None:
    absurd = replace(trained.config, loop=replace(trained.config.loop, learning_rate=1e30, warmup=0.9))
    with pytest.raises(TrainingError, match=r"not finite at step .* resume from the last checkpoint"):
        fit(absurd, tmp_path / "run", cache=trained.cache)


def test_too_few_images_are_refused(trained: Smoke, tmp_path: Path) -> None:
    large = replace(trained.config, loop=replace(trained.config.loop, batch_size=512))
    with pytest.raises(ConfigurationError, match="fewer training images than one batch of 512"):
        fit(large, tmp_path / "run", cache=trained.cache)


def test_the_command_line_says_one_clear_line(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "training", "fit", str(tmp_path / "run"), "--recipe", "nothing"]
    found = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert found.returncode == 1
    assert found.stdout == ""
    assert "no recipe 'nothing'; there are: clothing, clothing-refine" in found.stderr
    assert "Traceback" not in found.stderr
