"""The way through Pillow: everything but JPEG, whose pixels come full size."""

from __future__ import annotations

import io
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import (
    AvifImagePlugin,
    GifImagePlugin,
    Image,
    JpegImagePlugin,
    PngImagePlugin,
    UnidentifiedImageError,
    WebPImagePlugin,
)

from schemas.outcomes import Reason
from workers.errors import ItemError
from workers.imaging.limits import DecodeLimits

_PLUGINS: Final = (AvifImagePlugin, GifImagePlugin, JpegImagePlugin, PngImagePlugin, WebPImagePlugin)
"""Imported here, once: Pillow would otherwise load all of its plugins on the first AVIF, in whatever thread meets it."""

AvifImagePlugin.DEFAULT_MAX_THREADS = 1
"""Images are decoded side by side on threads; a decoder that starts threads of its own would only add contention."""

_DEEP_GREY: Final = frozenset({"I;16", "I;16L", "I;16B", "I;16N", "I"})

_BAND_PIXELS: Final = 1_000_000
"""Pixels converted at a time: whole copies of a large picture in every mode on its way would cost twice its memory."""


def open_image(data: bytes, name: str, limits: DecodeLimits) -> Image.Image:
    """Read the header with the one Pillow plugin of that name, and check the canvas; no pixel is decoded.

    Raises:
        ItemError: corrupt, too_small or too_many_pixels.
    """
    try:
        image = Image.open(io.BytesIO(data), formats=[name])
    except Image.DecompressionBombError as error:
        raise ItemError(Reason.TOO_MANY_PIXELS, str(error)) from error
    except UnidentifiedImageError as error:
        raise ItemError(Reason.CORRUPT, f"the {name} header cannot be read") from error
    except (OSError, ValueError, SyntaxError, RuntimeError) as error:
        raise ItemError(Reason.CORRUPT, f"the {name} header cannot be read: {error}") from error
    limits.check_canvas(*image.size)
    return image


def rgb_pixels(image: Image.Image) -> NDArray[np.uint8]:
    """(H, W, 3) RGB pixels of the first frame, transparency laid over white; the array may be read-only.

    Raises:
        ItemError: truncated or corrupt.
    """
    try:
        image.load()
    except (OSError, EOFError, ValueError, SyntaxError, RuntimeError) as error:
        text = str(error)
        cut = "runcated" in text or "No data" in text
        raise ItemError(Reason.TRUNCATED if cut else Reason.CORRUPT, text or type(error).__name__) from error
    width, height = image.size
    rows = max(1, _BAND_PIXELS // width)
    if rows >= height:
        return _band(image)
    pixels = np.empty((height, width, 3), dtype=np.uint8)
    for top in range(0, height, rows):
        bottom = min(top + rows, height)
        pixels[top:bottom] = _band(image.crop((0, top, width, bottom)))
    return pixels


def _band(image: Image.Image) -> NDArray[np.uint8]:
    if image.mode in _DEEP_GREY:
        return _deep_grey(image)
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        image = Image.new("RGB", layer.size, "white")
        image.paste(layer, mask=layer.getchannel("A"))
    return np.asarray(image.convert("RGB"))


def _deep_grey(image: Image.Image) -> NDArray[np.uint8]:
    """16-bit grey scaled by 255/65535, rounded (Pillow's own conversion would clip); a colour key becomes white."""
    deep = np.asarray(image)
    grey = ((deep.astype(np.uint32) + 128) // 257).astype(np.uint8)
    key = image.info.get("transparency")
    if isinstance(key, int):
        grey[deep == key] = 255
    return np.repeat(grey[..., None], 3, axis=2)
