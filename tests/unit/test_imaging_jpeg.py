"""JPEG: pixels against an independent decode, scaling, colour models, orientation, flaws that are and are not harmless."""

from __future__ import annotations

import io
import re

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageOps

from schemas.outcomes import Reason
from tests.support import images
from workers.errors import ItemError
from workers.imaging.decode import Decoded, DecodeLimits, decode

LIMITS = DecodeLimits()
FULL_SIZE = 100_000


def _decode(data: bytes, min_side_px: int = FULL_SIZE) -> Decoded:
    return decode(data, min_side_px=min_side_px, limits=LIMITS)


def _reason(data: bytes) -> Reason:
    with pytest.raises(ItemError) as caught:
        _decode(data)
    assert caught.value.detail
    return caught.value.reason


def _mean_difference(left: NDArray[np.uint8], right: NDArray[np.uint8]) -> float:
    assert left.shape == right.shape
    return float(np.abs(left.astype(int) - right.astype(int)).mean())


PICTURE = images.picture(301, 203)
JPEG = images.encode(PICTURE, "JPEG", quality=92)
PROGRESSIVE = images.encode(PICTURE, "JPEG", quality=92, progressive=True)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(JPEG, id="baseline"),
        pytest.param(PROGRESSIVE, id="progressive"),
        pytest.param(images.encode(PICTURE, "JPEG", quality=92, subsampling=0), id="4:4:4"),
        pytest.param(images.encode(PICTURE, "JPEG", quality=92, subsampling=1), id="4:2:2"),
        pytest.param(images.encode(Image.fromarray(PICTURE).convert("L"), "JPEG", quality=92), id="grey"),
        pytest.param(images.encode(Image.fromarray(PICTURE).convert("CMYK"), "JPEG", quality=92), id="adobe-cmyk"),
        pytest.param(images.encode(PICTURE, "JPEG", quality=92, keep_rgb=True), id="rgb-components"),
    ],
)
def test_pixels_agree_with_pillow(data: bytes) -> None:
    decoded = _decode(data)
    assert (decoded.width, decoded.height, decoded.format) == (301, 203, "JPEG")
    assert decoded.pixels.dtype == np.uint8
    assert _mean_difference(decoded.pixels, images.decode_with_pillow(data)) < 1.5


def test_scaled_decoding_keeps_both_sides_and_the_picture() -> None:
    data = images.encode(images.picture(800, 1100), "JPEG", quality=92)
    decoded = _decode(data, min_side_px=224)
    height, width = decoded.pixels.shape[:2]
    assert (decoded.width, decoded.height) == (800, 1100)
    assert 224 <= width < 330
    assert abs(height / width - 1100 / 800) < 0.01
    whole = cv2.resize(images.decode_with_pillow(data), (width, height), interpolation=cv2.INTER_AREA)
    assert _mean_difference(decoded.pixels, np.asarray(whole, dtype=np.uint8)) < 2.0


@pytest.mark.parametrize(("width", "height"), [(1600, 300), (300, 1600), (100, 1600), (225, 224)])
def test_scaling_never_goes_below_the_side_asked_for(width: int, height: int) -> None:
    decoded = _decode(images.encode(images.picture(width, height), "JPEG"), min_side_px=224)
    assert decoded.pixels.shape[0] >= min(224, height)
    assert decoded.pixels.shape[1] >= min(224, width)


def test_a_small_jpeg_is_not_enlarged() -> None:
    assert _decode(images.encode(images.picture(64, 48), "JPEG"), min_side_px=224).pixels.shape == (48, 64, 3)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_applied(orientation: int, order: str) -> None:
    data = images.insert_segment(JPEG, 0xE1, images.exif(orientation, order=order))
    upright = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
    decoded = _decode(data)
    assert (decoded.width, decoded.height) == upright.size
    assert _mean_difference(decoded.pixels, np.asarray(upright)) < 1.5
    if orientation > 1:
        plain = _decode(JPEG).pixels
        assert plain.shape != decoded.pixels.shape or _mean_difference(plain, decoded.pixels) > 10


