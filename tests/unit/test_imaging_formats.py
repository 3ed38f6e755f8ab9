"""PNG, GIF, WebP and AVIF: pixels against an independent decode; refusals and bounds of every format."""

from __future__ import annotations

import contextlib
import io
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image, ImageOps

from schemas.outcomes import Reason
from tests.support import images
from tests.support.mutations import intact_images
from workers.errors import ItemError
from workers.imaging.decode import Decoded, DecodeLimits, decode
from workers.imaging.formats import Format

LIMITS = DecodeLimits()
PICTURE = images.picture(121, 83)
IMAGE = Image.fromarray(PICTURE)


def _decode(data: bytes, limits: DecodeLimits = LIMITS) -> Decoded:
    return decode(data, min_side_px=64, limits=limits)


def _reason(data: bytes, limits: DecodeLimits = LIMITS) -> Reason:
    with pytest.raises(ItemError) as caught:
        _decode(data, limits)
    assert caught.value.detail
    return caught.value.reason


def _difference(left: NDArray[np.uint8], right: NDArray[np.generic]) -> int:
    assert left.shape == right.shape
    return int(np.abs(left.astype(int) - right.astype(int)).max())


def _over_white(rgba: NDArray[np.uint8]) -> NDArray[np.float64]:
    alpha = rgba[..., 3:].astype(float) / 255
    composed: NDArray[np.float64] = rgba[..., :3] * alpha + 255 * (1 - alpha)
    return composed.round()


def _with_alpha() -> Image.Image:
    image = IMAGE.copy()
    image.putalpha(Image.linear_gradient("L").resize(image.size))
    return image


@pytest.mark.parametrize(
    ("data", "name"),
    [
        pytest.param(images.encode(PICTURE, "PNG"), "PNG", id="png"),
        pytest.param(images.encode(IMAGE.convert("L"), "PNG"), "PNG", id="png-grey"),
        pytest.param(images.encode(IMAGE.convert("1"), "PNG"), "PNG", id="png-1-bit"),
        pytest.param(images.encode(IMAGE.quantize(12), "PNG", bits=4), "PNG", id="png-palette-4-bits"),
        pytest.param(images.encode(IMAGE.quantize(200), "PNG"), "PNG", id="png-palette"),
        pytest.param(images.encode(IMAGE.quantize(64), "GIF"), "GIF", id="gif"),
        pytest.param(images.encode(IMAGE.convert("L"), "GIF"), "GIF", id="gif-grey"),
        pytest.param(images.encode(PICTURE, "WEBP", quality=80), "WEBP", id="webp"),
        pytest.param(images.encode(PICTURE, "WEBP", lossless=True), "WEBP", id="webp-lossless"),
        pytest.param(images.encode(PICTURE, "AVIF", quality=70, speed=10), "AVIF", id="avif"),
    ],
)
def test_pixels_agree_with_pillow(data: bytes, name: str) -> None:
    decoded = _decode(data)
    assert (decoded.format, decoded.width, decoded.height) == (name, 121, 83)
    assert _difference(decoded.pixels, images.decode_with_pillow(data)) == 0


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(images.encode(_with_alpha(), "PNG"), id="png"),
        pytest.param(images.encode(_with_alpha().convert("LA"), "PNG"), id="png-grey"),
        pytest.param(images.encode(_with_alpha(), "WEBP", lossless=True), id="webp"),
        pytest.param(images.encode(_with_alpha(), "AVIF", quality=90, speed=10), id="avif"),
        pytest.param(images.encode(IMAGE.quantize(32), "PNG", transparency=3), id="png-palette-key"),
        pytest.param(images.encode(IMAGE.quantize(32), "PNG", transparency=bytes(range(0, 256, 8))), id="png-palette"),
        pytest.param(images.encode(IMAGE.quantize(32), "GIF", transparency=3), id="gif"),
    ],
)
def test_transparency_is_laid_over_white(data: bytes) -> None:
    rgba = np.asarray(Image.open(io.BytesIO(data)).convert("RGBA"))
    assert rgba[..., 3].min() < 255
    assert _difference(_decode(data).pixels, _over_white(rgba)) <= 1


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(images.encode(Image.effect_noise((1300, 1101), 60).quantize(16), "PNG"), id="palette"),
        pytest.param(images.encode(Image.effect_noise((1300, 1101), 60).quantize(9), "GIF", transparency=2), id="gif"),
        pytest.param(images.encode(images.picture(1300, 1101), "WEBP", quality=50, method=0), id="webp"),
    ],
)
def test_a_picture_of_several_bands_is_whole(data: bytes) -> None:
    rgba = np.asarray(Image.open(io.BytesIO(data)).convert("RGBA"))
    assert _difference(_decode(data).pixels, _over_white(rgba)) == 0


