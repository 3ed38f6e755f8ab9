"""Losses, replicas, schedule, config and checkpoints, each alone."""

from __future__ import annotations

import copy
import json
import math
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import nn

from training.checkpoint import Progress, load_checkpoint, save_checkpoint
from training.config import LossConfig, ModelConfig, changed, load_config
from training.fitting.optimiser import MovingAverage, make_optimiser, set_learning_rate
from training.fitting.replicas import Replicas
from training.fitting.schedule import learning_rate_at, plan_epochs, size_at
from training.losses import Targets, total_loss
from training.losses.distillation import cosine_distance, soft_label_loss
from training.losses.labels import label_loss
from training.model import Serving, Student, normalise
from training.networks.heads import TrainingHeads
from training.recipes import RECIPES, clothing, recipe
from workers.errors import ConfigurationError

LOOP = clothing().loop


def small_student() -> Student:
    torch.manual_seed(0)
    return Student(ModelConfig(input_size=64), classes=10)


# ------------------------------------------------------------------------------------------------------------ losses


def test_masked_labels_have_no_influence() -> None:
    logits = torch.randn(4, 10)
    trust = torch.tensor([1.0, 0.0, 1.0, 0.0])
    one = label_loss(logits, torch.tensor([1, 2, 3, 4]), trust, 0.1)
    other = label_loss(logits, torch.tensor([1, 9, 3, 0]), trust, 0.1)
    assert one == other
    assert label_loss(logits, torch.zeros(4, dtype=torch.long), torch.zeros(4), 0.1) == 0


def test_fully_trusted_labels_are_plain_cross_entropy() -> None:
    logits, labels = torch.randn(6, 10), torch.arange(6)
    expected = nn.functional.cross_entropy(logits, labels, label_smoothing=0.1)
    torch.testing.assert_close(label_loss(logits, labels, torch.ones(6), 0.1), expected)


def test_soft_label_loss_is_zero_at_the_target_and_survives_zeros() -> None:
    soft = torch.tensor([[0.7, 0.3, 0.0]])
    assert soft_label_loss(torch.log(soft.clamp(min=1e-6)), soft, 1.0) == pytest.approx(0, abs=1e-5)
    assert torch.isfinite(soft_label_loss(torch.randn(1, 3), soft, 4.0))


def test_cosine_distance_ignores_length() -> None:
    vectors = torch.randn(5, 7)
    assert cosine_distance(3 * vectors, vectors, dim=1) == pytest.approx(0, abs=1e-6)
    assert cosine_distance(-vectors, vectors, dim=1) == pytest.approx(2, abs=1e-6)


def test_a_part_with_weight_zero_is_left_out() -> None:
    student = small_student()
    heads = TrainingHeads(LossConfig(), embedding_size=512, width=512, pooled=6, positions=3)
    targets = Targets(
        category=torch.tensor([1, 2]),
        trust=torch.ones(2),
        soft=torch.full((2, 10), 0.1),
        pooled=torch.randn(2, 6),
        positions=torch.randn(2, 3, 4, 4),
    )
    output = student(torch.randn(2, 3, 64, 64))
    total, parts = total_loss(output, heads, targets, LossConfig())
    assert set(parts) == {"label", "soft_label", "pooled", "positions"}
    weights = LossConfig()
    assert float(total.detach()) == pytest.approx(
        sum(getattr(weights, name) * float(value) for name, value in parts.items()), rel=1e-5
    )
    _, only = total_loss(output, heads, targets, LossConfig(soft_label=0, pooled=0, positions=0))
    assert set(only) == {"label"}


# ------------------------------------------------------------------------------------------------------------- model


def test_serving_normalises_and_applies_the_temperature() -> None:
    student = small_student().eval()
    images = torch.randn(3, 3, 64, 64)
    with torch.inference_mode():
        served = Serving(student, temperature=0.5)(images)
        plain = Serving(student, temperature=1.0)(images)["category"]
        logits = student(images).logits
    assert set(served) == {"embedding", "category"}, "no head that was not trained"
    torch.testing.assert_close(served["embedding"].norm(dim=1), torch.ones(3))
    torch.testing.assert_close(plain, torch.softmax(logits, 1))
    torch.testing.assert_close(served["category"], torch.softmax(2 * logits, 1))


