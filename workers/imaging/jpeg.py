"""JPEG: the hot path. A scan of the markers, then one strict, scaled decode by libjpeg-turbo."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
import simplejpeg
from numpy.typing import NDArray

from schemas.outcomes import Reason
from workers.errors import ItemError
from workers.imaging import jpeg_repair
from workers.imaging.jpeg_markers import APP1, APP14, SOS, header_segments
from workers.imaging.limits import DecodeLimits
from workers.imaging.orientation import UPRIGHT, apply_orientation, read_orientation
from workers.imaging.raster import open_image, rgb_pixels

_DECODED_FRAMES: Final = frozenset({0xC0, 0xC1, 0xC2, 0xC9, 0xCA})
"""Sequential and progressive DCT, Huffman or arithmetic coded (T.81, table B.1)."""
_REFUSED_FRAMES: Final = frozenset({0xC3, 0xC5, 0xC6, 0xC7, 0xCB, 0xCD, 0xCE, 0xCF, 0xF7})
"""Lossless and hierarchical frames, and JPEG-LS."""
_PROGRESSIVE_FRAMES: Final = frozenset({0xC2, 0xCA})

_MAX_SCANS: Final = 100
"""Scans of a multi-scan file. Encoders write about ten; each costs a pass over all coefficients for a few bytes."""
_MAX_REPAIRS: Final = 3
"""Rounds of repair: libjpeg names only the first of its complaints, so each round settles one."""

_UNSUPPORTED: Final = (
    "Unsupported JPEG",
    "Unsupported color conversion",
    "not implemented",
    "not supported",
    "legal restr",
)
"""Parts of libjpeg's messages about processes it has no code for."""


@dataclass(frozen=True, kw_only=True, slots=True)
class JpegHeader:
    """What the markers before the first scan say."""

    width: int
    height: int
    components: int
    progressive: bool
    interleaved: bool
    """The first scan holds every component."""
    orientation: int
    adobe: bool
    """An Adobe marker is there; four components then hold inverted inks."""
    picture: int
    """Where the first scan's data begin."""


def decode_jpeg(data: bytes, *, min_side_px: int, limits: DecodeLimits) -> tuple[NDArray[np.uint8], JpegHeader]:
    """Upright RGB pixels, scaled down by eighths as far as both sides keep `min_side_px`, and the header.

    Raises:
        ItemError: truncated, corrupt, unsupported_format, too_small or too_many_pixels.
    """
    header = read_header(data)
    limits.check_canvas(header.width, header.height)
    if header.progressive or not header.interleaved:
        _check_scans(data, header)
    try:
        height, width, _, _ = simplejpeg.decode_jpeg_header(data, strict=False)
    except (ValueError, KeyError) as error:
        # Sampling factors that the TurboJPEG API has no name for (a KeyError where libjpeg warned before that).
        if isinstance(error, ValueError) and "Could not determine" not in str(error):
            raise _refusal(str(error)) from error
        pixels = rgb_pixels(open_image(data, "JPEG", limits))
    else:
        limits.check_canvas(width, height)
        pixels = _decode_mending(data, header, min_side_px)
    return apply_orientation(pixels, header.orientation), header


def _check_scans(data: bytes, header: JpegHeader) -> None:
    end = data.find(b"\xff\xd9", header.picture)
    if 1 + data.count(b"\xff\xda", header.picture, len(data) if end < 0 else end) > _MAX_SCANS:
        raise ItemError(Reason.CORRUPT, f"more than {_MAX_SCANS} scans")


def read_header(data: bytes) -> JpegHeader:
    """Walk the markers up to the first scan.

    Raises:
        ItemError: truncated, corrupt or unsupported_format.
    """
    exif: bytes | None = None
    frame, kind, scan, adobe, picture = b"", 0, b"", False, 0
    for segment in header_segments(data):
        code, body = segment.code, data[segment.body : segment.end]
        if code == APP1 and exif is None and body.startswith(b"Exif\0\0"):
            exif = body
        elif code == APP14 and body.startswith(b"Adobe"):
            adobe = True
        elif code in _REFUSED_FRAMES:
            raise ItemError(Reason.UNSUPPORTED_FORMAT, f"lossless or hierarchical JPEG (marker {code:02x})")
        elif code in _DECODED_FRAMES and not frame:
            frame, kind = body, code
        elif code == SOS:
            scan, picture = body, segment.end
    orientation = UPRIGHT if exif is None else read_orientation(exif)
    return _header(frame, kind, scan, orientation=orientation, adobe=adobe, picture=picture)


def _header(frame: bytes, kind: int, scan: bytes, *, orientation: int, adobe: bool, picture: int) -> JpegHeader:
    if len(frame) < 6 or not scan:
        raise ItemError(Reason.CORRUPT, "a scan without a frame header")
    precision, components = frame[0], frame[5]
    if precision != 8 or components not in (1, 3, 4):
        raise ItemError(Reason.UNSUPPORTED_FORMAT, f"JPEG with {components} components of {precision} bits")
    return JpegHeader(
        width=int.from_bytes(frame[3:5], "big"),
        height=int.from_bytes(frame[1:3], "big"),
        components=components,
        progressive=kind in _PROGRESSIVE_FRAMES,
        interleaved=scan[0] == components,
        orientation=orientation,
        adobe=adobe,
        picture=picture,
    )


def _decode_mending(data: bytes, header: JpegHeader, min_side_px: int) -> NDArray[np.uint8]:
    """Decode strictly; where libjpeg warns, take away what carries no pixels and insist on a clean decode again."""
    complaint = ""
    for _ in range(1 + _MAX_REPAIRS):
        try:
            return _decode_strict(data, header, min_side_px)
        except ValueError as error:
            message = str(error)
            complaint = complaint or message
        whole_scan = header.interleaved and not header.progressive
        mended = jpeg_repair.mend(data, message, whole_scan=whole_scan)
        if mended is None:
            break
        data = mended
    raise _refusal(complaint)


def _decode_strict(data: bytes, header: JpegHeader, min_side_px: int) -> NDArray[np.uint8]:
    pixels: NDArray[np.uint8] = simplejpeg.decode_jpeg(
        data,
        "CMYK" if header.components == 4 else "RGB",
        fastdct=True,
        fastupsample=True,
        min_height=min_side_px,
        min_width=min_side_px,
        strict=True,
    )
    return _inks_to_rgb(pixels, inverted=header.adobe) if header.components == 4 else pixels


def _inks_to_rgb(inks: NDArray[np.uint8], *, inverted: bool) -> NDArray[np.uint8]:
    """Red = (1 - cyan)(1 - black) and so on; Adobe stores 1 - ink. A colour profile is not applied."""
    light = inks if inverted else cv2.bitwise_not(inks)
    *colours, black = cv2.split(light)
    return np.asarray(cv2.merge([cv2.multiply(colour, black, scale=1 / 255) for colour in colours]), dtype=np.uint8)


def _refusal(message: str) -> ItemError:
    """The reason that stands behind a message of libjpeg (its table in `jerror.h`)."""
    if "emory" in message:
        raise MemoryError(message)
    if "Premature end of JPEG file" in message:
        return ItemError(Reason.TRUNCATED, "the file ends before the picture does")
    if any(phrase in message for phrase in _UNSUPPORTED):
        return ItemError(Reason.UNSUPPORTED_FORMAT, message)
    return ItemError(Reason.CORRUPT, message)
