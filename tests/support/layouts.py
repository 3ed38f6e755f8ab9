"""Tiny folders in the exact layouts of the public data sets, filled with drawings whose labels are known."""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal

from workers.sample.catalog import SampleImage, draw

SEED = 11
WIDTH, HEIGHT = 120, 160
CATEGORIES = (
    ("Dress", 3),
    ("Hat", 1),
    ("Longsleeve", 1),
    ("Outwear", 1),
    ("Pants", 2),
    ("Shirt", 1),
    ("Shoes", 2),
    ("Shorts", 2),
    ("Skirt", 2),
    ("T shirt", 1),
)
"""As `list_category_cloth.txt` has them: a name, which may hold blanks, and 1 upper, 2 lower or 3 full body."""
ATTRIBUTES = (
    ("striped", 1),
    ("denim", 2),
    ("crew neck", 4),
    ("long sleeve", 4),
    ("a-line", 3),
    ("short sleeve", 4),
)
"""As `list_attr_cloth.txt` has them, some of more than one word."""


@dataclass(frozen=True)
class Placed:
    """A drawing with the name and the split it has in a layout."""

    name: str
    split: str
    image: SampleImage


@lru_cache(maxsize=4)
def drawings(images: int) -> tuple[SampleImage, ...]:
    """Small ones, drawn once a process."""
    return tuple(draw(images=images, seed=SEED, width=WIDTH, height=HEIGHT))


def split_of(images: Sequence[SampleImage]) -> dict[str, str]:
    """A split for each product: of every category the first two train, then validation, test, train again."""
    seen: Counter[str] = Counter()
    splits: dict[str, str] = {}
    for image in images:
        if image.product_id not in splits:
            splits[image.product_id] = ("train", "train", "validation", "test")[seen[image.category] % 4]
            seen[image.category] += 1
    return splits


def write_deepfashion(folder: Path, *, images: int = 120, notes: str = "Anno") -> list[Placed]:
    """Category and attribute prediction. Every third image's second attribute is unknown."""
    drawn = drawings(images)
    splits = split_of(drawn)
    placed = [
        Placed(
            f"img/Drawn_{image.category}_{image.product_id}/img_{i:08d}.jpg",
            splits[image.product_id].replace("validation", "val"),
            image,
        )
        for i, image in enumerate(drawn, 1)
    ]
    _save(folder, placed)
    names = [name for name, _ in CATEGORIES]
    categories = ((p.name, 1 + names.index(p.image.category.capitalize().replace("-", " "))) for p in placed)
    attributes = ((p.name, "  ".join(map(str, signs(p.image, i)))) for i, p in enumerate(placed))
    marks = ((p.name, 1, "0 40 20  0 80 20  1 0 0") for p in placed)
    anno = folder / notes
    _list(anno / "list_category_cloth.txt", "category_name  category_type", CATEGORIES)
    _list(anno / "list_category_img.txt", "image_name  category_label", categories)
    _list(anno / "list_attr_cloth.txt", "attribute_name  attribute_type", ATTRIBUTES)
    _list(anno / "list_attr_img.txt", "image_name  attribute_labels", attributes)
    _list(anno / "list_bbox.txt", "image_name  x_1  y_1  x_2  y_2", ((p.name, *p.image.box) for p in placed))
    _list(anno / "list_landmarks.txt", "image_name  clothes_type  landmark_visibility_1 ...", marks)
    partition = ((p.name, p.split) for p in placed)
    _list(folder / "Eval" / "list_eval_partition.txt", "image_name  evaluation_status", partition)
    return placed


def signs(image: SampleImage, number: int) -> list[int]:
    """What `list_attr_img.txt` says of an image: 1, -1, and for every third image 0 in the second place."""
    has = {name.replace("-", " ") for name in (*image.attributes, image.pattern)}
    found = [1 if name.replace("-", " ") in has else -1 for name, _ in ATTRIBUTES]
    if number % 3 == 0:
        found[1] = 0
    return found