def test_another_embedding_size_adds_a_projection() -> None:
    student = Student(ModelConfig(embedding_size=64), classes=10).eval()
    with torch.inference_mode():
        assert student(torch.randn(1, 3, 64, 64)).embedding.shape == (1, 64)


def test_normalise_by_hand() -> None:
    pixel = torch.tensor([0, 255, 51], dtype=torch.uint8).view(1, 1, 1, 3)
    found = normalise(pixel, (0.5, 0.5, 0.2), (0.5, 0.25, 0.1)).flatten()
    torch.testing.assert_close(found, torch.tensor([-1.0, 2.0, 0.0]))


def test_an_unknown_architecture_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="resnet18"):
        Student(ModelConfig(architecture="vgg16"), classes=10)  # type: ignore[arg-type]


# ---------------------------------------------------------------------------------------------------------- replicas


def test_replicas_give_the_gradient_of_the_whole_batch() -> None:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(5, 7), nn.ReLU(), nn.Linear(7, 1))
    whole = copy.deepcopy(module)
    data = torch.randn(8, 5)
    replicas: Replicas[torch.Tensor, int] = Replicas(module, 2)
    for _ in range(2):  # gradients of an earlier step must not linger
        results = replicas.step(data.chunk(2), lambda m, share: (m(share).pow(2).mean(), len(share)))
    replicas.close()
    whole(data).pow(2).mean().backward()
    assert results == [4, 4]
    for mine, theirs in zip(module.parameters(), whole.parameters(), strict=True):
        torch.testing.assert_close(mine.grad, theirs.grad)


def test_replicas_follow_the_modules_weights_and_average_statistics() -> None:
    module = nn.Sequential(nn.BatchNorm1d(2, momentum=1.0))
    replicas: Replicas[torch.Tensor, None] = Replicas(module, 2)
    shares = [torch.tensor([[0.0, 0.0], [2.0, 4.0]]), torch.tensor([[2.0, 4.0], [4.0, 8.0]])]
    with torch.no_grad():
        module[0].weight.fill_(3.0)
    outputs: list[float] = []

    def run(replica: nn.Module, share: torch.Tensor) -> tuple[torch.Tensor, None]:
        out = replica(share)
        outputs.append(float(out.detach().abs().max()))
        return out.sum(), None

    replicas.step(shares, run)
    replicas.close()
    torch.testing.assert_close(module[0].running_mean, torch.tensor([2.0, 4.0]))
    assert module[0].num_batches_tracked == 1
    assert outputs == pytest.approx([3.0, 3.0], abs=1e-3)


# ---------------------------------------------------------------------------------------------------------- schedule


def test_the_learning_rate_rises_then_falls_to_zero() -> None:
    rates = [learning_rate_at(LOOP, share / 1000) for share in range(1001)]
    assert max(rates) == pytest.approx(LOOP.learning_rate, rel=1e-3)
    assert rates[0] < LOOP.learning_rate / 10
    assert rates[-1] == pytest.approx(0, abs=1e-9)
    peak = rates.index(max(rates))
    assert rates[peak:] == sorted(rates[peak:], reverse=True)


def test_steps_lower_the_learning_rate_at_milestones() -> None:
    loop = replace(LOOP, schedule="steps", milestones=(0.5, 0.75), milestone_factor=0.1, warmup=0.1, learning_rate=1.0)
    found = [learning_rate_at(loop, share) for share in (0.05, 0.1, 0.49, 0.5, 0.74, 0.75, 1.0)]
    assert found == pytest.approx([0.5, 1.0, 1.0, 0.1, 0.1, 0.01, 0.01])


def test_input_sizes_follow_the_schedule() -> None:
    loop = replace(LOOP, sizes=((0.0, 96), (0.5, 128), (0.9, 160)))
    assert [size_at(loop, share) for share in (0.0, 0.49, 0.5, 0.89, 0.9, 1.0)] == [96, 96, 128, 128, 160, 160]


