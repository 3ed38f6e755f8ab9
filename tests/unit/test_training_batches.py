"""Order of records, batches of cached views, and views that are decoded on the fly with their boxes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import simplejpeg
import torch
from hypothesis import given
from hypothesis import strategies as st

from schemas.model_card import Preprocessing
from training.augment import augment_located, crop_to_box
from training.batches import Batch, Part, Source, TrainingSet, Wanted
from training.config import Config, StreamConfig, ViewConfig
from training.datasets.record import Record
from training.order import epoch_order, side_by_side
from training.prefetch import prefetched
from training.recipes import smoke_stream
from training.stream import ImageStream
from training.strong import OPERATIONS, strengthen
from training.teacher import Basis
from training.views import Views
from workers.errors import ConfigurationError
from workers.imaging.limits import DecodeLimits
from workers.imaging.preprocess import prepare

BOX = (0.25, 0.375, 0.625, 0.75)
"""Where the pictures of `pictured` are red."""


def made(name: str, group: str, **changes: object) -> Record:
    record = Record(name=name, source="made", split="train", group=group, category=0, data=b"")
    return replace(record, **changes)  # type: ignore[arg-type]


def pictured(count: int = 12, **changes: object) -> list[Record]:
    """Grey pictures of 128 x 160 with a red rectangle, two of a product."""
    pixels = np.full((160, 128, 3), 90, dtype=np.uint8)
    x1, y1, x2, y2 = (round(share * side) for share, side in zip(BOX, (128, 160, 128, 160), strict=True))
    pixels[y1:y2, x1:x2] = (250, 20, 20)
    jpeg = simplejpeg.encode_jpeg(pixels, quality=98, colorsubsampling="444")
    return [
        made(
            str(i),
            f"g{i}",
            category=i % 10,
            data=jpeg,
            box=BOX,
            product=f"p{i // 2}",
            attributes=(i % 2, -1),
            **changes,
        )
        for i in range(count)
    ]


def reddish(pixels: np.ndarray) -> tuple[float, float, float, float]:
    """The rectangle around the red pixels, in shares."""
    red = (pixels[..., 0].astype(int) - pixels[..., 1]) > 80
    ys, xs = np.nonzero(red)
    height, width = red.shape
    return xs.min() / width, ys.min() / height, (xs.max() + 1) / width, (ys.max() + 1) / height


# ------------------------------------------------------------------------------------------------------------- order


@given(
    products=st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=50),
    together=st.integers(2, 4),
    seed=st.integers(0, 99),
)
def test_products_come_side_by_side_and_nothing_is_lost(products: list[str], together: int, seed: int) -> None:
    records = [made(str(i), "g", product=p) for i, p in enumerate(products)]
    rng = np.random.default_rng(seed)
    order = epoch_order([records], [len(records)], rng)
    found = side_by_side(order, [records], together, rng)
    assert sorted(found) == sorted(order)
    groups = [found[i : i + together] for i in range(0, len(found) // together * together, together)]
    whole = sum(len({records[i].product for _, i in group}) == 1 for group in groups)
    assert whole >= sum(products.count(p) // together for p in set(products))


def test_an_epoch_shows_the_wanted_number_of_each_source() -> None:
    sources = [[made(str(i), "g") for i in range(count)] for count in (10, 6)]
    order = epoch_order(sources, [4, 6], np.random.default_rng(0))
    assert [s for s, _ in order].count(0) == 4
    assert len(set(order)) == 10


def test_an_error_ahead_of_its_use_is_raised_where_the_value_would_have_come() -> None:
    found = prefetched(lambda i: 1 // (2 - i), range(5))
    assert [next(found), next(found)] == [0, 1]
    with pytest.raises(ZeroDivisionError):
        next(found)


# ------------------------------------------------------------------------------------------------------ cached views


def training_set(n: int = 10, views: int = 3, side: int = 16) -> TrainingSet:
    """Views whose left half is bright, with a feature map that says so."""
    pixels = np.zeros((n, views, side, side, 3), dtype=np.uint8)
    pixels[:, :, :, : side // 2] = 200
    positions = np.zeros((n, views, 4, 1), dtype=np.float16)
    positions[:, :, [0, 2]] = 1.0
    pooled = np.zeros((n, views, 4), dtype=np.float16)
    source = Source(
        records=[made(str(i), str(i), category=i % 10) for i in range(n)],
        views=Views(folder=Path(), pixels=pixels, pooled=pooled, positions=positions, probabilities=pooled),
        soft=np.full((n, views, 10), 0.1, dtype=np.float32),
    )
    zeros, ones = np.zeros(4, dtype=np.float32), np.ones(4, dtype=np.float32)
    basis = Basis(
        pooled_mean=zeros, pooled_std=ones, position_mean=zeros, components=np.zeros((4, 1), dtype=np.float32)
    )
    return TrainingSet([source], basis, seed=3)


def test_the_feature_map_is_mirrored_with_its_view() -> None:
    batch = next(training_set().batches(Wanted(epoch=0, batch_size=10, size=16)))
    left = batch.pixels.float().mean((1, 3))[:, :8].mean(1) > 100
    assert 0 < left.sum() < 10, "some are mirrored, some are not"
    assert batch.targets.positions is not None
    np.testing.assert_array_equal(batch.targets.positions[:, 0, 0, 0].numpy() == 1, left.numpy())


def test_an_epoch_shows_every_record_once_and_repeats_exactly() -> None:
    data = training_set(n=12)
    wanted = Wanted(epoch=1, batch_size=4, size=8, erasing=0.5)
    first, again, other = (
        [b.targets.category.tolist() for b in data.batches(w)] for w in (wanted, wanted, replace(wanted, epoch=2))
    )
    assert first == again != other
    assert sorted(label for labels in first for label in labels) == sorted(i % 10 for i in range(12))


# ------------------------------------------------------------------------------------------------------- on the fly


@pytest.fixture
def stream_of() -> Iterator[object]:
    streams: list[ImageStream] = []

    def make(records: Sequence[Record], config: Config) -> ImageStream:
        streams.append(ImageStream([records], [1.0], config, attributes=2, pin=False))
        return streams[-1]

    yield make
    for stream in streams:
        stream.close()


def config_of(*, processes: int = 0, **changes: object) -> Config:
    config = smoke_stream()
    return replace(config, stream=replace(config.stream, processes=processes, strong=0, **changes))  # type: ignore[arg-type]


def same(one: Sequence[Batch], other: Sequence[Batch]) -> bool:
    return len(one) == len(other) and all(
        torch.equal(a.pixels, b.pixels)
        and torch.equal(a.targets.category, b.targets.category)
        and same_boxes(a.targets.box, b.targets.box)
        for a, b in zip(one, other, strict=True)
    )


def same_boxes(one: torch.Tensor | None, other: torch.Tensor | None) -> bool:
    if one is None or other is None:
        return one is other
    return bool(((one == other) | (one.isnan() & other.isnan())).all())


def joined(parts: Sequence[Sequence[Batch]], field: str) -> list[torch.Tensor]:
    return [torch.cat([getattr(b, field) for b in row]) for row in zip(*parts, strict=True)]


@pytest.mark.parametrize("cached", [True, False])
def test_parts_make_up_the_whole_and_a_later_start_the_rest(cached: bool, stream_of: object) -> None:
    """What several processes see together, and what a resumed run sees, is what one uninterrupted process sees."""
    feed = training_set(n=12) if cached else stream_of(pictured(), config_of())  # type: ignore[operator]
    wanted = Wanted(epoch=3, batch_size=4, size=32, erasing=0.5)
    whole = list(feed.batches(wanted))
    assert len(whole) == 3
    assert same(list(feed.batches(replace(wanted, start=1))), whole[1:])
    halves = [list(feed.batches(replace(wanted, part=Part(index=i, count=2)))) for i in range(2)]
    assert all(torch.equal(a, b.pixels) for a, b in zip(joined(halves, "pixels"), whole, strict=True))


def test_decoding_processes_change_nothing(stream_of: object) -> None:
    # A pool of OpenCV's threads in this process must not make the forked ones hang.
    cv2.resize(np.zeros((2000, 2000, 3), dtype=np.uint8), (1000, 1000), interpolation=cv2.INTER_AREA)
    alone = stream_of(pictured(), config_of(processes=0))  # type: ignore[operator]
    forked = stream_of(pictured(), config_of(processes=2))  # type: ignore[operator]
    for epoch, size in ((0, 64), (1, 32)):
        wanted = Wanted(epoch=epoch, batch_size=4, size=size, erasing=0.5)
        assert same(list(alone.batches(wanted)), list(forked.batches(wanted)))


def test_another_epoch_brings_other_views(stream_of: object) -> None:
    stream = stream_of(pictured(4), config_of())  # type: ignore[operator]
    first, other = (next(stream.batches(Wanted(epoch=e, batch_size=4, size=32))) for e in (0, 1))
    assert not torch.equal(first.pixels, other.pixels)


def test_plain_views_are_what_serving_prepares(stream_of: object) -> None:
    records = pictured(4)
    batch = next(stream_of(records, config_of(plain_share=1.0)).batches(Wanted(epoch=0, batch_size=4, size=64)))  # type: ignore[operator]
    assert records[0].data is not None
    served = prepare(records[0].data, Preprocessing(input_size=64), DecodeLimits())
    assert all(np.array_equal(view, served) for view in batch.pixels.numpy())
    np.testing.assert_allclose(batch.targets.box[0], BOX)


def test_labels_travel_with_their_views(stream_of: object) -> None:
    records = pictured(8)
    targets = next(stream_of(records, config_of()).batches(Wanted(epoch=0, batch_size=8, size=32))).targets  # type: ignore[operator]
    assert sorted(targets.category.tolist()) == list(range(8))
    assert all(
        int(a[0]) == int(c) % 2 and a[1] == -1 for a, c in zip(targets.attributes, targets.category, strict=True)
    )
    products = targets.product.tolist()
    assert [products[i] == products[i + 1] for i in (0, 2, 4, 6)] == [True] * 4, "side by side, as the recipe wants"


@pytest.mark.parametrize("processes", [0, 1])
def test_an_unreadable_image_is_named_in_one_line(processes: int, stream_of: object) -> None:
    records = [*pictured(3), made("shoes/broken.jpg", "g", data=b"\xff\xd8\xff no picture")]
    stream = stream_of(records, config_of(processes=processes))  # type: ignore[operator]
    with pytest.raises(ConfigurationError, match=r"shoes/broken.jpg of made cannot be used \(.*scan") as caught:
        list(stream.batches(Wanted(epoch=0, batch_size=4, size=32)))
    assert "\n" not in str(caught.value)


# ------------------------------------------------------------------------------------------------------------- boxes


@pytest.mark.parametrize("seed", range(12))
def test_boxes_follow_crop_mirror_and_stretch(seed: int) -> None:
    pixels = np.full((300, 200, 3), 90, dtype=np.uint8)
    pixels[120:225, 50:125] = (250, 20, 20)
    views = ViewConfig(smallest_area=0.5, rotation_deg=0.0, quarter_turns=0.3, colour=0.0, hue=0.0, blur=0.0)
    view = augment_located(pixels, (0.25, 0.4, 0.625, 0.75), views, np.random.default_rng(seed), size=128)
    assert view.box is not None
    assert view.visible > 0.3
    # Where a view shows what is beyond the image, the image is reflected, and with it the red; a little is blended.
    assert view.box == pytest.approx(reddish(view.pixels), abs=0.02)


def test_a_box_that_is_cut_is_seen_in_part() -> None:
    pixels = np.zeros((100, 100, 3), dtype=np.uint8)
    views = ViewConfig(smallest_area=0.25, aspect=0.0, rotation_deg=0.0, quarter_turns=0.0)
    seen = [
        augment_located(pixels, (0.3, 0.3, 0.4, 0.4), views, np.random.default_rng(s), size=32).visible
        for s in range(60)
    ]
    assert min(seen) < 1e-6
    assert max(seen) == pytest.approx(1.0)


def test_masked_boxes_are_no_numbers(stream_of: object) -> None:
    records = [*pictured(2), made("n", "g", data=pictured(1)[0].data)]
    batch = next(stream_of(records, config_of(plain_share=1.0)).batches(Wanted(epoch=0, batch_size=3, size=32)))  # type: ignore[operator]
    assert torch.isnan(batch.targets.box).all(1).sum() == 1


def test_cropping_to_the_box_widens_it_as_far_as_the_image_goes() -> None:
    pixels = np.arange(100 * 100 * 3, dtype=np.uint32).astype(np.uint8).reshape(100, 100, 3)
    cut, box = crop_to_box(pixels, (0.2, 0.0, 0.6, 0.5), 0.5)
    assert cut.shape == (75, 80, 3)
    np.testing.assert_array_equal(cut, pixels[0:75, 0:80])
    assert box == pytest.approx((0.25, 0.0, 0.75, 50 / 75))


def test_a_box_margin_shows_the_garment_larger(stream_of: object) -> None:
    config = config_of(plain_share=1.0, box_margin=0.0)
    batch = next(stream_of(pictured(2), config).batches(Wanted(epoch=0, batch_size=2, size=64)))  # type: ignore[operator]
    assert reddish(batch.pixels[0].numpy()) == pytest.approx((0, 0, 1, 1), abs=0.03)
    np.testing.assert_allclose(batch.targets.box[0], (0, 0, 1, 1), atol=0.03)


# --------------------------------------------------------------------------------------------------------- strength


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda o: o.__name__)
def test_strong_operations_keep_the_form_and_change_the_picture(operation: object) -> None:
    pixels = cv2.GaussianBlur(np.random.default_rng(0).integers(30, 220, (40, 50, 3), dtype=np.uint8), (0, 0), 2)
    before = pixels.copy()
    changed = operation(pixels, 1.0)  # type: ignore[operator]
    assert (changed.shape, changed.dtype) == (pixels.shape, np.uint8)
    assert np.abs(changed.astype(int) - pixels).mean() > 1
    np.testing.assert_array_equal(pixels, before)


def test_strength_is_a_function_of_the_generator() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    one, again = (strengthen(pixels, 2, np.random.default_rng(4)) for _ in range(2))
    np.testing.assert_array_equal(one, again)
    assert strengthen(pixels, 0, np.random.default_rng(4)) is pixels


def test_the_default_stream_shows_nothing_plain() -> None:
    assert StreamConfig().plain_share == 0
