"""The sample catalog in a folder: complete, resumable, extendable, and never on top of something else."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from schemas.taxonomy import map_category
from workers.errors import ConfigurationError, ContractError
from workers.sample.catalog import draw, write


def _state(folder: Path) -> dict[str, tuple[bytes, int]]:
    return {
        str(path.relative_to(folder)): (path.read_bytes(), path.stat().st_mtime_ns)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.suffix == ".jpg"
    }


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as lines:
        return list(csv.DictReader(lines))


def test_a_folder_holds_every_picture_and_row(tmp_path: Path) -> None:
    progress: list[int] = []
    folder = tmp_path / "new" / "shop"
    report = write(folder, images=30, seed=5, on_progress=progress.append)
    drawn = {image.key: image for image in draw(images=30, seed=5)}
    manifest, annotations = _rows(report.manifest), _rows(folder / "annotations.csv")
    assert [row["image"] for row in manifest] == [row["image"] for row in annotations] == list(drawn)
    assert {str(p.relative_to(folder)) for p in folder.rglob("*.jpg")} == set(drawn)
    assert not list(folder.rglob("*.part"))
    for row, notes in zip(manifest, annotations, strict=True):
        image = drawn[row["image"]]
        assert (folder / row["image"]).read_bytes() == image.jpeg
        assert (row["product_id"], row["brand"], row["title"]) == (image.product_id, image.brand, image.title)
        assert float(row["price"]) == image.price
        assert row["currency"] == image.currency
        assert (row["in_stock"] == "true") is image.in_stock
        assert map_category(row["category"]) == image.category
        assert tuple(int(notes[name]) for name in ("x1", "y1", "x2", "y2")) == image.box
        assert (notes["colour"], notes["pattern"], notes["split"]) == (image.colour, image.pattern, image.split)
        assert tuple(filter(None, notes["attributes"].split("|"))) == image.attributes
    assert (report.images, report.products) == (30, len({image.product_id for image in drawn.values()}))
    assert progress == sorted(progress)
    assert progress[-1] == 30


def test_writing_again_touches_no_picture(tmp_path: Path) -> None:
    write(tmp_path, images=12)
    before, manifest = _state(tmp_path), (tmp_path / "manifest.csv").read_bytes()
    write(tmp_path, images=12)
    assert _state(tmp_path) == before
    assert (tmp_path / "manifest.csv").read_bytes() == manifest


def test_an_interrupted_call_is_finished_by_the_next(tmp_path: Path) -> None:
    class StopError(Exception):
        pass

    def stop(done: int) -> None:
        if done >= 6:
            raise StopError

    whole = tmp_path / "whole"
    write(whole, images=15)
    broken = tmp_path / "broken"
    with pytest.raises(StopError):
        write(broken, images=15, on_progress=stop)
    assert not (broken / "manifest.csv").exists()
    write(broken, images=15)
    assert {k: v[0] for k, v in _state(broken).items()} == {k: v[0] for k, v in _state(whole).items()}
    assert (broken / "manifest.csv").read_bytes() == (whole / "manifest.csv").read_bytes()


def test_a_catalog_grows_but_does_not_shrink(tmp_path: Path) -> None:
    write(tmp_path, images=6)
    before = _state(tmp_path)
    write(tmp_path, images=10)
    after = _state(tmp_path)
    assert len(after) == 10
    assert before.items() <= after.items()
    with pytest.raises(ContractError, match="holds 10 sample images, more than 6"):
        write(tmp_path, images=6)


def test_foreign_folders_are_refused_and_left_alone(tmp_path: Path) -> None:
    mine = tmp_path / "holiday.jpg"
    mine.write_bytes(b"not yours")
    with pytest.raises(ContractError, match="holds other things: name a new or empty folder"):
        write(tmp_path, images=3)
    assert [path.name for path in tmp_path.iterdir()] == ["holiday.jpg"]
    with pytest.raises(ContractError, match="is a file"):
        write(mine, images=3)


def test_another_seed_is_refused(tmp_path: Path) -> None:
    write(tmp_path, images=3, seed=1)
    with pytest.raises(ContractError, match="holds the sample catalog of seed 1"):
        write(tmp_path, images=3, seed=2)


def test_a_mark_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "sample.json").write_text('{"seed": "seven"}')
    with pytest.raises(ContractError, match="not a sample catalog's mark"):
        write(tmp_path, images=3)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs a folder that nobody can write to")
def test_an_unwritable_place_is_named() -> None:
    with pytest.raises(ConfigurationError, match="cannot write the sample catalog to"):
        write(Path("/proc/self/sample-catalog"), images=3)