def test_epochs_are_planned_to_meet_the_budget() -> None:
    loop = replace(LOOP, epochs=40, max_seconds=1000.0, sizes=((0.0, 128),))
    done = Progress(epoch=4, share=0.1, seconds=200.0, work=4 * 128**2)
    plan = partial(plan_epochs, planned=40, last_epoch_s=50.0, last_size=128)
    assert plan(loop, done) == 4 + 16
    assert plan(loop, replace(done, seconds=999.0)) == 5, "one more ends the schedule"
    assert plan(replace(loop, max_seconds=None), done) == 40
    larger_later = replace(loop, sizes=((0.0, 128), (0.5, 256)))
    assert plan(larger_later, done) < 4 + 10
    assert plan(loop, done, last_epoch_s=150.0) == 4 + 8, "a slow epoch counts half"


# ------------------------------------------------------------------------------------------- config and checkpoints


@pytest.mark.parametrize("name", RECIPES)
def test_a_config_survives_its_file(tmp_path: Path, name: str) -> None:
    config = recipe(name)
    (tmp_path / "config.json").write_text(config.to_json())
    assert load_config(tmp_path / "config.json") == config
    assert load_config(tmp_path / "config.json").digest == config.digest


def test_an_unknown_setting_is_named(tmp_path: Path) -> None:
    wrong = json.loads(clothing().to_json())
    wrong["loop"]["learning_rat"] = 1
    (tmp_path / "config.json").write_text(json.dumps(wrong))
    with pytest.raises(ConfigurationError, match="learning_rat"):
        load_config(tmp_path / "config.json")


def test_an_unknown_recipe_lists_the_known() -> None:
    with pytest.raises(ConfigurationError, match=r"there are: clothing, clothing-refine, .*smoke"):
        recipe("cloth")


def test_settings_are_replaced_by_name_and_checked() -> None:
    config = changed(
        clothing(), ["loss.box=0.5", "loop.sizes=[[0.0, 64]]", "model.architecture=resnet50", "data.folder=/a"]
    )
    assert (config.loss.box, config.loop.sizes, config.model.architecture) == (0.5, ((0.0, 64),), "resnet50")
    assert config.data.folder == "/a"
    assert config.views == clothing().views


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("loss.bok=1", "did you mean loss.box"),
        ("loss=1", "group.name=value"),
        ("loss.box", "group.name=value"),
        ("loss.box=much", "loss.box cannot be 'much'"),
        ("model.architecture=vgg16", "resnet18"),
    ],
)
def test_a_wrong_setting_is_one_clear_line(setting: str, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said) as caught:
        changed(clothing(), [setting])
    assert "\n" not in str(caught.value)


def trained_step(module: nn.Module) -> torch.optim.Optimizer:
    optimiser = torch.optim.AdamW(module.parameters(), lr=0.01)
    module(torch.randn(4, 3)).pow(2).sum().backward()
    optimiser.step()
    return optimiser


def test_a_checkpoint_brings_back_weights_optimiser_and_progress(tmp_path: Path) -> None:
    torch.manual_seed(0)
    module = nn.Linear(3, 2)
    optimiser = trained_step(module)
    progress = Progress(
        epoch=3, share=1 / 3, steps=7, seconds=1.5, best_score=0.25, step=2, size=96, sums={"label": 0.1 + 0.2}
    )
    path = tmp_path / "last.safetensors"
    save_checkpoint(path, modules={"m": module}, optimiser=optimiser, progress=progress, config_digest="abc")
    other = nn.Linear(3, 2)
    fresh = torch.optim.AdamW(other.parameters(), lr=0.01)
    assert load_checkpoint(path, modules={"m": other}, optimiser=fresh, config_digest="abc") == progress
    data = torch.randn(4, 3)
    for m, o in ((module, optimiser), (other, fresh)):
        o.zero_grad()
        m(data).pow(2).sum().backward()
        o.step()
    torch.testing.assert_close(other.weight, module.weight, rtol=0, atol=0)
    assert [p.name for p in tmp_path.iterdir()] == ["last.safetensors"]


