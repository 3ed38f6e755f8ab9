"""Encoded bytes to pixels, for every format a catalog may hold, or a refusal with its reason."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from schemas.outcomes import Reason
from workers.errors import ItemError
from workers.imaging.avif import read_avif_size
from workers.imaging.formats import Format, sniff
from workers.imaging.gif import read_gif
from workers.imaging.jpeg import decode_jpeg
from workers.imaging.limits import DecodeLimits
from workers.imaging.orientation import UPRIGHT, apply_orientation, read_orientation, swaps_sides
from workers.imaging.png import read_png
from workers.imaging.raster import open_image, rgb_pixels
from workers.imaging.webp import read_webp_size

__all__ = ["DecodeLimits", "Decoded", "decode"]

LARGE_PIXELS: Final = 12_000_000
"""A larger canvas that is not decoded in strips (all but JPEG) may take up to 15 bytes a pixel: two of them at a time."""
_LARGE: Final = threading.BoundedSemaphore(2)


@dataclass(frozen=True, kw_only=True, slots=True)
class Decoded:
    """One image as pixels."""

    pixels: NDArray[np.uint8]
    """(H, W, 3) RGB, orientation applied, transparency over white; a JPEG may be smaller than the original. May be
    read-only. Colour profiles are not applied: values count as sRGB."""
    width: int
    """Pixels of the original after its orientation was applied."""
    height: int
    """Pixels of the original after its orientation was applied."""
    format: str
    """"JPEG", "PNG", "GIF", "WEBP" or "AVIF", by content, whatever the name said."""


def decode(data: bytes, *, min_side_px: int, limits: DecodeLimits) -> Decoded:
    """Decode the first frame of an image. Thread-safe; the decoders let go of the interpreter lock.

    A JPEG is scaled down while decoding as far as both sides keep `min_side_px` pixels; other formats come full size.

    Raises:
        ItemError: empty, too_large, not_an_image, unsupported_format, too_small, too_many_pixels, truncated, corrupt.
        MemoryError: the machine, not the image, is at fault.
    """
    limits.check_bytes(len(data))
    try:
        return _decode_as(sniff(data), data, min_side_px, limits)
    except (ItemError, MemoryError):
        raise
    except cv2.error as error:
        if error.code == cv2.Error.StsNoMem:
            raise MemoryError(str(error)) from error
        raise _unexpected(error) from error
    except Exception as error:
        # Decoders raise what they like on damaged bytes; one image must never end its batch.
        raise _unexpected(error) from error


def _decode_as(name: Format, data: bytes, min_side_px: int, limits: DecodeLimits) -> Decoded:
    if name is Format.JPEG:
        pixels, header = decode_jpeg(data, min_side_px=min_side_px, limits=limits)
        return _decoded(pixels, header.width, header.height, header.orientation, name)
    pixels, orientation = _RASTER[name](data, limits)
    height, width = pixels.shape[:2]
    return _decoded(apply_orientation(pixels, orientation), width, height, orientation, name)


def _decoded(pixels: NDArray[np.uint8], width: int, height: int, orientation: int, name: Format) -> Decoded:
    if swaps_sides(orientation):
        width, height = height, width
    return Decoded(pixels=pixels, width=width, height=height, format=name.value)


def _decode_png(data: bytes, limits: DecodeLimits) -> tuple[NDArray[np.uint8], int]:
    plain = read_png(data)
    with _room(limits, plain.width, plain.height):
        return rgb_pixels(open_image(plain.data, "PNG", limits)), plain.orientation


def _decode_gif(data: bytes, limits: DecodeLimits) -> tuple[NDArray[np.uint8], int]:
    plain = read_gif(data)
    with _room(limits, plain.width, plain.height):
        return rgb_pixels(open_image(plain.data, "GIF", limits)), UPRIGHT


def _decode_webp(data: bytes, limits: DecodeLimits) -> tuple[NDArray[np.uint8], int]:
    with _room(limits, *read_webp_size(data)):
        image = open_image(data, "WEBP", limits)
        return rgb_pixels(image), read_orientation(image.info.get("exif", b""))


def _decode_avif(data: bytes, limits: DecodeLimits) -> tuple[NDArray[np.uint8], int]:
    with _room(limits, *read_avif_size(data)):
        image = open_image(data, "AVIF", limits)
        return rgb_pixels(image), read_orientation(
            image.info.get("exif", b"")
        )  # Pillow puts `irot` and `imir` there too


@contextmanager
def _room(limits: DecodeLimits, width: int, height: int) -> Iterator[None]:
    """Check the canvas, and take turns with large ones, which hostile callers send to every thread of a server."""
    limits.check_canvas(width, height)
    with _LARGE if width * height > LARGE_PIXELS else nullcontext():
        yield


_RASTER: Final[dict[Format, Callable[[bytes, DecodeLimits], tuple[NDArray[np.uint8], int]]]] = {
    Format.PNG: _decode_png,
    Format.GIF: _decode_gif,
    Format.WEBP: _decode_webp,
    Format.AVIF: _decode_avif,
}


def _unexpected(error: Exception) -> ItemError:
    return ItemError(Reason.CORRUPT, f"the decoder gave up: {type(error).__name__}: {error}")