@pytest.mark.parametrize(
    "exif",
    [
        pytest.param(images.exif(9), id="no-such-orientation"),
        pytest.param(images.exif(0), id="zero"),
        pytest.param(images.exif(6)[:20], id="cut"),
        pytest.param(b"Exif\0\0II*\0\xff\xff\xff\xff", id="offset-outside"),
        pytest.param(b"Exif\0\0" + b"\xff" * 60, id="no-tiff"),
        pytest.param(b"Exif\0\0", id="empty"),
    ],
)
def test_a_damaged_exif_block_leaves_the_picture_as_it_is(exif: bytes) -> None:
    assert np.array_equal(_decode(images.insert_segment(JPEG, 0xE1, exif)).pixels, _decode(JPEG).pixels)


def test_orientation_of_an_embedded_preview_is_not_taken_for_the_picture() -> None:
    preview = images.insert_segment(images.encode(images.picture(32, 24), "JPEG"), 0xE1, images.exif(6))
    data = images.insert_segment(JPEG, 0xE1, images.exif(1) + preview)
    assert (_decode(data).width, _decode(data).height) == (301, 203)


def test_inks_without_an_adobe_marker_are_not_inverted() -> None:
    levels = [np.full((4, 4), level) for level in (0, 100, 200, 50)]
    pixels = _decode(images.block_jpeg(levels, [(1, 1)] * 4)).pixels
    expected = [(255 - ink) * (255 - 50) / 255 for ink in (0, 100, 200)]
    assert np.abs(pixels.reshape(-1, 3).mean(axis=0) - expected).max() <= 1


def test_adobe_ycck_agrees_with_pillow() -> None:
    levels = [np.full((4, 4), level) for level in (120, 100, 150, 220)]
    data = images.insert_segment(images.block_jpeg(levels, [(1, 1)] * 4), 0xEE, b"Adobe\0\x64\0\0\0\0\x02")
    assert _mean_difference(_decode(data).pixels, images.decode_with_pillow(data)) <= 1


def test_sampling_factors_without_a_name_are_decoded() -> None:
    rng = np.random.default_rng(5)
    levels = [rng.integers(40, 210, size=shape) for shape in ((6, 9), (6, 3), (6, 3))]
    plain = images.block_jpeg(levels, [(3, 1), (1, 1), (1, 1)])
    for data in (plain, plain.replace(b"\xff\xda", b"\0\xff\xda", 1)):
        decoded = _decode(data, min_side_px=32)
        assert (decoded.width, decoded.height) == (72, 48)
        assert _mean_difference(decoded.pixels, images.decode_with_pillow(data)) < 1.5


_SCAN = JPEG.index(b"\xff\xda")


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(JPEG + b"\0" * 100, id="zeros-behind"),
        pytest.param(JPEG + b"uploaded with care" * 9, id="text-behind"),
        pytest.param(JPEG + JPEG, id="second-picture-behind"),
        pytest.param(JPEG[:_SCAN] + b"\1\2\3" + JPEG[_SCAN:], id="stray-bytes-in-the-header"),
        pytest.param(JPEG[:20] + b"\0\0" + JPEG[20:_SCAN] + b"\7" + JPEG[_SCAN:], id="stray-bytes-twice"),
        pytest.param(JPEG[:-2] + b"\0" * 6 + JPEG[-2:], id="zeros-before-the-end-marker"),
        pytest.param(JPEG[:-2], id="no-end-marker"),
        pytest.param(JPEG[:-1], id="half-an-end-marker"),
        pytest.param(JPEG[:_SCAN] + b"\xff\xff\xff" + JPEG[_SCAN:], id="fill-bytes"),
        pytest.param(JPEG.replace(b"JFIF\0\1", b"JFIF\0\7"), id="unknown-jfif-revision"),
        pytest.param(JPEG[: _SCAN + 11] + b"\0\0\0" + JPEG[_SCAN + 14 :], id="sloppy-scan-header"),
        pytest.param(JPEG[:_SCAN] + b"\5" + JPEG[_SCAN:-2], id="stray-byte-and-no-end-marker"),
        pytest.param(images.insert_segment(JPEG[:-2], 0xE1, images.exif(1) + JPEG), id="preview-and-no-end-marker"),
    ],
)
def test_flaws_that_carry_no_pixels_are_harmless(data: bytes) -> None:
    assert np.array_equal(_decode(data).pixels, _decode(JPEG).pixels)


