"""The scan finds what was planted, and training refuses what it could not use."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.support import layouts
from tests.support.images import encode
from training.config import DataConfig
from training.datasets.boxes import share_box
from training.datasets.drawn import read_drawn
from training.datasets.folders import read_folder
from training.datasets.inshop import read_inshop
from training.datasets.likeness import fingerprint, nearest_across
from training.datasets.record import DataSet, Flaw, Record
from training.datasets.scan import ProblemKind, Scan, scan
from training.datasets.sources import load_data_set, masked_small_classes
from training.datasets.usable import check_usable
from workers.errors import ConfigurationError
from workers.imaging.decode import decode
from workers.imaging.limits import DecodeLimits


def pixels_of(jpeg: bytes) -> np.ndarray:
    return decode(jpeg, min_side_px=4096, limits=DecodeLimits()).pixels


def problems(found: Scan) -> list[tuple[str, str]]:
    return [(p.kind.value, Path(p.path).name) for p in found.problems]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    layouts.write_image_folders(tmp_path, splits=True)
    return tmp_path


def some(folder: Path, split: str, label: str = "dress", number: int = 0) -> Path:
    return sorted((folder / split / label).iterdir())[number]


def test_a_sound_data_set_has_no_problems_and_its_counts(folder: Path) -> None:
    ticks: list[int] = []
    found = scan(read_folder(folder), on_progress=ticks.append)
    assert found.problems == ()
    assert found.images == sum(ticks) == 120
    counts = {(c.split, c.label): c.images for c in found.counts}
    assert counts["train", "shorts"] == 8
    assert sum(counts.values()) == 120


def test_unreadable_images_are_found_by_decoding_them(folder: Path) -> None:
    cut, fake, gone = (some(folder, "train", "dress", n) for n in range(3))
    cut.write_bytes(cut.read_bytes()[:900])
    fake.write_bytes(b"<html>no picture</html>")
    data = read_folder(folder)
    gone.unlink()
    found = scan(data)
    assert problems(found) == [("unreadable", path.name) for path in (cut, fake, gone)]
    assert [p.reason.partition(":")[0] for p in found.problems] == ["truncated", "not_an_image", "cannot be read"]
    assert found.problems[0].path == str(cut)


def test_identical_bytes_across_splits_are_leaks_and_within_one_are_not(folder: Path) -> None:
    original = some(folder, "train")
    shutil.copy(original, folder / "test" / "dress" / "leak.jpg")
    shutil.copy(original, folder / "train" / "dress" / "again.jpg")
    shutil.copy(some(folder, "train", "hat"), folder / "train" / "shoes" / "wrong.jpg")
    found = scan(read_folder(folder))
    assert problems(found) == [("leak_identical", "leak.jpg"), ("label_conflict", "wrong.jpg")]
    leak, conflict = found.problems
    assert Path(leak.other or "").parent == folder / "train" / "dress"
    assert "`test` as in `train`" in leak.reason
    assert conflict.reason == "the same bytes are 'shoes' here and 'hat' there"


def test_altered_copies_across_splits_are_leaks(folder: Path) -> None:
    pixels = pixels_of(some(folder, "train").read_bytes())
    height, width = pixels.shape[:2]
    small = cv2.resize(pixels, (width // 2, height // 2), interpolation=cv2.INTER_AREA)
    altered = {"small.png": encode(small, "PNG"), "poor.jpg": encode(pixels, "JPEG", quality=40)}
    for name, content in altered.items():
        (folder / "validation" / "dress" / name).write_bytes(content)
    (folder / "validation" / "dress" / "mirrored.jpg").write_bytes(encode(pixels[:, ::-1], "JPEG", quality=90))
    found = scan(read_folder(folder))
    assert sorted(problems(found)) == [("leak_near_identical", "poor.jpg"), ("leak_near_identical", "small.png")]
    assert {Path(p.other or "").parent.name for p in found.problems} == {"dress"}
    assert scan(read_folder(folder), near=0).problems == ()


def test_query_and_gallery_may_look_alike_but_share_no_file(tmp_path: Path) -> None:
    placed = layouts.write_inshop(tmp_path)
    query = next(p for p in placed if p.split == "query")
    kin = next(p for p in placed if p.split == "gallery" and Path(p.name).parent == Path(query.name).parent)
    strange = next(p for p in placed if p.split == "gallery" and Path(p.name).parent != Path(query.name).parent)
    worse = encode(pixels_of(query.image.jpeg), "JPEG", quality=60)
    (tmp_path / kin.name).write_bytes(worse)
    assert scan(read_inshop(tmp_path)).problems == ()
    (tmp_path / strange.name).write_bytes(encode(pixels_of(query.image.jpeg), "JPEG", quality=70))
    assert problems(scan(read_inshop(tmp_path))) == [("leak_near_identical", Path(strange.name).name)]
    (tmp_path / kin.name).write_bytes(query.image.jpeg)
    (tmp_path / strange.name).write_bytes(strange.image.jpeg)
    assert problems(scan(read_inshop(tmp_path))) == [("leak_identical", Path(kin.name).name)]


def test_what_the_reader_left_out_is_among_the_problems() -> None:
    data = read_drawn(images=3, seed=1)
    flaw = Flaw(kind="box", name="a.jpg", reason="list_bbox.txt, line 3: outside")
    found = scan(replace(data, flaws=(flaw,)))
    assert [(p.kind, p.path, p.reason) for p in found.problems] == [(ProblemKind.BOX, flaw.name, flaw.reason)]


def test_many_identical_pictures_give_one_leak_each() -> None:
    """Placeholder pictures by the thousand must not become pairs by the million."""
    blank = np.zeros((3000, 54), dtype=np.float32)
    found = nearest_across(blank, [0] * 1500 + [1] * 1500, [None] * 3000)
    assert [likeness.one for likeness in found] == list(range(1500, 3000))


def test_the_nearest_of_all_earlier_splits_is_named() -> None:
    rng = np.random.default_rng(0)
    prints = rng.normal(0, 60, (300, 54)).astype(np.float32)
    prints[250] = prints[10] + 0.2
    prints[120] = prints[11] + 0.3
    prints[251] = prints[120] + 0.1
    prints[5] = np.nan
    splits = [0] * 100 + [1] * 100 + [2] * 100
    found = {likeness.one: likeness for likeness in nearest_across(prints, splits, [None] * 300)}
    assert {one: likeness.other for one, likeness in found.items()} == {120: 11, 250: 10, 251: 120}
    assert found[250].distance == pytest.approx(0.2 * 54**0.5, rel=1e-3)


def test_the_fingerprint_measures_grey_levels() -> None:
    grey = np.full((50, 70, 3), 100, dtype=np.uint8)
    assert np.linalg.norm(fingerprint(grey) - fingerprint(grey + 8)) == pytest.approx(8, abs=0.01)


def test_a_copy_lies_nearer_than_any_stranger() -> None:
    images = layouts.drawings(120)
    prints = np.stack([fingerprint(pixels_of(image.jpeg)) for image in images])
    copies = np.stack([fingerprint(pixels_of(encode(pixels_of(i.jpeg), "JPEG", quality=40))) for i in images[:30]])
    distance = np.linalg.norm(copies[:, None] - prints[None], axis=2)
    assert distance.argmin(axis=1).tolist() == list(range(30))
    others = np.where(np.eye(30, 120, dtype=bool), np.inf, distance)
    assert distance.min(axis=1).max() < 4 < 6 < others.min()


def command(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "training", "scan", *map(str, arguments)], capture_output=True, text=True, timeout=120
    )


def test_the_command_lists_problems_as_lines_and_says_so_by_its_exit_code(folder: Path) -> None:
    shutil.copy(some(folder, "train"), folder / "test" / "dress" / "leak.jpg")
    ran = command("folder", folder, "--json")
    assert ran.returncode == 3, ran.stderr
    lines = [json.loads(line) for line in ran.stdout.splitlines()]
    assert lines[-1] == {"images": 121, "problems": {"leak_identical": 1}}
    problem = next(line["problem"] for line in lines if "problem" in line)
    assert problem["path"] == str(folder / "test" / "dress" / "leak.jpg")
    assert problem["reason"] == "the same bytes in `test` as in `train`"
    assert {"split": "train", "label": "shorts", "images": 8} in [line.get("count") for line in lines]


def test_the_command_shows_counts_and_problems_to_people(folder: Path) -> None:
    sound = command("folder", folder)
    assert sound.returncode == 0, sound.stderr
    assert "t-shirt" in sound.stdout
    assert "no problem found" in sound.stderr
    for image in (folder / "train" / "shorts").iterdir():
        image.write_bytes(b"broken")
    for n in range(4):
        some(folder, "train", "hat", n).write_bytes(b"broken")
    bad = command("folder", folder)
    assert bad.returncode == 3
    assert "unreadable: 2 more; --all lists them" in bad.stdout
    assert bad.stdout.count("unreadable: " + str(folder)) == 10
    assert command("folder", folder, "--all").stdout.count("unreadable: " + str(folder)) == 12


def test_a_wrong_source_or_folder_is_one_line(tmp_path: Path) -> None:
    for arguments, message in (
        (("imagenet", tmp_path), "no source 'imagenet'; there are"),
        (("inshop", tmp_path), "is no DeepFashion in-shop folder"),
        (("folder",), "needs a folder"),
    ):
        ran = command(*arguments)
        assert ran.returncode == 1
        assert message.replace(" ", "") in "".join(ran.stderr.split())
        assert "Traceback" not in ran.stderr


def usable(folder: Path) -> DataSet:
    return load_data_set(DataConfig(source="folder", folder=str(folder)))


def only(data: DataSet, keep: Callable[[Record], bool]) -> DataSet:
    return replace(data, records=tuple(r for r in data.records if keep(r)))


def test_sound_layouts_are_usable(tmp_path: Path) -> None:
    layouts.write_deepfashion(tmp_path / "d")
    layouts.write_inshop(tmp_path / "i")
    for source, name in (("deepfashion", "d"), ("inshop", "i")):
        check_usable(
            load_data_set(DataConfig(source=source, folder=str(tmp_path / name), holdout_share=0.2))  # type: ignore[arg-type]
        )


def test_an_empty_split_is_refused(folder: Path) -> None:
    data = usable(folder)
    check_usable(data)
    for keep, message in (
        (lambda r: r.split != "train", "the split `train` is empty"),
        (lambda r: r.split in ("train", "test"), "`holdout` and `validation` are empty"),
    ):
        with pytest.raises(ConfigurationError, match=message):
            check_usable(only(data, keep))
    queries = tuple(replace(r, split="query") if r.split == "test" else r for r in data.records)
    with pytest.raises(ConfigurationError, match="the split `gallery` is empty, but `query` is not"):
        check_usable(replace(data, records=queries))


def test_a_class_with_one_image_is_refused_until_it_is_masked(folder: Path) -> None:
    lonely = folder / "train" / "tie"
    lonely.mkdir()
    shutil.copy(some(folder, "train"), lonely / "one.jpg")
    data = usable(folder)
    with pytest.raises(ConfigurationError, match=r"'tie' has one training image \(1 in all splits\): add images"):
        check_usable(data)
    masked = masked_small_classes(data, 2)
    check_usable(masked)
    assert next(r for r in masked.records if r.name.endswith("one.jpg")).category is None
    assert masked.labels == data.labels


def test_a_class_that_is_measured_but_not_learned_is_refused(folder: Path) -> None:
    shutil.rmtree(folder / "train" / "hat")
    with pytest.raises(ConfigurationError, match="'hat' has no training image"):
        check_usable(usable(folder))


def test_a_declared_class_that_no_image_has_is_no_fault(folder: Path) -> None:
    data = usable(folder)
    check_usable(replace(data, labels=(*data.labels, "halter")))


def test_data_without_a_label_is_refused() -> None:
    record = Record(name="a", source="x", split="train", group="a", category=None, trust=0.0, data=b"")
    with pytest.raises(ConfigurationError, match="none of the 1 training images has a category, attributes, a box"):
        check_usable(DataSet(records=(record, replace(record, name="b", split="validation"))))


def test_data_of_which_no_image_can_be_read_is_refused(folder: Path) -> None:
    data = usable(folder)
    images = [r.path for r in data.records if r.split == "train" and r.path is not None]
    for path in images[:-1]:
        path.unlink()
    check_usable(data)
    images[-1].write_bytes(b"nothing")
    with pytest.raises(ConfigurationError, match=r"none of \d+ training images can be read \(.*No such file"):
        check_usable(data)


def test_boxes_keep_within_the_image() -> None:
    assert share_box((0, 0, 101, 50), (100, 50)) == (0, 0, 1, 1)
    for box, message in (
        ((0, 0, 102, 50), "2 pixels outside the 100 x 50 image"),
        ((-9, 0, 50, 50), "9 pixels outside"),
        ((5, 5, 5, 9), "no area"),
        ((5, 5, float("nan"), 9), "finite"),
        ((100, 0, 101, 50), "outside the image"),
    ):
        with pytest.raises(ValueError, match=message):
            share_box(box, (100, 50))
