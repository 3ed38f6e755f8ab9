"""Every reader on a tiny folder in the exact layout of its data set."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.support import layouts
from tests.support.images import encode, exif, picture
from training.config import DataConfig
from training.datasets.attributes import Attributes
from training.datasets.boxes import image_sizes
from training.datasets.deepfashion import read_deepfashion
from training.datasets.drawn import read_drawn
from training.datasets.folders import read_folder
from training.datasets.inshop import read_inshop
from training.datasets.lists import read_attribute_rows
from training.datasets.record import DataSet, Record
from training.datasets.sources import load_data_set, read_source
from training.datasets.tabular import read_manifest, read_seed
from workers.errors import ConfigurationError


def by_name(data: DataSet) -> dict[str, Record]:
    return {record.name: record for record in data.records}


def true_box(image: layouts.SampleImage) -> tuple[float, ...]:
    x1, y1, x2, y2 = image.box
    return x1 / image.width, y1 / image.height, x2 / image.width, y2 / image.height


@pytest.mark.parametrize("notes", ["Anno", "Anno_coarse"])
def test_deepfashion_gives_back_what_was_written(tmp_path: Path, notes: str) -> None:
    placed = layouts.write_deepfashion(tmp_path, notes=notes)
    data = read_deepfashion(tmp_path)
    assert data.labels == tuple(name for name, _ in layouts.CATEGORIES)
    assert data.attributes == tuple(name for name, _ in layouts.ATTRIBUTES)
    assert data.attribute_groups == ("texture", "fabric", "part", "part", "shape", "part")
    assert "non-commercial" in data.licence
    assert data.flaws == ()
    assert [r.name for r in data.records] == [p.name for p in placed]
    ours = {-1: 0, 0: -1, 1: 1}
    for i, (record, p) in enumerate(zip(data.records, placed, strict=True)):
        assert record.category is not None
        assert data.labels[record.category].lower().replace(" ", "-") == p.image.category
        assert record.split == {"train": "train", "val": "validation", "test": "test"}[p.split]
        assert record.attributes is not None
        assert list(record.attributes) == [ours[sign] for sign in layouts.signs(p.image, i)]
        assert record.box == pytest.approx(true_box(p.image))
        assert record.group == str(Path(p.name).parent)
        assert record.product is None
        assert record.read() == p.image.jpeg


def test_deepfashion_masks_what_a_list_does_not_say(tmp_path: Path) -> None:
    placed = layouts.write_deepfashion(tmp_path, images=20)
    (tmp_path / "Anno" / "list_bbox.txt").unlink()
    (tmp_path / "Anno" / "list_attr_img.txt").unlink()
    categories = tmp_path / "Anno" / "list_category_img.txt"
    lines = categories.read_text().splitlines()
    categories.write_text("\n".join(["19", *lines[1:-1]]) + "\n")
    data = read_deepfashion(tmp_path)
    last = by_name(data)[placed[-1].name]
    assert (last.category, last.trust, last.labelled) == (None, 0.0, False)
    assert all(r.box is None and r.attributes is None for r in data.records)
    assert sum(r.category is not None for r in data.records) == 19


def test_deepfashion_names_the_labels_and_boxes_it_leaves_out(tmp_path: Path) -> None:
    placed = layouts.write_deepfashion(tmp_path, images=20)
    boxes = tmp_path / "Anno" / "list_bbox.txt"
    lines = boxes.read_text().splitlines()
    lines[2] = f"{placed[0].name}   10 10  500  90"
    lines[3] = f"{placed[1].name}   60 10  60  90"
    lines[4] = f"{placed[2].name}   1 1 {layouts.WIDTH + 1} {layouts.HEIGHT}"
    boxes.write_text("\n".join(lines))
    categories = tmp_path / "Anno" / "list_category_img.txt"
    lines = categories.read_text().splitlines()
    lines[5] = f"{placed[3].name}   11"
    categories.write_text("\n".join(lines))
    data = read_deepfashion(tmp_path)
    found = by_name(data)
    assert [(f.kind, f.name) for f in data.flaws] == [
        ("label", placed[3].name),
        ("box", placed[0].name),
        ("box", placed[1].name),
    ]
    assert "list_bbox.txt, line 3" in data.flaws[1].reason
    assert "380 pixels outside the 120 x 160 image" in data.flaws[1].reason
    assert "no area" in data.flaws[2].reason
    assert found[placed[0].name].box is None
    assert found[placed[3].name].category is None
    edge = found[placed[2].name].box
    assert edge is not None
    assert edge[2:] == (1.0, 1.0), "a pixel too far is a way of counting, not an error"


@pytest.mark.parametrize(
    ("file", "change", "message"),
    [
        (
            "Eval/list_eval_partition.txt",
            lambda t: t.replace("  train", "  trian"),
            "'trian' is none of the splits",
        ),
        ("Eval/list_eval_partition.txt", lambda t: t.replace("20\n", "21\n", 1), "states 21 rows and has 20"),
        ("Eval/list_eval_partition.txt", lambda t: "image_name status\n" + t, "line 1: the number of rows"),
        ("Anno/list_attr_img.txt", lambda t: t.replace("  -1", "  -2", 1), "line 3: a name and 6 values of -1, 0 or 1"),
        ("Anno/list_attr_img.txt", lambda t: t.replace("  -1", "", 2), "line [0-9]+: a name and 6 values"),
        ("Anno/list_bbox.txt", lambda t: t.rsplit("\n", 2)[0], "states 20 rows and has 19"),
    ],
)
def test_a_damaged_list_is_refused_with_file_and_line(tmp_path: Path, file: str, change: object, message: str) -> None:
    layouts.write_deepfashion(tmp_path, images=20)
    path = tmp_path / file
    path.write_text(change(path.read_text()))  # type: ignore[operator]
    with pytest.raises(ConfigurationError, match=message) as refused:
        read_deepfashion(tmp_path)
    assert Path(file).name in str(refused.value)


def test_names_and_attributes_may_hold_blanks(tmp_path: Path) -> None:
    path = tmp_path / "list_attr_img.txt"
    path.write_text("2\nimage_name attribute_labels\nimg/a b 1/x 1.jpg   1 0  -1 \r\nimg/c.jpg -1 -1 -1\n")
    rows = [(name, list(packed)) for name, packed in read_attribute_rows(path, attributes=3)]
    assert rows == [("img/a b 1/x 1.jpg", [1, -1, 0]), ("img/c.jpg", [0, 0, 0])]


def test_a_folder_of_another_kind_is_refused(tmp_path: Path) -> None:
    for read in (read_deepfashion, read_inshop):
        with pytest.raises(ConfigurationError, match=r"list_eval_partition\.txt is missing"):
            read(tmp_path)


def test_inshop_gives_back_what_was_written(tmp_path: Path) -> None:
    placed = layouts.write_inshop(tmp_path)
    data = read_inshop(tmp_path)
    assert data.flaws == ()
    assert data.labels == tuple(sorted(f"WOMEN/{name}" for name in {p.image.category.capitalize() for p in placed}))
    for record, p in zip(data.records, placed, strict=True):
        assert record.category is not None
        assert data.labels[record.category] == f"WOMEN/{p.image.category.capitalize()}"
        assert (record.name, record.split) == (p.name, p.split)
        assert record.product == record.group == Path(p.name).parent.name
        assert record.box == pytest.approx(true_box(p.image))
    splits = {s: {r.product for r in data.records if r.split == s} for s in ("train", "query", "gallery")}
    assert splits["query"] == splits["gallery"], "each query has its item in the gallery"
    assert splits["train"].isdisjoint(splits["query"])


@pytest.mark.parametrize("form", ["pixels", "shares"])
def test_both_forms_of_the_seed_csv_say_the_same(tmp_path: Path, form: str) -> None:
    placed = layouts.write_seed(tmp_path, form=form)  # type: ignore[arg-type]
    data = read_seed(tmp_path)
    assert data.flaws == ()
    for record, p in zip(data.records, placed, strict=True):
        assert record.category is not None
        assert data.labels[record.category] == p.image.category
        assert record.box == pytest.approx(true_box(p.image))
        assert record.group == f"folder-img/{p.image.product_id}"
    assert {r.split for r in data.records} == {"train", "validation", "test"}
    assert_groups_whole(data)


def assert_groups_whole(data: DataSet) -> None:
    splits: dict[str, set[str]] = {}
    for record in data.records:
        splits.setdefault(record.group, set()).add(record.split)
    assert {len(found) for found in splits.values()} == {1}


def test_tables_named_after_splits_give_the_split(tmp_path: Path) -> None:
    for name, image in (("train", "a.jpg"), ("val", "b.jpg"), ("test", "c.jpg")):
        (tmp_path / f"{name}.csv").write_text(f"image_path,category\n{image},dress\n")
    assert {r.name: r.split for r in read_seed(tmp_path).records} == {
        "a.jpg": "train",
        "b.jpg": "validation",
        "c.jpg": "test",
    }


def test_bad_rows_of_a_table_are_named_and_the_rest_is_read(tmp_path: Path) -> None:
    (tmp_path / "seed.csv").write_text(
        "image_path,category,x1_modified,y1_modified,x2_modified,y2_modified\n"
        "a.jpg,dress,0.1,0.1,0.5,0.5\n"
        "b.jpg,dress,0.1,0.1,1.5,0.5\n"
        "a.jpg,hat,,,,\n"
        ",hat,,,,\n"
        "c.jpg,,0.1,zero,0.5,0.5\n"
        "d.jpg,,0.1,,0.5,0.5\n"
        "e.jpg,hat,,,,\n"
    )
    data = read_seed(tmp_path)
    assert [(f.kind, f.name) for f in data.flaws] == [
        ("box", "b.jpg"),
        ("row", "a.jpg"),
        ("row", "seed.csv"),
        ("box", "c.jpg"),
        ("box", "d.jpg"),
    ]
    assert "line 4: the image is named twice, first in seed.csv, line 2" in data.flaws[1].reason
    found = by_name(data)
    assert sorted(found) == ["a.jpg", "b.jpg", "c.jpg", "d.jpg", "e.jpg"]
    assert found["a.jpg"].box == (0.1, 0.1, 0.5, 0.5)
    assert (found["c.jpg"].category, found["c.jpg"].labelled) == (None, False)
    assert found["e.jpg"].box is None


@pytest.mark.parametrize("form", ["csv", "jsonl", "parquet"])
def test_manifests_give_products_and_mask_missing_categories(tmp_path: Path, form: str) -> None:
    placed = layouts.write_manifest(tmp_path, form=form)  # type: ignore[arg-type]
    data = read_manifest(tmp_path)
    assert data.flaws == ()
    for record, p in zip(data.records, placed, strict=True):
        assert record.product == p.image.product_id
        wanted = None if int(p.image.product_id[1:]) % 5 == 0 else p.image.category
        assert (None if record.category is None else data.labels[record.category]) == wanted
        assert record.trust == (0.0 if wanted is None else 1.0)
        assert record.attributes is None
        assert record.box is None
        assert record.path == tmp_path / p.image.key
    assert_groups_whole(data)
    assert {r.split for r in data.records} == {"train", "validation", "test"}


def test_the_annotations_of_the_sample_catalog_are_a_manifest(tmp_path: Path) -> None:
    from workers.sample.catalog import write

    write(tmp_path, images=6, seed=3)
    read = {r.name: r for r in read_manifest(tmp_path / "annotations.csv").records}
    drawn = {r.name: r for r in read_drawn(images=6, seed=3).records}
    assert {n: (r.box, r.product, r.split) for n, r in read.items()} == {
        n: (r.box, r.product, r.split) for n, r in drawn.items()
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("image,category\na.jpg\n", "line 2: 1 fields where the header has 2"),
        ('image,category\n"a.jpg,hat\n', "badly quoted"),
        ("picture,category\na.jpg,hat\n", "names no image: a column `image`"),
        ("image,split\na.jpg,tarin\n", "line 2: 'tarin' is no split; there are: train"),
        ("", "names no image"),
    ],
)
def test_a_table_that_cannot_be_used_is_refused_in_one_line(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "manifest.csv").write_text(text)
    with pytest.raises(ConfigurationError, match=message) as refused:
        read_manifest(tmp_path)
    assert "\n" not in str(refused.value)


def test_tables_of_other_kinds_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="holds no table"):
        read_manifest(tmp_path)
    with pytest.raises(ConfigurationError, match="there is no table at"):
        read_manifest(tmp_path / "manifest.csv")
    (tmp_path / "rows.parquet").write_bytes(b"PAR0 not really")
    with pytest.raises(ConfigurationError, match="no sound Parquet file"):
        read_manifest(tmp_path)
    (tmp_path / "more.jsonl").write_text('{"image": "a.jpg"}\n[1]\n')
    with pytest.raises(ConfigurationError, match=r"holds more\.jsonl, rows\.parquet; name the table to use"):
        read_manifest(tmp_path)
    with pytest.raises(ConfigurationError, match="line 2 is no JSON object"):
        read_manifest(tmp_path / "more.jsonl")


def test_image_folders_with_splits(tmp_path: Path) -> None:
    placed = layouts.write_image_folders(tmp_path, splits=True)
    (tmp_path / "train" / "dress" / "notes.txt").write_text("no image")
    found = by_name(read_folder(tmp_path))
    data = read_folder(tmp_path)
    assert {n: (data.labels[r.category or 0], r.split) for n, r in found.items()} == {
        p.name: (p.image.category, p.split) for p in placed
    }


def test_image_folders_without_splits_keep_inner_folders_together(tmp_path: Path) -> None:
    placed = layouts.write_image_folders(tmp_path, splits=False)
    data = read_folder(tmp_path)
    assert len(data.records) == len(placed)
    assert {r.group for r in data.records} == {f"{p.image.category}/{p.image.product_id}" for p in placed}
    assert_groups_whole(data)
    assert {r.split for r in data.records} == {"train", "validation", "test"}
    assert data.records == read_folder(tmp_path).records


def test_image_folders_that_cannot_be_used_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="there is no folder"):
        read_folder(tmp_path / "none")
    with pytest.raises(ConfigurationError, match="holds no image in a folder named after its label"):
        read_folder(tmp_path)
    layouts.write_image_folders(tmp_path, splits=True, images=20)
    (tmp_path / "val").mkdir()
    with pytest.raises(ConfigurationError, match=r"the split .*val holds no image"):
        read_folder(tmp_path)
    (tmp_path / "val").rmdir()
    (tmp_path / "extra").mkdir()
    (tmp_path / "extra" / "x.jpg").write_bytes(b"")
    with pytest.raises(ConfigurationError, match=r"holds splits \(train\) beside other folders with images \(extra\)"):
        read_folder(tmp_path)


def test_sizes_are_of_the_upright_image(tmp_path: Path) -> None:
    (tmp_path / "turned.jpg").write_bytes(encode(picture(60, 40), "JPEG", exif=exif(6)))
    (tmp_path / "plain.png").write_bytes(encode(picture(60, 40), "PNG"))
    (tmp_path / "broken.jpg").write_bytes(b"\xff\xd8 no more")
    names = ("turned.jpg", "plain.png", "broken.jpg", "absent.jpg")
    assert list(image_sizes(tmp_path / name for name in names)) == [(40, 60), (60, 40), None, None]


def test_drawings_carry_boxes_attributes_and_products() -> None:
    data = read_drawn(images=30, seed=5)
    assert len(data.attributes) == len(data.attribute_groups) == len(set(data.attributes))
    assert {"turtleneck", "striped", "navy"} <= set(data.attributes)
    drawn = {image.key: image for image in layouts.draw(images=30, seed=5)}
    for record in data.records:
        image = drawn[record.name]
        assert record.box == pytest.approx(true_box(image))
        assert record.product == image.product_id
        values = np.asarray(record.attributes)
        present = {data.attributes[i] for i in np.flatnonzero(values == 1)}
        assert present == {*image.attributes, image.pattern, image.colour}
        assert set(values.tolist()) <= {0, 1}


def test_attributes_are_a_small_sequence() -> None:
    values = np.random.default_rng(0).integers(-1, 2, 1000)
    packed = Attributes.pack(values)
    assert list(packed) == values.tolist()
    assert packed[3:7] == tuple(values[3:7].tolist())
    assert packed[-1] == values[-1]
    assert len(packed) == 1000
    assert np.asarray(packed, dtype=np.float32).tolist() == values.tolist()
    assert len(packed.present) + len(packed.known) == 250
    assert Attributes.pack(packed) is packed


def test_every_source_is_loaded_by_its_settings(tmp_path: Path) -> None:
    writers = {
        "deepfashion": layouts.write_deepfashion,
        "inshop": layouts.write_inshop,
        "seed": lambda folder: layouts.write_seed(folder, form="pixels"),
        "folder": lambda folder: layouts.write_image_folders(folder, splits=True),
        "manifest": lambda folder: layouts.write_manifest(folder, form="csv"),
    }
    for source, write in writers.items():
        folder = tmp_path / source
        folder.mkdir()
        write(folder)
        config = DataConfig(source=source, folder=str(folder), holdout_share=0.2)  # type: ignore[arg-type]
        data = load_data_set(config)
        assert {"train", "holdout"} <= {r.split for r in data.records}, source
        train = Counter(r.category for r in data.records if r.split == "train" and r.category is not None)
        assert min(train.values()) >= 2, f"{source}: the holdout leaves every class something to learn from"
        assert {r.source for r in data.records} == {source}
        assert data.digest() == load_data_set(config).digest() != read_source(config).digest()


def test_labels_may_be_mapped_to_the_taxonomy(tmp_path: Path) -> None:
    rows = ("a.jpg,Dress", "b.jpg,Hoodies", "c.jpg,Vase", "d.jpg,", "e.jpg,WOMEN/Skirts")
    (tmp_path / "manifest.csv").write_text("image,category\n" + "\n".join(rows) + "\n")
    config = DataConfig(source="manifest", folder=str(tmp_path), labels="taxonomy", mapped_trust=0.3)
    data = read_source(config)
    found = {n: (None if r.category is None else data.labels[r.category], r.trust) for n, r in by_name(data).items()}
    assert found == {
        "a.jpg": ("dress", 1.0),
        "b.jpg": ("longsleeve", 0.3),
        "c.jpg": (None, 0.0),
        "d.jpg": (None, 0.0),
        "e.jpg": ("skirt", 0.3),
    }
    own = read_source(replace(config, labels="own"))
    assert own.labels == ("Dress", "Hoodies", "Vase", "WOMEN/Skirts")


def test_a_source_without_its_folder_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="the source 'inshop' needs a folder"):
        read_source(DataConfig(source="inshop"))
    with pytest.raises(ConfigurationError, match="no source 'imagenet'; there are: clothing, deepfashion"):
        read_source(DataConfig(source="imagenet", folder="x"))  # type: ignore[arg-type]
