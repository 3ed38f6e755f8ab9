"""Readers, splits, views and batches."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.augment import augment, shrink
from training.config import ViewConfig
from training.datasets.mix import load_records, select
from training.datasets.photographs import default_folder, read_photographs
from training.datasets.record import LABELS, Record
from training.recipes import smoke
from training.splits import group_folds, hold_out
from workers.errors import ConfigurationError

_TABLE = """image,label,top10,split,kids,sender_id
images/a.jpg,Shirt,shirt,train,False,1
images/b.jpg,Shirt,outwear,train,False,1
images/c.jpg,Hoodie,,extra,False,2
images/d.jpg,T-Shirt,,extra,False,2
images/e.jpg,Not sure,,extra,False,3
images/f.jpg,Body,,extra,False,3
images/g.jpg,Pants,pants,validation,False,4
"""


@pytest.fixture
def table(tmp_path: Path) -> Path:
    (tmp_path / "images.csv").write_text(_TABLE)
    return tmp_path


def test_labels_come_from_the_subset_then_the_name_then_the_taxonomy(table: Path) -> None:
    found = {Path(r.name).stem: r for r in read_photographs(table, mapped_trust=0.3)}
    label = {name: (LABELS[r.category] if r.category is not None else None, r.trust) for name, r in found.items()}
    assert label == {
        "a": ("shirt", 1.0),
        "b": ("outwear", 1.0),
        "c": ("longsleeve", 0.3),
        "d": ("t-shirt", 1.0),
        "e": (None, 0.0),
        "f": (None, 0.0),
        "g": ("pants", 1.0),
    }
    assert found["g"].split == "validation"
    assert found["c"].split == "train"


def test_mapped_labels_are_masked_at_trust_zero(table: Path) -> None:
    hoodie = next(r for r in read_photographs(table, mapped_trust=0.0) if "c.jpg" in r.name)
    assert (hoodie.category, hoodie.trust) == (None, 0.0)


def test_a_missing_table_names_the_variable_to_set(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="CLOTHING_DATA"):
        read_photographs(tmp_path, mapped_trust=0.3)


def test_missing_columns_are_named(tmp_path: Path) -> None:
    (tmp_path / "images.csv").write_text("image,label\nx,Shirt\n")
    with pytest.raises(ConfigurationError, match="sender_id, split, top10"):
        read_photographs(tmp_path, mapped_trust=0.3)


def made(name: str, group: str, **changes: object) -> Record:
    record = Record(name=name, source="made", split="train", group=group, category=0, data=b"")
    return replace(record, **changes)  # type: ignore[arg-type]


def test_hold_out_moves_whole_small_groups() -> None:
    records = [made(f"{g}-{i}", f"g{g}") for g in range(40) for i in range(5)] + [
        made(f"big-{i}", "big") for i in range(200)
    ]
    after = hold_out(records, share=0.1, largest_group=10)
    split_of = {r.group: set() for r in after}
    for record in after:
        split_of[record.group].add(record.split)
    assert all(len(splits) == 1 for splits in split_of.values())
    assert split_of["big"] == {"train"}
    assert 40 <= sum(r.split == "holdout" for r in after) < 45
    assert after == hold_out(records, share=0.1, largest_group=10)


def test_hold_out_leaves_measured_splits_alone() -> None:
    records = [made(str(i), f"g{i}", split="validation") for i in range(20)] + [made("t", "g3")]
    assert {r.split for r in hold_out(records, share=1.0, largest_group=5) if r.name != "t"} == {"validation"}


@given(st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=60), st.integers(2, 5))
def test_folds_never_tear_a_group(groups: list[str], folds: int) -> None:
    assigned = group_folds(groups, folds)
    assert len({(g, f) for g, f in zip(groups, assigned, strict=True)}) == len(set(groups))
    assert set(assigned) <= set(range(folds))


def test_nothing_to_train_on_is_refused() -> None:
    data = replace(smoke().data, photographs=False, drawn_images=0)
    with pytest.raises(ConfigurationError, match="nothing to train on"):
        load_records(data)


def test_drawings_keep_products_within_a_split() -> None:
    records = load_records(smoke().data)
    splits = Counter()
    for group in {r.group for r in records}:
        splits[len({r.split for r in records if r.group == group})] += 1
    assert set(splits) == {1}
    assert select(records, "holdout")
    assert select(records, "train")


@pytest.mark.photographs
def test_the_photographs_hold_what_their_readme_says() -> None:
    if not (default_folder() / "images.csv").is_file():
        pytest.skip("the clothing photographs are absent: set CLOTHING_DATA")
    records = read_photographs(default_folder(), mapped_trust=0.3)
    assert Counter(r.split for r in records) == {"train": 3068 + 1375, "validation": 341}
    assert all(r.path is not None and r.path.is_file() for r in records[::50])
    held = hold_out(records, share=0.06, largest_group=40)
    senders = {s: {r.group for r in held if r.split == s} for s in ("train", "holdout")}
    assert senders["holdout"].isdisjoint(senders["train"])


def test_without_randomness_a_view_is_the_squashed_image() -> None:
    """The identity view must be what serving makes, up to interpolation."""
    import cv2

    rng = np.random.default_rng(0)
    image = cv2.GaussianBlur(rng.integers(0, 256, (200, 150, 3), dtype=np.uint8), (0, 0), 4)
    still = ViewConfig(
        teacher_size=96,
        smallest_area=1.0,
        aspect=0.0,
        rotation_deg=0.0,
        quarter_turns=0.0,
        colour=0.0,
        hue=0.0,
        blur=0.0,
    )
    views = [augment(image, still, np.random.default_rng(seed)) for seed in range(8)]
    squashed = cv2.resize(image, (96, 96), interpolation=cv2.INTER_AREA)
    distance = [min(np.abs(v.astype(int) - s).mean() for s in (squashed, squashed[:, ::-1])) for v in views]
    assert max(distance) < 1.5
    assert np.abs(squashed.astype(int) - squashed[:, ::-1]).mean() > 4


def test_views_are_a_function_of_their_generator() -> None:
    image = np.random.default_rng(0).integers(0, 256, (80, 60, 3), dtype=np.uint8)
    config = ViewConfig(teacher_size=64)
    first, again, other = (augment(image, config, np.random.default_rng(s)) for s in (1, 1, 2))
    assert first.shape == (64, 64, 3)
    np.testing.assert_array_equal(first, again)
    assert np.any(first != other)


def test_shrink_averages() -> None:
    view = np.kron(np.array([[0, 255], [255, 0]]), np.ones((2, 2)))[..., None].repeat(3, 2).astype(np.uint8)
    assert shrink(view, 2)[..., 0].tolist() == [[0, 255], [255, 0]]
