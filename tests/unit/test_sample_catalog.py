"""The sample catalog as a stream of pictures: the same from the same seed, and true to what it says about itself."""

from __future__ import annotations

import hashlib
import itertools
from collections import Counter

import cv2
import numpy as np
import pytest
import simplejpeg

from schemas.taxonomy import Category
from workers.errors import ContractError
from workers.sample.catalog import SampleImage, draw
from workers.sample.pose import sit
from workers.sample.products import ATTRIBUTES, COLOURS, PATTERNS, product, stream
from workers.sample.studio import photograph, silhouette, wardrobe

SOME = 60


@pytest.fixture(scope="module")
def some() -> list[SampleImage]:
    return list(draw(images=SOME, seed=7))


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(some: list[SampleImage]) -> None:
    again = list(draw(images=SOME, seed=7))
    assert again == some
    other = list(draw(images=SOME, seed=8))
    assert not {image.jpeg for image in some} & {image.jpeg for image in other}


def test_fewer_images_are_a_prefix_of_more(some: list[SampleImage]) -> None:
    for count in (1, 2, 7, 23):
        assert list(draw(images=count, seed=7)) == some[:count]


def test_a_product_is_drawn_alike_whatever_was_drawn_before(some: list[SampleImage]) -> None:
    """What makes the work divisible among processes: a product depends on its seed and index alone."""
    index = 5
    item = product(7, index)
    pixels = photograph(sit(item, 7, 1, 384, 512), wardrobe(item, 7), 7, 1)
    jpeg = simplejpeg.encode_jpeg(pixels, quality=85, colorspace="RGB", colorsubsampling="420", fastdct=True)
    assert jpeg in [image.jpeg for image in some if image.product_id == item.product_id]


def test_pictures_are_jpegs_of_the_size_they_state(some: list[SampleImage]) -> None:
    for image in some:
        height, width, _, _ = simplejpeg.decode_jpeg_header(image.jpeg)
        assert (width, height) == (image.width, image.height) == (384, 512)
    small = next(iter(draw(images=1, width=161, height=97)))
    assert simplejpeg.decode_jpeg_header(small.jpeg)[:2] == (97, 161)
    large = next(iter(draw(images=1, width=1500, height=1100)))
    assert simplejpeg.decode_jpeg_header(large.jpeg)[:2] == (1100, 1500)


def test_keys_are_unique_and_vocabularies_closed(some: list[SampleImage]) -> None:
    assert len({image.key for image in some}) == SOME
    for image in some:
        assert image.key == f"images/{image.category}/{image.product_id}_{image.view}.jpg"
        assert image.category in set(Category)
        assert image.colour in COLOURS
        assert image.pattern in PATTERNS
        assert set(image.attributes) <= set(ATTRIBUTES)
        assert image.split in ("train", "validation", "test")
        assert image.price > 0
        assert image.currency == "EUR"


def test_views_of_a_product_agree_on_everything_but_the_picture() -> None:
    images = list(draw(images=90, seed=3))
    views: list[int] = []
    for _, group in itertools.groupby(images[:-4], key=lambda image: image.product_id):
        members = list(group)
        views.append(len(members))
        facts = {(i.category, i.colour, i.pattern, i.attributes, i.brand, i.price, i.title, i.split) for i in members}
        assert len(facts) == 1
        assert len({i.view for i in members}) == len(members)
        assert members[0].view == "front"
    assert set(views[:-1]) == {2, 3, 4}


def test_ten_products_in_a_row_cover_the_ten_categories() -> None:
    for block in range(5):
        assert {product(1, block * 10 + i).category for i in range(10)} == set(Category)


def test_colours_patterns_and_splits_are_spread() -> None:
    items = [product(2, index) for index in range(1000)]
    splits = Counter(item.split for item in items)
    assert 0.74 < splits["train"] / 1000 < 0.86
    assert splits["validation"] > 60
    assert splits["test"] > 60
    assert {item.colour for item in items} == set(COLOURS)
    assert {item.pattern for item in items} == set(PATTERNS)
    assert {value for item in items for value in item.attributes} <= set(ATTRIBUTES)
    assert 0.75 < sum(item.in_stock for item in items) / 1000 < 0.95


@pytest.mark.parametrize("place", range(10))
def test_the_box_encloses_the_garment_tightly(place: int) -> None:
    for index in (place, 10 + place):
        item = product(7, index)
        for number in range(len(item.views)):
            sitting = sit(item, 7, number, 384, 512)
            x, y, w, h = cv2.boundingRect((silhouette(sitting) > 127).astype(np.uint8))
            x1, y1, x2, y2 = sitting.box
            assert x1 <= x
            assert y1 <= y
            assert x2 >= x + w
            assert y2 >= y + h
            assert max(x - x1, y - y1, x2 - x - w, y2 - y - h) <= 4


def test_nothing_of_the_cloth_is_painted_outside_its_box() -> None:
    """Dye the same garment otherwise: pixels outside the box must not notice."""
    for index in range(20):
        item = product(7, index)
        sitting = sit(item, 7, 0, 384, 512)
        clothes = wardrobe(item, 7)
        before = photograph(sitting, clothes, 7, 0).astype(int)
        dyed = type(clothes)(
            fabric=255 - clothes.fabric,
            colours={cloth: (255 - r, 255 - g, 255 - b) for cloth, (r, g, b) in clothes.colours.items()},
            print_mask=clothes.print_mask,
            print_colour=clothes.print_colour,
        )
        change = np.abs(photograph(sitting, dyed, 7, 0).astype(int) - before).max(axis=2)
        x1, y1, x2, y2 = sitting.box
        assert change[y1:y2, x1:x2].max() > 20, item.title
        change[y1 - 2 if y1 > 2 else 0 : y2 + 2, x1 - 2 if x1 > 2 else 0 : x2 + 2] = 0
        assert change.max() == 0, item.title


def test_every_builder_draws_every_cut_front_and_back() -> None:
    for index in range(250):
        item = product(11, index)
        for number in range(len(item.views)):
            sitting = sit(item, 11, number, 384, 512)
            x1, y1, x2, y2 = sitting.box
            assert x2 - x1 > 60, (item.title, sitting.view, sitting.box)
            assert y2 - y1 > 40, (item.title, sitting.view, sitting.box)
            assert all(np.isfinite(outline).all() for outline in sitting.placed)


def test_streams_of_products_and_purposes_differ() -> None:
    drawn = {float(stream(7, index, purpose).random()) for index in range(30) for purpose in range(6)}
    assert len(drawn) == 180


def test_the_facts_of_the_default_seed_are_those_the_drawing_version_promises() -> None:
    """When this digest changes on purpose, raise `DRAWING`: folders of the older drawing cannot be extended."""
    facts = [
        (p.category.value, p.colour, p.pattern, p.price, p.title, p.split, p.views)
        for p in (product(7, i) for i in range(50))
    ]
    assert hashlib.sha256(repr(facts).encode()).hexdigest()[:16] == "c7bc9b6440a5c23e"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"images": 0}, "at least one image"),
        ({"images": 3, "seed": -1}, "seed"),
        ({"images": 3, "width": 10}, "64 to 4096"),
        ({"images": 3, "height": 100_000}, "64 to 4096"),
    ],
)
def test_senseless_arguments_are_refused_at_once(arguments: dict[str, int], words: str) -> None:
    with pytest.raises(ContractError, match=words):
        draw(**arguments)