def write_inshop(folder: Path, *, images: int = 120) -> list[Placed]:
    """In-shop retrieval: of each category's products two train, the others are a query and a gallery."""
    drawn = drawings(images)
    splits = split_of(drawn)
    views = Counter(image.product_id for image in drawn)
    asked: set[str] = set()
    placed = []
    for image in drawn:
        item = f"id_{int(image.product_id[1:]):08d}"
        split = "train"
        if splits[image.product_id] != "train" and views[image.product_id] > 1:
            split = "gallery" if item in asked else "query"
            asked.add(item)
        name = f"img/WOMEN/{image.category.capitalize()}/{item}/01_{len(placed) % 7}_{image.view}.jpg"
        placed.append(Placed(name, split, image))
    _save(folder, placed)
    rows = ((p.name, Path(p.name).parent.name, p.split) for p in placed)
    _list(folder / "Eval" / "list_eval_partition.txt", "image_name item_id evaluation_status", rows)
    boxes = ((p.name, 1, 2, *p.image.box) for p in placed)
    header = "image_name  clothes_type  pose_type  x_1  y_1  x_2  y_2"
    _list(folder / "Anno" / "list_bbox_inshop.txt", header, boxes)
    return placed


def write_seed(folder: Path, *, form: Literal["pixels", "shares"], images: int = 120) -> list[Placed]:
    """The seed project's CSV, as it was given (`pixels`) or as its preprocessing wrote it (`shares`)."""
    drawn = drawings(images)
    splits = split_of(drawn)
    placed = [Placed(f"img/{i.product_id}/{Path(i.key).name}", splits[i.product_id], i) for i in drawn]
    _save(folder, placed)
    box = ["x1", "y1", "x2", "y2"] if form == "pixels" else [f"{s}_modified" for s in ("x1", "y1", "x2", "y2")]
    scale = (1, 1, 1, 1) if form == "pixels" else (WIDTH, HEIGHT, WIDTH, HEIGHT)
    with (folder / "seed.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["image_path", "category", *box])
        for p in placed:
            table.writerow([p.name, p.image.category, *(v / s for v, s in zip(p.image.box, scale, strict=True))])
    return placed


def write_image_folders(folder: Path, *, splits: bool, images: int = 120) -> list[Placed]:
    """`<split>/<label>/<image>`, or `<label>/<product>/<image>` without splits."""
    drawn = drawings(images)
    chosen = split_of(drawn)
    placed = []
    for image in drawn:
        split, file = chosen[image.product_id], Path(image.key).name
        name = f"{split}/{image.category}/{file}" if splits else f"{image.category}/{image.product_id}/{file}"
        placed.append(Placed(name, split, image))
    _save(folder, placed)
    return placed


def write_manifest(folder: Path, *, form: Literal["csv", "jsonl", "parquet"], images: int = 120) -> list[Placed]:
    """A product manifest beside its images; every fifth product has no category."""
    placed = [Placed(image.key, "", image) for image in drawings(images)]
    _save(folder, placed)
    rows: list[dict[str, object]] = [
        {
            "image": p.name,
            "product_id": p.image.product_id,
            "category": None if int(p.image.product_id[1:]) % 5 == 0 else p.image.category,
            "brand": p.image.brand,
            "price": p.image.price,
        }
        for p in placed
    ]
    if form == "csv":
        with (folder / "manifest.csv").open("w", newline="", encoding="utf-8") as file:
            table = csv.DictWriter(file, list(rows[0]), delimiter=";")
            table.writeheader()
            table.writerows(rows)
    elif form == "jsonl":
        (folder / "manifest.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    else:
        import pyarrow as pa
        import pyarrow.parquet as pq

        pq.write_table(pa.Table.from_pylist(rows), folder / "manifest.parquet")
    return placed


def _save(folder: Path, placed: Iterable[Placed]) -> None:
    for p in placed:
        path = folder / p.name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(p.image.jpeg)


def _list(path: Path, header: str, rows: Iterable[Sequence[object]]) -> None:
    """A list file: the number of rows, the header, then names padded to one width, as the published files are."""
    found = list(rows)
    width = max(len(str(row[0])) for row in found) + 1
    lines = [str(row[0]).ljust(width) + " " + "  ".join(map(str, row[1:])) for row in found]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join([str(len(found)), header, *lines]) + "\n", encoding="utf-8")
