"""What the first bytes say a file is; names and content types are not believed."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from schemas.outcomes import Reason
from workers.errors import ItemError


class Format(StrEnum):
    """The closed list of formats that are decoded. TIFF and BMP stay out: masters, not catalog images, and a wide door."""

    JPEG = "JPEG"
    PNG = "PNG"
    GIF = "GIF"
    WEBP = "WEBP"
    AVIF = "AVIF"


_SIGNATURES: Final = (
    (b"\xff\xd8\xff", Format.JPEG),
    (b"\x89PNG\r\n\x1a\n", Format.PNG),
    (b"GIF87a", Format.GIF),
    (b"GIF89a", Format.GIF),
)

_REFUSED: Final = (
    (b"II*\0", "TIFF"),
    (b"MM\0*", "TIFF"),
    (b"II+\0", "BigTIFF"),
    (b"MM\0+", "BigTIFF"),
    (b"II\xbc\x01", "JPEG XR"),
    (b"8BPS", "Photoshop document"),
    (b"%PDF-", "PDF document"),
    (b"%!PS", "PostScript"),
    (b"\xc5\xd0\xd3\xc6", "EPS"),
    (b"\0\0\0\x0cJXL \r\n\x87\n", "JPEG XL"),
    (b"\xff\x0a", "JPEG XL"),
    (b"\0\0\0\x0cjP  \r\n\x87\n", "JPEG 2000"),
    (b"\xff\x4f\xff\x51", "JPEG 2000"),
    (b"qoif", "QOI"),
    (b"DDS ", "DirectDraw surface"),
    (b"v/1\x01", "OpenEXR"),
    (b"gimp xcf", "GIMP document"),
    (b"FUJIFILMCCD-RAW", "Fujifilm raw"),
)
"""Signatures of picture formats outside the list, so that their owners are told to convert, not that it is no image."""

_BMP_HEADER_SIZES: Final = frozenset({12, 40, 52, 56, 64, 108, 124})
"""Sizes of every BMP information header; "BM" alone also begins ordinary words."""

_TEXT_WINDOW: Final = 1024
"""Bytes looked through for `<svg` or `<html`, which may follow a declaration and comments."""


def sniff(data: bytes) -> Format:
    """The format of an image by its signature.

    Raises:
        ItemError: not_an_image, unsupported_format, truncated (a part of a signature and nothing more) or corrupt (a
            signature that a text-mode transfer has damaged).
    """
    for signature, name in _SIGNATURES:
        if data.startswith(signature):
            return name
        if 1 < len(data) < len(signature) and signature.startswith(data):
            raise ItemError(Reason.TRUNCATED, f"the file ends within the {name} signature")
    if len(data) < 12 and (data.startswith(b"RIFF") or data[4:8] == b"ftyp"):
        raise ItemError(Reason.TRUNCATED, "the file ends within its signature")
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return Format.WEBP
    if data[4:8] == b"ftyp":
        return _sniff_iso_media(data)
    raise _refusal(data)


def _sniff_iso_media(data: bytes) -> Format:
    box = data[: min(int.from_bytes(data[:4], "big"), 256)]
    brands = [box[8:12]] + [box[i : i + 4] for i in range(16, len(box) - 3, 4)]
    if b"avif" in brands or b"avis" in brands:
        return Format.AVIF
    brand = data[8:12].decode("ascii", "replace")
    raise ItemError(Reason.UNSUPPORTED_FORMAT, f"a HEIC picture or a video (brand {brand!r})")


def _refusal(data: bytes) -> ItemError:
    for signature, name in _REFUSED:
        if data.startswith(signature):
            return ItemError(Reason.UNSUPPORTED_FORMAT, f"{name} is not decoded")
    if data.startswith(b"BM") and int.from_bytes(data[14:18], "little") in _BMP_HEADER_SIZES:
        return ItemError(Reason.UNSUPPORTED_FORMAT, "BMP is not decoded")
    if data[1:4] == b"PNG":
        return ItemError(Reason.CORRUPT, "the PNG signature is damaged, as a transfer in text mode does")
    head = data[:_TEXT_WINDOW].removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if head.startswith(b"<"):
        if b"<svg" in head:
            return ItemError(Reason.UNSUPPORTED_FORMAT, "SVG is not decoded")
        page = b"<html" in head or b"<!doctype html" in head
        return ItemError(Reason.NOT_AN_IMAGE, "an HTML page, perhaps an error page" if page else "an XML document")
    if not data.strip(b"\0"):
        return ItemError(Reason.NOT_AN_IMAGE, "nothing but zero bytes")
    start = data[:40].decode("latin-1")
    if start.isascii() and " ".join(start.split()).isprintable():
        return ItemError(Reason.NOT_AN_IMAGE, f"text, beginning with {' '.join(start.split())!r}")
    return ItemError(Reason.NOT_AN_IMAGE, f"no known image begins with the bytes {data[:8].hex(' ')}")