@pytest.mark.parametrize("share", [0.3, 0.6, 0.9, 0.99])
@pytest.mark.parametrize("whole", [JPEG, PROGRESSIVE], ids=["baseline", "progressive"])
def test_a_cut_jpeg_is_truncated(whole: bytes, share: float) -> None:
    assert _reason(whole[: int(len(whole) * share)]) is Reason.TRUNCATED


@pytest.mark.parametrize("length", [2, 3, 4, 20, 200, _SCAN, _SCAN + 5])
def test_a_jpeg_cut_in_its_header_is_truncated(length: int) -> None:
    assert _reason(JPEG[:length]) is Reason.TRUNCATED


def test_a_progressive_jpeg_without_its_end_is_truncated_because_scans_may_be_missing() -> None:
    scans = [at.start() for at in re.finditer(b"\xff\xda", PROGRESSIVE)]
    tables = PROGRESSIVE.index(b"\xff\xc4", scans[0])
    assert len(scans) > 5
    for end in (tables, scans[1], scans[-1]):
        assert _reason(PROGRESSIVE[:end]) is Reason.TRUNCATED


def test_the_zeroed_rest_of_an_upload_is_truncated_or_corrupt() -> None:
    half = len(JPEG) // 2
    assert _reason(JPEG[:half] + b"\0" * half) is Reason.TRUNCATED
    assert _reason(JPEG[:half] + b"\0" * (half - 2) + b"\xff\xd9") is Reason.CORRUPT


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(JPEG[: _SCAN + 400] + JPEG[_SCAN + 900 :], id="gap-in-the-picture"),
        pytest.param(JPEG[:-2] + b"\x12\x34\x56" + JPEG[-2:], id="picture-data-left-over"),
        pytest.param(JPEG[: _SCAN + 300] + JPEG[-2:], id="end-marker-too-early"),
        pytest.param(b"\xff\xd8\xff\xd9", id="no-picture"),
        pytest.param(JPEG[:2] + JPEG[_SCAN:], id="no-frame-header"),
        pytest.param(images.patch_jpeg_size(JPEG, 0, 100), id="no-width"),
    ],
)
def test_damage_is_corrupt(data: bytes) -> None:
    assert _reason(data) is Reason.CORRUPT


def _with_frame(marker: int, precision: int = 8) -> bytes:
    frame = JPEG.index(b"\xff\xc0")
    return JPEG[: frame + 1] + bytes((marker,)) + JPEG[frame + 2 : frame + 4] + bytes((precision,)) + JPEG[frame + 5 :]


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(_with_frame(0xC3), id="lossless"),
        pytest.param(_with_frame(0xC5), id="hierarchical"),
        pytest.param(_with_frame(0xF7), id="jpeg-ls"),
        pytest.param(_with_frame(0xC1, 12), id="12-bit"),
    ],
)
def test_processes_outside_the_list_are_unsupported(data: bytes) -> None:
    assert _reason(data) is Reason.UNSUPPORTED_FORMAT


def test_what_looks_like_scans_in_metadata_or_behind_the_picture_is_not_counted() -> None:
    data = images.insert_segment(PROGRESSIVE, 0xE5, b"\xff\xda" * 200) + b"\xff\xda" * 200
    assert np.array_equal(_decode(data).pixels, _decode(PROGRESSIVE).pixels)


def test_scan_and_segment_bombs_are_refused_before_they_cost_time() -> None:
    assert _reason(images.scan_bomb(200_000)) is Reason.CORRUPT
    assert _reason(JPEG[:2] + b"\xff\xe0\0\2" * 1_000_000 + JPEG[2:]) is Reason.CORRUPT
    assert _reason(JPEG[:2] + b"\xff" * 4_000_000 + b"\0") is Reason.TRUNCATED