def test_a_transparent_picture_is_white_whatever_colour_hides_below() -> None:
    hidden = images.encode(Image.new("RGBA", (20, 20), (0, 0, 0, 0)), "PNG")
    assert _decode(hidden).pixels.min() == 255


def test_16_bit_grey_is_scaled_not_clipped() -> None:
    values = np.arange(0, 65536, 16, dtype=np.uint16).reshape(64, 64)
    data = images.png_from_rows(values.astype(">u2").tobytes(), 64, 64, depth=16, colour=0)
    expected = np.repeat((values / 257.0).round()[..., None], 3, axis=2)
    assert _difference(_decode(data).pixels, expected) == 0


def test_16_bit_grey_with_a_colour_key_becomes_white_there() -> None:
    values = np.full((16, 16), 1000, dtype=np.uint16)
    values[4:8] = 30000
    rows = values.astype(">u2").tobytes()
    pixels = _decode(images.png_from_rows(rows, 16, 16, depth=16, colour=0, extra=[(b"tRNS", b"\x75\x30")])).pixels
    assert np.unique(pixels[4:8]).tolist() == [255]
    assert np.unique(pixels[:4]).tolist() == [4]


@pytest.mark.parametrize(("colour", "channels"), [(2, 3), (4, 2), (6, 4)], ids=["rgb", "grey-alpha", "rgba"])
def test_16_bit_channels_are_scaled(colour: int, channels: int) -> None:
    values = np.random.default_rng(3).integers(0, 65536, size=(32, 32, channels)).astype(np.uint16)
    data = images.png_from_rows(values.astype(">u2").tobytes(), 32, 32, depth=16, colour=colour)
    scaled = values / 257.0
    if channels == 2:
        scaled = scaled[..., [0, 0, 0, 1]]
    if scaled.shape[2] == 4:
        alpha = scaled[..., 3:] / 255
        scaled = scaled[..., :3] * alpha + 255 * (1 - alpha)
    assert _difference(_decode(data).pixels, scaled.round()) <= 2


def test_16_bit_rgb_with_a_colour_key_becomes_white_there() -> None:
    values = np.full((16, 16, 3), (1000, 2000, 3000), dtype=np.uint16)
    values[4:8] = (40000, 50000, 60000)
    key = struct.pack(">3H", 40000, 50000, 60000)
    rows = values.astype(">u2").tobytes()
    pixels = _decode(images.png_from_rows(rows, 16, 16, depth=16, colour=2, extra=[(b"tRNS", key)])).pixels
    assert np.unique(pixels[4:8]).tolist() == [255]
    assert pixels[0, 0].max() < 20


def test_an_interlaced_png_is_decoded() -> None:
    # Seven passes of Adam7 over 8 x 8 pixels, each row beginning with its filter byte.
    picture = np.arange(64, dtype=np.uint8).reshape(8, 8) * 3
    passes = [(0, 8, 0, 8), (0, 8, 4, 8), (4, 8, 0, 4), (0, 4, 2, 4), (2, 4, 0, 2), (0, 2, 1, 2), (1, 2, 0, 1)]
    raw = b"".join(b"\0" + row.tobytes() for y, dy, x, dx in passes for row in picture[y::dy, x::dx])
    header = struct.pack(">IIBBBBB", 8, 8, 8, 0, 0, 0, 1)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(raw)), (b"IEND", b"")]
    data = b"\x89PNG\r\n\x1a\n" + b"".join(images.png_chunk(kind, body) for kind, body in chunks)
    assert np.array_equal(_decode(data).pixels[..., 0], picture)