def test_the_optimisers_state_is_laid_out_like_its_parameter(tmp_path: Path) -> None:
    def made() -> tuple[nn.Module, torch.optim.Optimizer]:
        torch.manual_seed(0)
        module = nn.Conv2d(4, 6, 3).to(memory_format=torch.channels_last)
        return module, torch.optim.AdamW(module.parameters(), lr=0.1, fused=True)

    def step(module: nn.Module, optimiser: torch.optim.Optimizer) -> None:
        optimiser.zero_grad()
        module(torch.linspace(0, 1, 100).view(1, 4, 5, 5)).pow(2).sum().backward()
        optimiser.step()

    straight, resumed = made(), made()
    path = tmp_path / "c.safetensors"
    step(*straight)
    save_checkpoint(path, modules={"m": straight[0]}, optimiser=straight[1], progress=Progress(), config_digest="abc")
    load_checkpoint(path, modules={"m": resumed[0]}, optimiser=resumed[1])
    step(*straight)
    step(*resumed)
    assert torch.equal(straight[0].weight, resumed[0].weight)


def test_a_checkpoint_of_other_settings_or_architecture_is_refused(tmp_path: Path) -> None:
    module = nn.Linear(3, 2)
    path = tmp_path / "last.safetensors"
    save_checkpoint(
        path, modules={"m": module}, optimiser=trained_step(module), progress=Progress(), config_digest="abc"
    )
    with pytest.raises(ConfigurationError, match="other settings"):
        load_checkpoint(path, modules={"m": module}, config_digest="def")
    with pytest.raises(ConfigurationError, match="does not fit this architecture"):
        load_checkpoint(path, modules={"m": nn.Linear(4, 2)})


@pytest.mark.parametrize("content", [b"", b"no checkpoint at all", b"\xff" * 100])
def test_a_damaged_checkpoint_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "last.safetensors"
    path.write_bytes(content)
    with pytest.raises(ConfigurationError, match="no readable checkpoint"):
        load_checkpoint(path, modules={})
    with pytest.raises(ConfigurationError, match="no readable checkpoint"):
        load_checkpoint(tmp_path / "absent.safetensors", modules={})


def test_a_checkpoint_brings_back_the_random_generator(tmp_path: Path) -> None:
    module = nn.Linear(3, 2)
    optimiser = trained_step(module)
    path = tmp_path / "last.safetensors"
    save_checkpoint(path, modules={"m": module}, optimiser=optimiser, progress=Progress(), config_digest="abc")
    expected = torch.rand(3)
    torch.rand(100)
    load_checkpoint(path, modules={"m": module}, optimiser=optimiser)
    assert torch.equal(torch.rand(3), expected)


def test_the_average_follows_weights_and_statistics() -> None:
    current = nn.BatchNorm1d(2)
    average = copy.deepcopy(current)
    moving = MovingAverage(average, current, decay=0.9)
    with torch.no_grad():
        current.weight.fill_(2.0)
        current.running_mean.fill_(4.0)
        current.num_batches_tracked.fill_(7)
    moving.update(steps=1000)
    torch.testing.assert_close(average.weight, torch.full((2,), 1.1))
    torch.testing.assert_close(average.running_mean, torch.full((2,), 0.4))
    assert average.num_batches_tracked == 7
    moving.update(steps=0)  # early on the average is of noise and follows quickly
    torch.testing.assert_close(average.weight, torch.full((2,), 1.91))


def test_proxies_take_larger_steps_and_do_not_decay() -> None:
    loss = LossConfig(metric=1.0, metric_kind="normalised_softmax", soft_label=0, pooled=0, positions=0)
    heads = TrainingHeads(loss, embedding_size=4, width=4, groups=3)
    plain = nn.Linear(4, 4)
    optimiser = make_optimiser([plain, heads], LOOP, proxies=heads.proxies)
    set_learning_rate(optimiser, 0.01)
    rates = {id(p): (g["lr"], g["weight_decay"]) for g in optimiser.param_groups for p in g["params"]}
    assert rates[id(heads.proxies[0])] == (0.01 * LOOP.proxy_rate, 0.0)
    assert rates[id(plain.weight)] == (0.01, LOOP.weight_decay)
    assert rates[id(plain.bias)] == (0.01, 0.0)
    assert len(rates) == 3


def test_no_decay_is_no_average() -> None:
    current = nn.Linear(2, 2)
    average = nn.Linear(2, 2)
    MovingAverage(average, current, decay=0.0).update(steps=0)
    assert torch.equal(average.weight, current.weight)


def test_schedule_constants_are_sane() -> None:
    assert math.isclose(LOOP.sizes[0][0], 0.0)
    assert clothing().model.input_size >= max(size for _, size in LOOP.sizes)
