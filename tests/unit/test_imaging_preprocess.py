"""The network's input: shape, geometry, aliasing, and that it does not depend on how the pixels got there."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from numpy.typing import NDArray

from schemas.model_card import Preprocessing
from schemas.outcomes import Reason
from tests.support import images
from tests.support.mutations import intact_images
from workers.errors import ItemError
from workers.imaging.decode import Decoded, DecodeLimits
from workers.imaging.preprocess import prepare, to_input

LIMITS = DecodeLimits()
INPUT_64 = Preprocessing(input_size=64)


def _decoded(pixels: NDArray[np.uint8]) -> Decoded:
    return Decoded(pixels=pixels, width=pixels.shape[1], height=pixels.shape[0], format="PNG")


@pytest.mark.parametrize(
    ("width", "height"), [(64, 64), (65, 63), (300, 200), (20, 20), (1000, 20), (20, 1000), (127, 128), (64, 500)]
)
def test_input_is_square_contiguous_and_writable(width: int, height: int) -> None:
    pixels = images.picture(width, height)
    pixels.setflags(write=False)
    result = to_input(_decoded(pixels), INPUT_64)
    assert result.shape == (64, 64, 3)
    assert result.dtype == np.uint8
    assert result.flags.c_contiguous
    assert result.flags.writeable


def test_squash_keeps_the_whole_picture_and_its_proportions() -> None:
    pixels = np.zeros((100, 400, 3), dtype=np.uint8)
    pixels[25:75, 100:300] = 255
    result = to_input(_decoded(pixels), INPUT_64)
    inside = result[..., 0] > 127
    assert np.flatnonzero(inside[:, 32])[[0, -1]].tolist() == [16, 47]
    assert np.flatnonzero(inside[32])[[0, -1]].tolist() == [16, 47]


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("other_side", [20, 64, 640])
def test_fine_stripes_average_out_instead_of_aliasing(axis: int, other_side: int) -> None:
    stripes = np.where(np.arange(640) % 5 < 2, 255, 0).astype(np.uint8)
    plane = np.repeat(stripes[:, None], other_side, axis=1)
    pixels = np.repeat((plane if axis == 0 else plane.T)[..., None], 3, axis=2)
    result = to_input(_decoded(np.ascontiguousarray(pixels)), INPUT_64)
    assert np.abs(result.astype(int) - 102).max() <= 1


def test_every_pixel_counts_even_below_the_factor_of_averaging() -> None:
    pixels = np.zeros((127, 127, 3), dtype=np.uint8)
    seen = np.zeros(127, dtype=bool)
    for column in range(127):
        pixels[:] = 0
        pixels[:, column] = 255
        seen[column] = to_input(_decoded(pixels), INPUT_64).max() > 0
    assert seen.all()


def test_enlarging_does_not_overshoot() -> None:
    pixels = np.full((10, 10, 3), 60, dtype=np.uint8)
    pixels[:, 5:] = 190
    result = to_input(_decoded(pixels), INPUT_64)
    assert (result.min(), result.max()) == (60, 190)


def test_the_same_picture_gives_nearly_the_same_input_in_every_format() -> None:
    picture = images.picture(500, 700)
    preprocessing = Preprocessing(input_size=224)
    reference = prepare(images.encode(picture, "PNG"), preprocessing, LIMITS).astype(int)
    for name in ("JPEG", "WEBP", "AVIF"):
        result = prepare(images.encode(picture, name, quality=92), preprocessing, LIMITS)
        assert np.abs(result - reference).mean() < 2.5, name


def test_prepare_refuses_as_decode_does() -> None:
    with pytest.raises(ItemError) as caught:
        prepare(b"", INPUT_64, LIMITS)
    assert caught.value.reason is Reason.EMPTY


def test_threads_give_what_one_thread_gives() -> None:
    data = [data for _, data in intact_images()] * 8
    expected = [prepare(item, INPUT_64, LIMITS) for item in data]
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(lambda item: prepare(item, INPUT_64, LIMITS), data))
    assert all(np.array_equal(left, right) for left, right in zip(expected, results, strict=True))
