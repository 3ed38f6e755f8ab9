"""Whole runs that are stopped, killed, starved of disk, or spread over processes."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import simplejpeg
import torch
from safetensors.numpy import load_file as load_numpy
from safetensors.torch import load_file

from training.checkpoint import CheckpointWriteError
from training.config import Config, changed
from training.datasets.sources import load_data_set
from training.features import check_suffix, extract
from training.fitting.checks import check_data
from training.loop import BEST, LAST, LOG, EpochLine, Observer, TrainingError, fit
from training.recipes import smoke_stream
from training.run_folder import EVENTS, load_run_data
from workers.errors import ConfigurationError

SETTINGS = ("data.drawn_images=96",)
"""Beside `smoke-stream`: drawing is most of the time of these tests."""
AN_EPOCH = 3
STEPS = 2 * AN_EPOCH


def config_of(**changes: object) -> Config:
    config = changed(smoke_stream(), SETTINGS)
    return replace(config, loop=replace(config.loop, **changes))  # type: ignore[arg-type]


def options() -> list[str]:
    return ["--recipe", "smoke-stream", *(word for setting in SETTINGS for word in ("--set", setting))]


@dataclass(frozen=True)
class Straight:
    config: Config
    run: Path


@pytest.fixture(scope="module")
def straight(tmp_path_factory: pytest.TempPathFactory) -> Straight:
    """A run that nothing disturbed."""
    made = Straight(
        config=config_of(keep_every_epochs=1, checkpoint_every_steps=1), run=tmp_path_factory.mktemp("r") / "a"
    )
    fit(made.config, made.run, cache=made.run.parent)
    return made


def assert_same_weights(one: Path, other: Path) -> None:
    expected, found = load_file(one), load_file(other)
    assert expected.keys() == found.keys()
    for name, tensor in expected.items():
        assert torch.equal(found[name], tensor), name


def epochs_of(run: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (run / LOG).read_text().splitlines()]


def figures_of(run: Path) -> list[object]:
    """Everything in the log that does not depend on the clock."""
    return [{k: v for k, v in line.items() if "seconds" not in k and k != "images_per_s"} for line in epochs_of(run)]


# ------------------------------------------------------------------------------------------------ what a run leaves


def test_a_run_leaves_config_data_log_events_and_checkpoints(straight: Straight) -> None:
    names = {p.name for p in straight.run.iterdir()}
    assert names == {
        "config.json",
        "data.json",
        LOG,
        EVENTS,
        LAST,
        BEST,
        "epoch-001.safetensors",
        "epoch-002.safetensors",
    }
    assert any((straight.run / EVENTS).iterdir())
    data = load_run_data(straight.run)
    assert sum(data.counts["train"].values()) + sum(data.counts["holdout"].values()) <= 96
    assert data.labels[0] in data.counts["train"]
    assert "Apache-2.0" in data.licence
    assert_same_weights(straight.run / LAST, straight.run / "epoch-002.safetensors")


def test_the_log_has_errors_figures_and_speed_of_every_epoch(straight: Straight) -> None:
    lines = epochs_of(straight.run)
    assert [(line["epoch"], line["size"], line["steps"]) for line in lines] == [(1, 32, AN_EPOCH), (2, 64, STEPS)]
    for line in lines:
        assert set(line["loss"]) == {"label", "attributes", "box", "box_overlap", "metric"}  # type: ignore[call-overload]
        assert set(line["errors"]) == {"train", "holdout", "holdout/drawn"}  # type: ignore[call-overload]
        assert set(line["figures"]) == {"box_iou", "attribute_f1", "recall_at_1"}  # type: ignore[call-overload]
    assert lines[-1]["share"] == 1.0


# --------------------------------------------------------------------------------------------- stopping and resuming


@pytest.mark.parametrize("step", [1, AN_EPOCH, AN_EPOCH + 1])
def test_stopping_after_any_step_and_resuming_gives_the_same_weights(
    straight: Straight, tmp_path: Path, step: int
) -> None:
    asked = iter(range(1, 100))
    progress = fit(straight.config, tmp_path / "run", cache=tmp_path, stop=lambda: next(asked) == step)
    assert progress.steps == step
    assert progress.share < 1
    torch.rand(7)  # other work draws random numbers in between
    assert fit(straight.config, tmp_path / "run", cache=tmp_path, resume=True).steps == STEPS
    assert_same_weights(straight.run / LAST, tmp_path / "run" / LAST)
    assert figures_of(tmp_path / "run") == figures_of(straight.run)


@pytest.fixture
def command(straight: Straight, tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    started: list[subprocess.Popen[str]] = []

    def start(*arguments: str) -> subprocess.Popen[str]:
        line = [sys.executable, "-m", "training", "fit", str(tmp_path / "run"), *arguments]
        started.append(subprocess.Popen(line, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()
        if process.stderr is not None:
            process.stderr.close()


def steps_of(path: Path) -> int:
    from safetensors import safe_open

    if not path.is_file():
        return 0
    # Torch's reader opens the path a second time, by when the next checkpoint may lie there; this one opens it once.
    with safe_open(path, framework="numpy") as file:
        return int(json.loads(file.metadata()["progress"])["steps"])


def wait_for_step(path: Path, step: int, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 120
    while steps_of(path) < step:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_killed_then_interrupted_then_resumed_gives_the_same_weights(
    straight: Straight, tmp_path: Path, command: Callable[..., subprocess.Popen[str]]
) -> None:
    last = tmp_path / "run" / LAST
    first = command(*options(), "--checkpoint-every-steps", "1", "--set", "loop.keep_every_epochs=1")
    wait_for_step(last, 2, first)
    first.kill()
    first.communicate()
    second = command("--resume")
    wait_for_step(last, steps_of(last) + 1, second)
    second.send_signal(signal.SIGINT)
    _, said = second.communicate(timeout=120)
    if steps_of(last) < STEPS:  # else it ended before the signal reached it
        assert second.returncode == 130
        assert f"Go on: python -m training fit {tmp_path / 'run'} --resume" in said
        assert command("--resume").wait(timeout=120) == 0
    assert_same_weights(straight.run / LAST, last)
    assert figures_of(tmp_path / "run") == figures_of(straight.run)


def test_lines_written_after_the_last_checkpoint_are_forgotten(straight: Straight, tmp_path: Path) -> None:
    def stop(_line: EpochLine) -> None:
        raise KeyboardInterrupt

    run = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        fit(straight.config, run, cache=tmp_path, observer=Observer(on_epoch=stop))
    with (run / LOG).open("a") as log:
        log.write((straight.run / LOG).read_text().splitlines()[1] + "\n")
        log.write('{"epoch": 2, "pl')
    fit(straight.config, run, cache=tmp_path, resume=True)
    assert figures_of(run) == figures_of(straight.run)


# ---------------------------------------------------------------------------------------------------------- bad luck


def test_a_full_disk_keeps_the_checkpoint_of_before(tmp_path: Path) -> None:
    """The limit on a file's size fails a write as a full disk does, half way through."""
    run = tmp_path / "run"
    config = config_of(checkpoint_every_steps=1)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)

    def limit() -> bool:
        if (run / LAST).is_file():
            resource.setrlimit(resource.RLIMIT_FSIZE, ((run / LAST).stat().st_size // 2, before[1]))
        return False

    try:
        with pytest.raises(
            CheckpointWriteError, match=r"cannot be written .* is whole .* make room and resume"
        ) as caught:
            fit(config, run, cache=tmp_path, stop=limit)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert "\n" not in str(caught.value)
    assert steps_of(run / LAST) == 1
    assert not list(run.glob("*.partial"))
    assert fit(config, run, cache=tmp_path, resume=True).steps == STEPS


def test_a_loss_that_is_no_number_names_the_step_and_keeps_the_checkpoint(tmp_path: Path) -> None:
    absurd = config_of(learning_rate=1e30, warmup=0.0, checkpoint_every_steps=1)
    with pytest.raises(TrainingError, match=r"not finite at step \d+ \(label .*lower the learning rate") as caught:
        fit(absurd, tmp_path / "run", cache=tmp_path)
    assert "\n" not in str(caught.value)
    named = int(str(caught.value).split("at step ")[1].split()[0])
    assert steps_of(tmp_path / "run" / LAST) == named


def test_other_data_than_the_run_began_with_are_refused(straight: Straight, tmp_path: Path) -> None:
    run = tmp_path / "run"
    fit(config_of(), run, cache=tmp_path, stop=lambda: True)
    other = replace(config_of(), data=replace(config_of().data, drawn_seed=99))
    (run / "config.json").write_text(other.to_json())
    with pytest.raises(ConfigurationError, match="data set has changed"):
        fit(other, run, cache=tmp_path, resume=True)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"batch_size": 15}, r"batch_size 15 does not split into 2 parts"),
        ({"sizes": ((0.0, 40),)}, "40 pixels is no multiple of 32"),
        ({"sizes": ((0.5, 64),)}, "begin with a size from share 0.0"),
        ({"batch_size": 512}, "fewer training images than one batch of 512"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(tmp_path: Path, settings: dict[str, object], said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        fit(config_of(**settings), tmp_path / "run", cache=tmp_path)


@pytest.mark.parametrize(
    ("losses", "said"),
    [
        ({"soft_label": 1.0}, "boxes are not cached"),
        ({"label": 0, "box": 0, "box_overlap": 0, "attributes": 0, "metric": 0}, "nothing to train"),
    ],
)
def test_losses_that_do_not_go_together_are_refused(tmp_path: Path, losses: dict[str, float], said: str) -> None:
    config = replace(smoke_stream(), loss=replace(smoke_stream().loss, **losses))
    with pytest.raises(ConfigurationError, match=said):
        fit(config, tmp_path / "run", cache=tmp_path)


@pytest.mark.parametrize(
    ("lost", "said"),
    [
        ("box", r"loss.box is above 0, but no training image has a box: set it to 0"),
        ("attributes", r"loss.attributes is above 0, but no training image has a known attribute"),
        ("product", r"loss.metric is above 0, but no training image has a product"),
        ("category", r"loss.label is above 0, but no training image has a category"),
    ],
)
def test_labels_that_no_image_has_cannot_be_learned(lost: str, said: str) -> None:
    config = config_of()
    data = load_data_set(config.data)
    bare = replace(data, records=tuple(replace(r, **{lost: None}) for r in data.records))  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match=said):
        check_data(config, bare)


# ---------------------------------------------------------------------------------------------------------- features


@pytest.mark.parametrize("suffix", [".npy", ".safetensors"])
def test_features_of_a_folder_come_with_their_names(straight: Straight, tmp_path: Path, suffix: str) -> None:
    images = tmp_path / "images"
    (images / "a").mkdir(parents=True)
    rng = np.random.default_rng(0)
    for name in ("a/one.jpg", "two.JPG"):
        pixels = rng.integers(0, 256, (80, 60, 3), dtype=np.uint8)
        (images / name).write_bytes(simplejpeg.encode_jpeg(pixels))
    (images / "broken.png").write_bytes(b"nothing")
    (images / "notes.txt").write_text("no image by its name")
    found = extract(straight.run, images, normalised=True)
    out = tmp_path / "out" / f"features{suffix}"
    found.save(out)
    rows = np.load(out) if suffix == ".npy" else load_numpy(out)["features"]
    assert rows.shape == (2, 64)
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, rtol=1e-5)
    assert json.loads(out.with_suffix(".names.json").read_text()) == ["a/one.jpg", "two.JPG"]
    assert [name for name, _ in found.left_out] == ["broken.png"]


def test_features_of_nothing_are_refused(straight: Straight, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="no images"):
        extract(straight.run, tmp_path)
    with pytest.raises(ConfigurationError, match=r"must end in .safetensors or .npy"):
        check_suffix(tmp_path / "features.csv")


# --------------------------------------------------------------------------------------------------------- processes


def test_two_processes_learn_what_two_threads_learn(tmp_path: Path) -> None:
    config = config_of(threads=2)
    fit(config, tmp_path / "threads", cache=tmp_path)
    line = [
        *(sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"),
        *("-m", "training", "fit", str(tmp_path / "processes"), *options()),
    ]
    done = subprocess.run(line, env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    one, other = (load_file(tmp_path / name / LAST) for name in ("threads", "processes"))
    for name, tensor in one.items():
        if name.startswith(("student.", "ema.")) and tensor.is_floating_point():
            torch.testing.assert_close(other[name], tensor, rtol=2e-2, atol=2e-3, msg=name)
    errors = [line["errors"] for line in epochs_of(tmp_path / "processes")]
    assert len(errors) == 2
    assert done.stderr.count("epoch 1/2") == 1, "only the first process talks"