@pytest.mark.parametrize("name", ["PNG", "WEBP", "AVIF"])
@pytest.mark.parametrize("orientation", [2, 3, 6, 8])
def test_orientation_is_applied_to_every_format_that_can_state_it(name: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = images.encode(PICTURE, name, exif=exif.tobytes(), quality=80)
    upright = ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB")
    decoded = _decode(data)
    assert (decoded.width, decoded.height) == upright.size
    assert _difference(decoded.pixels, np.asarray(upright)) == 0


@pytest.mark.parametrize("name", ["GIF", "WEBP", "PNG", "AVIF"])
def test_of_an_animation_the_first_frame_is_taken(name: str) -> None:
    frames = [Image.fromarray(images.picture(64, 48, seed=s)) for s in (1, 2, 3)]
    options = {} if name == "GIF" else {"quality": 95}
    data = images.encode(frames[0], name, save_all=True, append_images=frames[1:], duration=100, **options)
    pixels = _decode(data).pixels.astype(int)
    to_first, to_second = (np.abs(pixels - np.asarray(frame)).mean() for frame in frames[:2])
    assert to_first < 6
    assert to_second > 15


def test_a_gif_frame_smaller_than_its_screen_keeps_the_canvas() -> None:
    inner = images.encode(Image.new("L", (10, 10), 0), "GIF")
    at = inner.index(b",", 13)
    moved = inner[:6] + struct.pack("<HH", 30, 20) + inner[10 : at + 1] + struct.pack("<HH", 5, 5) + inner[at + 5 :]
    decoded = _decode(moved)
    assert (decoded.width, decoded.height) == (30, 20)
    assert decoded.pixels[5:15, 5:15].max() == 0


BOUNDED = DecodeLimits(max_bytes=100_000, max_pixels=1_000_000)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(images.png_bomb(100_000, 100_000), id="png"),
        pytest.param(images.png_bomb(1001, 1000), id="png-just-above"),
        pytest.param(images.patch_jpeg_size(images.encode(PICTURE, "JPEG"), 65_500, 65_500), id="jpeg"),
        pytest.param(
            images.patch_jpeg_size(images.encode(PICTURE, "JPEG", progressive=True), 65_500, 65_500), id="progressive"
        ),
        pytest.param(images.gif_bomb(65_535, 65_535), id="gif"),
        pytest.param(
            images.gif_bomb(16, 16).replace(struct.pack("<4H", 0, 0, 16, 16), struct.pack("<4H", 0, 0, 65_535, 65_535)),
            id="gif-frame-larger-than-its-screen",
        ),
        pytest.param(images.webp_bomb(1 << 24, 1 << 24), id="webp"),
        pytest.param(images.avif_bomb(60_000, 60_000), id="avif"),
    ],
)
def test_a_giant_canvas_is_refused_by_its_header(data: bytes) -> None:
    assert len(data) < 3_000
    assert _reason(data, BOUNDED) is Reason.TOO_MANY_PIXELS


@pytest.mark.parametrize("kind", [b"zTXt", b"iCCP", b"tEXt"])
def test_metadata_larger_than_the_picture_neither_costs_nor_refuses_it(kind: bytes) -> None:
    body = b"note\0" + (b"x" * 3_000_000 if kind == b"tEXt" else b"\0" + images.deflated_zeros(200_000_000))
    data = images.insert_png_chunk(images.encode(PICTURE, "PNG"), kind, body)
    assert np.array_equal(_decode(data).pixels, PICTURE)


def test_a_flaw_in_metadata_is_no_flaw_of_the_picture() -> None:
    data = bytearray(images.insert_png_chunk(images.encode(PICTURE, "PNG"), b"tEXt", b"a\0b"))
    data[33 + 8] ^= 0xFF
    assert np.array_equal(_decode(bytes(data)).pixels, PICTURE)


def test_a_gif_full_of_comments_costs_no_time() -> None:
    gif = images.encode(IMAGE.quantize(64), "GIF")
    at = gif.index(b"!" if b"!" in gif[13:20] else b",", 13 + 3 * 64)
    comments = b"!\xfe" + b"\xff" + b"c" * 255 + b"\0"
    assert _decode(gif[:at] + comments * 20_000 + gif[at:]).width == 121
    tiny = b"!\xfe" + b"\x01c" * 300_000 + b"\0"
    assert _reason(gif[:at] + tiny + gif[at:]) is Reason.CORRUPT


@pytest.mark.parametrize("size", [1, 7])
@pytest.mark.parametrize("name", ["PNG", "GIF", "WEBP", "JPEG", "AVIF"])
def test_spacers_are_too_small(name: str, size: int) -> None:
    assert _reason(images.encode(images.picture(40, size), name)) is Reason.TOO_SMALL


def test_a_side_of_the_minimum_is_enough() -> None:
    assert _decode(images.encode(images.picture(8, 40), "PNG")).width == 8


def test_the_size_of_the_file_is_checked_before_its_content() -> None:
    assert _reason(b"") is Reason.EMPTY
    assert _reason(b"?" * 100_001, BOUNDED) is Reason.TOO_LARGE
    assert _reason(b"?" * 100_000, BOUNDED) is Reason.NOT_AN_IMAGE


