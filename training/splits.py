"""Cutting training data without tearing groups (senders, products) apart. Deterministic: by hash, not by chance."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from training.datasets.record import Record, Split

FEWEST_OF_A_CLASS = 2
"""Training images a class needs: of one alone nothing is learned but the picture."""
_TRAIN, _VALIDATION = 0.8, 0.1
"""Shares of `hashed_split`; the rest is test."""


def hold_out(records: Sequence[Record], *, share: float, largest_group: int) -> tuple[Record, ...]:
    """Move whole groups of `train` into `holdout` until it has about `share` of the fully labelled training images.

    Only groups of at most `largest_group` images move: one sender of 366 photographs would make the measurement
    a measurement of that sender, and cost the training too much. Unlabelled images of a moved group move too. No group
    moves that would leave a class with one training image or none: what is measured has to be learned. Where no record
    has a category, all count that have any label.
    """
    train = [r for r in records if r.split == "train"]
    candidates = [r for r in train if r.trust == 1.0] or [r for r in train if r.labelled]
    sizes = Counter(r.group for r in candidates)
    classes = _classes_by_group(train)
    left = Counter(r.category for r in train if r.category is not None)
    wanted = share * len(candidates)
    moved: set[str] = set()
    count = 0
    for group in sorted(sizes, key=_hash):
        if count >= wanted:
            break
        held = classes.get(group, Counter[int]())
        if sizes[group] <= largest_group and all(left[c] - n >= FEWEST_OF_A_CLASS for c, n in held.items()):
            moved.add(group)
            count += sizes[group]
            left -= held
    return tuple(replace(r, split="holdout") if r.split == "train" and r.group in moved else r for r in records)


def hashed_split(group: str) -> Split:
    """The split of a group where its source says nothing: 80 % train, 10 % validation, 10 % test, the same every time."""
    place = int(_hash(group)[:8], 16) / 16**8
    return "train" if place < _TRAIN else "validation" if place < _TRAIN + _VALIDATION else "test"


def group_folds(groups: Sequence[str], folds: int) -> list[int]:
    """A fold for each item so that no group is in two, filled greedily by size (the largest group first)."""
    sizes = Counter(groups)
    load = [0] * folds
    fold_of: dict[str, int] = {}
    for group in sorted(sizes, key=lambda g: (-sizes[g], _hash(g))):
        fold = load.index(min(load))
        fold_of[group] = fold
        load[fold] += sizes[group]
    return [fold_of[group] for group in groups]


def _classes_by_group(records: Sequence[Record]) -> dict[str, Counter[int]]:
    found: dict[str, Counter[int]] = {}
    for r in records:
        if r.category is not None:
            found.setdefault(r.group, Counter())[r.category] += 1
    return found


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
