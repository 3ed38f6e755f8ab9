"""A thousand ways to spoil an image, each the same in every run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache

import numpy as np
from PIL import Image

from tests.support import images

Rng = np.random.Generator

_EXTENSIONS = (".jpg", ".jpeg", ".png", ".gif", ".webp", ".avif", ".JPG", ".bmp", ".tiff", ".txt")


def mutated_images(seed: int, count: int) -> Iterator[tuple[str, bytes]]:
    """`count` pairs of file name and bytes: cut, bit-flipped, spliced, bombs, wrongly named, text, empty and intact ones.

    The kinds take turns, so that every one of them appears from 16 on; names begin with a number and the kind.
    The extension tells the truth unless the kind is `misnamed`; what is no image bears an image's extension.
    """
    kinds = tuple(_MUTATIONS)
    for index in range(count):
        rng = np.random.default_rng([seed, index])
        kind = kinds[index % len(kinds)]
        extension, data = _MUTATIONS[kind](rng)
        yield f"{index:04d}-{kind}{extension}", data


@lru_cache(maxsize=1)
def intact_images() -> tuple[tuple[str, bytes], ...]:
    """Extension and bytes of one small image of every kind that is decoded."""
    pixels = images.picture(120, 90, seed=1)
    image = Image.fromarray(pixels)
    alpha = image.copy()
    alpha.putalpha(Image.linear_gradient("L").resize(image.size))
    frames = [Image.fromarray(images.picture(64, 48, seed=s)) for s in range(3)]
    jpeg = images.encode(pixels, "JPEG", quality=85)
    return (
        (".jpg", jpeg),
        (".jpg", images.encode(pixels, "JPEG", quality=85, progressive=True)),
        (".jpg", images.encode(image.convert("L"), "JPEG")),
        (".jpg", images.encode(image.convert("CMYK"), "JPEG")),
        (".jpg", images.insert_segment(jpeg, 0xE1, images.exif(6))),
        (".png", images.encode(pixels, "PNG")),
        (".png", images.encode(alpha, "PNG")),
        (".png", images.encode(image.quantize(32), "PNG")),
        (".png", images.png_from_rows(bytes(range(256)) * 32, 64, 64, depth=16, colour=0)),
        (".gif", images.encode(image, "GIF")),
        (".gif", images.encode(frames[0], "GIF", save_all=True, append_images=frames[1:])),
        (".webp", images.encode(pixels, "WEBP", quality=80)),
        (".webp", images.encode(alpha, "WEBP", lossless=True)),
        (".webp", images.encode(frames[0], "WEBP", save_all=True, append_images=frames[1:])),
        (".avif", images.encode(pixels, "AVIF", quality=60, speed=10, max_threads=1)),
    )


def _pick(rng: Rng) -> tuple[str, bytes]:
    bases = intact_images()
    return bases[int(rng.integers(len(bases)))]


def _cut(rng: Rng) -> tuple[str, bytes]:
    extension, data = _pick(rng)
    return extension, data[: int(rng.integers(1, len(data)))]


def _cut_end(rng: Rng) -> tuple[str, bytes]:
    extension, data = _pick(rng)
    return extension, data[: -int(rng.integers(1, 40))]


def _flip_bits(rng: Rng) -> tuple[str, bytes]:
    extension, data = _pick(rng)
    return extension, _with_flips(rng, data, 0, len(data))


def _flip_header_bits(rng: Rng) -> tuple[str, bytes]:
    extension, data = _pick(rng)
    return extension, _with_flips(rng, data, 0, min(len(data), 200))


def _with_flips(rng: Rng, data: bytes, start: int, end: int) -> bytes:
    spoilt = bytearray(data)
    for at in rng.integers(start, end, size=int(rng.integers(1, 12))):
        spoilt[int(at)] ^= 1 << int(rng.integers(8))
    return bytes(spoilt)


def _splice(rng: Rng) -> tuple[str, bytes]:
    extension, head = _pick(rng)
    _, tail = _pick(rng)
    return extension, head[: int(rng.integers(1, len(head)))] + tail[int(rng.integers(1, len(tail))) :]


def _lose_middle(rng: Rng) -> tuple[str, bytes]:
    extension, data = _pick(rng)
    start, end = sorted(int(at) for at in rng.integers(0, len(data), size=2))
    return extension, data[:start] + data[end:]


def _zero_middle(rng: Rng) -> tuple[str, bytes]:
    extension, data = _pick(rng)
    start, end = sorted(int(at) for at in rng.integers(0, len(data), size=2))
    return extension, data[:start] + b"\0" * (end - start) + data[end:]


def _bomb(rng: Rng) -> tuple[str, bytes]:
    span = (9_000, 12_000) if rng.random() < 0.5 else (20_000, 65_000)  # from above any sensible limit to absurd
    width, height = (int(side) for side in rng.integers(*span, size=2))
    jpeg, png = images.encode(images.picture(64, 64), "JPEG"), images.encode(images.picture(64, 64), "PNG")
    bombs: tuple[Callable[[], tuple[str, bytes]], ...] = (
        lambda: (".png", images.png_bomb(width, height)),
        lambda: (".jpg", images.patch_jpeg_size(jpeg, width, height)),
        lambda: (".gif", images.gif_bomb(width, height)),
        lambda: (".webp", images.webp_bomb(width, height)),
        lambda: (".avif", images.avif_bomb(width, height)),
        lambda: (".jpg", images.scan_bomb(2_000)),
        lambda: (".png", images.insert_png_chunk(png, b"zTXt", b"note\0\0" + images.deflated_zeros(8_000_000))),
        lambda: (".png", images.insert_png_chunk(png, b"iCCP", b"icc\0\0" + images.deflated_zeros(8_000_000))),
    )
    return bombs[int(rng.integers(len(bombs)))]()


def _misnamed(rng: Rng) -> tuple[str, bytes]:
    extension, data = _pick(rng)
    others = [other for other in _EXTENSIONS if other.lower() != extension]
    return others[int(rng.integers(len(others)))], data


def _text(rng: Rng) -> tuple[str, bytes]:
    texts = (
        b"<!DOCTYPE html><html><body><h1>404 Not Found</h1></body></html>",
        b'{"error": "AccessDenied"}',
        b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg" width="10" height="10"/>',
        b"just a note that somebody saved under the wrong name\n" * 40,
        b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n",
    )
    return ".jpg", texts[int(rng.integers(len(texts)))]


def _empty(rng: Rng) -> tuple[str, bytes]:
    return _pick(rng)[0], b""


def _zeros(rng: Rng) -> tuple[str, bytes]:
    return _pick(rng)[0], b"\0" * int(rng.integers(1, 5_000))


def _noise(rng: Rng) -> tuple[str, bytes]:
    return _pick(rng)[0], rng.bytes(int(rng.integers(1, 5_000)))


def _noise_behind_signature(rng: Rng) -> tuple[str, bytes]:
    extension, data = _pick(rng)
    return extension, data[: int(rng.integers(4, 32))] + rng.bytes(int(rng.integers(1, 5_000)))


def _trailing(rng: Rng) -> tuple[str, bytes]:
    extension, data = _pick(rng)
    return extension, data + rng.bytes(int(rng.integers(1, 500)))


_MUTATIONS: dict[str, Callable[[Rng], tuple[str, bytes]]] = {
    "intact": _pick,
    "cut": _cut,
    "cut-end": _cut_end,
    "flipped": _flip_bits,
    "flipped-header": _flip_header_bits,
    "spliced": _splice,
    "gap": _lose_middle,
    "zeroed": _zero_middle,
    "bomb": _bomb,
    "misnamed": _misnamed,
    "text": _text,
    "empty": _empty,
    "zeros": _zeros,
    "noise": _noise,
    "noise-behind-signature": _noise_behind_signature,
    "trailing": _trailing,
}
