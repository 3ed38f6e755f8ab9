"""The top of the page: what was trained on what, the figures that matter most, and what stands out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from training.report.confusion import Categories
from training.report.curves import best_epoch
from training.report.evidence import Absent, Balance, Run
from training.report.reliability import Reliability
from training.report.words import HEADLINE, Figure, figure, share

_PATIENCE: Final = 0.25
"""If the best epoch lies before this share of the run's end, the rest was for nothing."""
_NOTABLE_GAP: Final = 0.05
_RARE: Final = 10.0
"""A class this many times rarer than the most frequent one is worth a word."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """A sentence, and the section that shows more."""

    words: str
    section: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Summary:
    """The section."""

    facts: tuple[tuple[str, str], ...]
    """Name and value."""
    figures: tuple[Figure, ...]
    findings: tuple[Finding, ...]


def summary(run: Run, categories: Categories | Absent, reliability: Reliability | Absent) -> Summary:
    """The top of a run's page."""
    return Summary(
        facts=tuple(_facts(run)),
        figures=headline_figures(run),
        findings=(
            *_training_findings(run),
            *_category_findings(categories),
            *_confidence_findings(reliability),
            *_data_findings(run),
        ),
    )


def headline_figures(run: Run) -> tuple[Figure, ...]:
    """Each of the most important metrics once, on the first data set that has it."""
    found = []
    for name in HEADLINE:
        metric = next((m for measured in run.measurements if (m := measured.metric(name)) is not None), None)
        if metric is not None:
            found.append(figure(metric))
    return tuple(found)


def _facts(run: Run) -> Iterator[tuple[str, str]]:
    recipe = run.setting("", "recipe")
    if recipe:
        yield "Recipe", recipe
    network = run.setting("model", "architecture")
    if network:
        size, width = run.setting("model", "input_size"), run.setting("model", "embedding_size")
        yield "Network", f"{network}, {size} px input, embedding of {width} numbers"
    if run.data is not None:
        classes = f"{len(run.data.labels)} categories"
        yield "Task", f"{classes}, {len(run.data.attributes)} attributes" if run.data.attributes else classes
        if run.data.balance is not None:
            balance = run.data.balance
            totals = balance.counts.sum(0) + balance.unlabelled
            yield "Images", ", ".join(f"{n:,} {split}" for split, n in zip(balance.splits, totals, strict=True))
    if run.epochs:
        seconds = sum(epoch.seconds or 0.0 for epoch in run.epochs)
        yield "Training", f"{len(run.epochs)} epochs" + (f" in {_duration(seconds)}" if seconds else "")
    if run.evaluation is not None:
        yield "Measured", f"{run.evaluation.source} with {run.evaluation.engine}"


def _training_findings(run: Run) -> Iterator[Finding]:
    best = best_epoch(run.epochs)
    if best is None:
        return
    epoch, judged, error = best
    last = run.epochs[-1]
    said = f"the {judged} error is {share(error)}"
    if epoch is last:
        words = f"The last epoch was the best, {said}: longer training may help."
    elif last.number - epoch.number > _PATIENCE * last.number:
        words = f"Epoch {epoch.number} of {last.number} was the best, {said}, and no later one was better."
    else:
        words = f"Training levelled off: epoch {epoch.number} of {last.number} was the best, {said}."
    yield Finding(words=words, section="curves")
    errors = dict(epoch.errors)
    if "train" in errors and error - errors["train"] > _NOTABLE_GAP:
        yield Finding(
            words=f"Training images are at {share(errors['train'])} error, {judged} images at {share(error)}: "
            "more varied data may help.",
            section="curves",
        )


def _category_findings(categories: Categories | Absent) -> Iterator[Finding]:
    if isinstance(categories, Absent):
        return
    if categories.confusions:
        worst = categories.confusions[0]
        yield Finding(
            words=f"Most confused: {worst.true} is taken for {worst.predicted} in {worst.images} images "
            f"({100 * worst.share:.0f} % of that category).",
            section="categories",
        )
    rated = [(c.f1.value, c) for c in categories.classes if c.f1 is not None and c.images]
    if rated:
        value, weakest = min(rated, key=lambda pair: pair[0])
        yield Finding(
            words=f"Weakest category: {weakest.label}, F1 {share(value)} on {weakest.images} images.",
            section="categories",
        )


def _confidence_findings(reliability: Reliability | Absent) -> Iterator[Finding]:
    if isinstance(reliability, Absent):
        return
    if abs(reliability.gap) < _NOTABLE_GAP / 2:
        words = f"Confidence can be believed: on average {share(abs(reliability.gap))} off the accuracy."
    else:
        sense = "too sure of itself" if reliability.gap > 0 else "too modest"
        words = f"The network is {sense}: confidence and accuracy are {share(abs(reliability.gap))} apart on average."
    yield Finding(words=words, section="reliability")


def _data_findings(run: Run) -> Iterator[Finding]:
    balance = run.data.balance if run.data is not None else None
    if balance is None or "train" not in balance.splits:
        return
    pairs = _labelled(balance, "train")
    (most_images, most), (least_images, least) = max(pairs), min(pairs)
    if most_images >= _RARE * max(least_images, 1):
        yield Finding(
            words=f"The training images are unbalanced: {most_images:,} of {most}, {least_images:,} of {least}.",
            section="balance",
        )


def _labelled(balance: Balance, split: str) -> Sequence[tuple[int, str]]:
    column = balance.counts[:, balance.splits.index(split)]
    return [(int(n), label) for n, label in zip(column, balance.labels, strict=True)]


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 90 * 60:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