@pytest.mark.parametrize(
    "data",
    [
        b"<!DOCTYPE html><html><h1>404</h1></html>",
        b"\xef\xbb\xbf  <html>",
        b"<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>",
        b'{"message": "not found"}',
        b"BMW, BMX and other words\n" * 10,
        b"\0" * 4096,
        b"\0",
        b"\x8f\x03" * 50,
        b"PK\x03\x04" + b"\0" * 60,
        b"RIFF\x24\0\0\0WAVEfmt " + b"\0" * 40,
    ],
)
def test_what_is_no_image_is_told_so(data: bytes) -> None:
    assert _reason(data) is Reason.NOT_AN_IMAGE


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(images.encode(PICTURE, "TIFF"), id="tiff"),
        pytest.param(images.encode(PICTURE, "BMP"), id="bmp"),
        pytest.param(images.encode(PICTURE, "JPEG2000"), id="jpeg-2000"),
        pytest.param(images.encode(PICTURE, "PDF"), id="pdf"),
        pytest.param(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + b"\0" * 40, id="heic"),
        pytest.param(b"\0\0\0\x18ftypisom\0\0\0\0isommp42" + b"\0" * 40, id="mp4"),
        pytest.param(b"<?xml version='1.0'?>\n<!-- drawn by hand -->\n<svg width='9'/>", id="svg"),
        pytest.param(b"8BPS\0\1" + b"\0" * 40, id="psd"),
        pytest.param(b"\x89PNG\r\n\x1a\n\0\0\0\4CgBI\x50\0\x20\2\x2b\xd5\xb3\x7f", id="apple-png"),
    ],
)
def test_pictures_outside_the_list_are_unsupported(data: bytes) -> None:
    assert _reason(data) is Reason.UNSUPPORTED_FORMAT


@pytest.mark.parametrize(("extension", "data"), intact_images(), ids=lambda value: value if len(value) < 9 else "")
@pytest.mark.parametrize("share", [0.05, 0.4])
def test_the_beginning_of_any_image_is_truncated(extension: str, data: bytes, share: float) -> None:
    animated = Image.open(io.BytesIO(data))
    if extension == ".gif" and getattr(animated, "n_frames", 1) > 1:
        share /= 3  # the first frame alone would be whole
    assert _reason(data[: int(len(data) * share)]) is Reason.TRUNCATED


@pytest.mark.parametrize("length", range(2, 8))
def test_a_part_of_a_signature_is_truncated(length: int) -> None:
    assert _reason(b"\x89PNG\r\n\x1a\n"[:length]) is Reason.TRUNCATED


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(images.encode(PICTURE, "PNG").replace(b"\r\n", b"\n", 1), id="text-mode-transfer"),
        pytest.param(images.encode(PICTURE, "PNG")[:-30] + b"\x55" * 6 + images.encode(PICTURE, "PNG")[-24:], id="crc"),
        pytest.param(images.png_from_rows(b"\0" * 64, 8, 8, depth=8, colour=3), id="no-palette"),
        pytest.param(images.png_bomb(2000, 900), id="too-little-picture-data"),
        pytest.param(b"GIF89a\x10\0\x10\0\0\0\0;", id="gif-without-frame"),
        pytest.param(b"\x89PNG\r\n\x1a\n" + images.png_chunk(b"IDAT", b"x"), id="png-without-header"),
        pytest.param(b"\x89PNG\r\n\x1a\n" + images.png_chunk(b"IHDR", bytes(13)) * 70_000, id="too-many-chunks"),
    ],
)
def test_damage_is_told_from_truncation(data: bytes) -> None:
    assert _reason(data) in (Reason.CORRUPT, Reason.TRUNCATED)


@pytest.mark.parametrize(("extension", "data"), intact_images(), ids=lambda value: value if len(value) < 9 else "")
def test_bytes_behind_the_picture_do_not_matter(extension: str, data: bytes) -> None:
    assert np.array_equal(_decode(data + b"\0\xff\xd8<html>" * 9).pixels, _decode(data).pixels)


_HEADS = st.sampled_from([data[:n] for _, data in intact_images() for n in (4, 12, 16, 30, 60)])


@settings(max_examples=300, deadline=None)
@given(st.one_of(st.binary(max_size=300), st.tuples(_HEADS, st.binary(max_size=300)).map(b"".join)))
def test_random_bytes_are_decoded_or_refused_and_nothing_else(data: bytes) -> None:
    limits = DecodeLimits(max_pixels=1_000_000)
    with contextlib.suppress(ItemError):
        decoded = decode(data, min_side_px=32, limits=limits)
        assert decoded.format in set(Format)
        assert decoded.pixels.shape[2] == 3
