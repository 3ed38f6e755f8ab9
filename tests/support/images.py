"""Images drawn and encoded in code, flaws and bombs included; no test needs a file."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image


def picture(width: int, height: int, seed: int = 0) -> NDArray[np.uint8]:
    """(H, W, 3) RGB: a soft gradient with a box near the top left and a disc below it, alike in no two corners."""
    rng = np.random.default_rng(seed)
    corners = rng.integers(70, 186, size=(2, 2, 3)).astype(np.float32)
    canvas = np.clip(cv2.resize(corners, (width, height), interpolation=cv2.INTER_CUBIC), 0, 255).astype(np.uint8)
    red, blue = (int(v) for v in rng.integers(150, 256, size=2))
    cv2.rectangle(canvas, (width // 10, height // 10), (width // 2, height // 3), (red, 40, 30), -1)
    cv2.circle(canvas, (width // 3, 2 * height // 3), max(2, min(width, height) // 6), (20, 60, blue), -1)
    blurred: NDArray[np.uint8] = np.asarray(cv2.GaussianBlur(canvas, (5, 5), 0), dtype=np.uint8)
    return blurred


def blobs(count: int, size: int, seed: int = 0) -> NDArray[np.uint8]:
    """(N, S, S, 3) inputs of coloured blobs: nearer to photographs than noise, and quickly made."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (count, 8, 8, 3), dtype=np.uint8)
    cell = -(-size // 8)
    return np.repeat(np.repeat(coarse, cell, 1), cell, 2)[:, :size, :size]


def encode(pixels: NDArray[Any] | Image.Image, name: str, **options: Any) -> bytes:
    """Encode pixels with Pillow."""
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    buffer = io.BytesIO()
    image.save(buffer, name, **options)
    return buffer.getvalue()


def decode_with_pillow(data: bytes) -> NDArray[np.uint8]:
    """An independent decode: full size, RGB, no orientation applied."""
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


def exif(orientation: int, *, order: str = "<") -> bytes:
    """An EXIF block, prefix included, that states nothing but an orientation."""
    mark = b"II*\0" if order == "<" else b"MM\0*"
    return b"Exif\0\0" + mark + struct.pack(order + "IHHHIHHI", 8, 1, 0x0112, 3, 1, orientation, 0, 0)


def jpeg_segment(code: int, body: bytes) -> bytes:
    """One marker segment."""
    return struct.pack(">BBH", 0xFF, code, len(body) + 2) + body


def insert_segment(jpeg: bytes, code: int, body: bytes) -> bytes:
    """The JPEG with one more segment at its beginning."""
    return jpeg[:2] + jpeg_segment(code, body) + jpeg[2:]


def patch_jpeg_size(jpeg: bytes, width: int, height: int) -> bytes:
    """The JPEG with another size in its frame header and the same few bytes behind it."""
    frame = next(at for marker in (b"\xff\xc0", b"\xff\xc2") if (at := jpeg.find(marker)) > 0)
    return jpeg[: frame + 5] + struct.pack(">HH", height, width) + jpeg[frame + 9 :]


def block_jpeg(levels: Sequence[NDArray[np.int64]], sampling: Sequence[tuple[int, int]], *, end: bytes = b"") -> bytes:
    """A baseline JPEG of flat 8 x 8 blocks, with any sampling factors and nothing lossy about it.

    Args:
        levels: for each component the value, 0 to 255, of every block: (blocks down, blocks across).
        sampling: for each component its horizontal and vertical factor.
        end: bytes between the picture data and the end marker.
    """
    mcus_across, mcus_down = levels[0].shape[1] // sampling[0][0], levels[0].shape[0] // sampling[0][1]
    wide, high = max(h for h, _ in sampling), max(v for _, v in sampling)
    bits: list[str] = []
    previous = [128] * len(levels)
    for my in range(mcus_down):
        for mx in range(mcus_across):
            for c, (h, v) in enumerate(sampling):
                for level in levels[c][my * v : my * v + v, mx * h : mx * h + h].ravel().tolist():
                    difference, previous[c] = level - previous[c], level
                    size = abs(difference).bit_length()
                    value = difference if difference > 0 else difference + (1 << size) - 1
                    bits.append(f"{size:04b}" + (f"{value:0{size}b}" if size else "") + "0")
    stream = "".join(bits)
    stream += "1" * (-len(stream) % 8)
    scan = bytes(int(stream[i : i + 8], 2) for i in range(0, len(stream), 8)).replace(b"\xff", b"\xff\0")
    count = len(levels)
    frame = struct.pack(">BHHB", 8, mcus_down * high * 8, mcus_across * wide * 8, count)
    frame += b"".join(bytes((c + 1, h << 4 | v, 0)) for c, (h, v) in enumerate(sampling))
    dc_table = bytes((0x00, 0, 0, 0, 12, *[0] * 12, *range(12)))  # twelve sizes of difference, four bits each
    ac_table = bytes((0x10, 1, *[0] * 15, 0))  # nothing but "end of block", one bit
    return b"".join(
        (
            b"\xff\xd8",
            jpeg_segment(0xDB, b"\0" + b"\x08" * 64),  # a step of 8 makes the first coefficient the block's level
            jpeg_segment(0xC0, frame),
            jpeg_segment(0xC4, dc_table + ac_table),
            jpeg_segment(0xDA, bytes((count, *(b for c in range(count) for b in (c + 1, 0)), 0, 63, 0))),
            scan + end + b"\xff\xd9",
        )
    )


def scan_bomb(scans: int) -> bytes:
    """A progressive JPEG whose last scan is repeated: little to store, a pass over the picture each to decode."""
    jpeg = encode(picture(64, 64), "JPEG", progressive=True)
    last = jpeg.rfind(b"\xff\xda")
    return jpeg[:last] + jpeg[last:-2] * scans + jpeg[-2:]


def png_chunk(kind: bytes, body: bytes) -> bytes:
    """One chunk with its checksum."""
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def insert_png_chunk(png: bytes, kind: bytes, body: bytes) -> bytes:
    """The PNG with one more chunk behind its header."""
    return png[:33] + png_chunk(kind, body) + png[33:]


def png_from_rows(
    rows: bytes, width: int, height: int, *, depth: int, colour: int, extra: Sequence[tuple[bytes, bytes]] = ()
) -> bytes:
    """A PNG of raw rows, packed as the depth and colour type say, without filtering."""
    stride = len(rows) // height
    raw = b"".join(b"\0" + rows[i * stride : (i + 1) * stride] for i in range(height))
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    chunks = [(b"IHDR", header), *extra, (b"IDAT", zlib.compress(raw)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(png_chunk(kind, body) for kind, body in chunks)


def png_bomb(width: int, height: int) -> bytes:
    """A PNG that announces a canvas and holds a megabyte of it, deflated to a kilobyte."""
    header = struct.pack(">IIBBBBB", width, height, 8, 6, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", deflated_zeros(1_000_000)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(png_chunk(kind, body) for kind, body in chunks)


@lru_cache(maxsize=4)
def deflated_zeros(size: int) -> bytes:
    """So many zero bytes, deflated a thousandfold."""
    return zlib.compress(b"\0" * size, 9)


def gif_bomb(width: int, height: int) -> bytes:
    """A GIF of a few bytes whose screen and frame cover the whole canvas."""
    screen = b"GIF89a" + struct.pack("<HHBBB", width, height, 0x80, 0, 0) + b"\0\0\0\xff\xff\xff"
    return screen + b"," + struct.pack("<4HB", 0, 0, width, height, 0) + b"\x02\x02\x44\x01\x00;"


def webp_bomb(width: int, height: int) -> bytes:
    """A WebP whose extended header announces a canvas of that size around a small picture."""
    small = encode(picture(16, 16), "WEBP", quality=50)[12:]
    extended = b"VP8X" + struct.pack("<I", 10) + b"\0" * 4
    extended += (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    body = b"WEBP" + extended + small
    return b"RIFF" + struct.pack("<I", len(body)) + body


def avif_bomb(width: int, height: int) -> bytes:
    """An AVIF whose image property announces another size than its picture has."""
    avif = encode(picture(32, 32), "AVIF", quality=50, max_threads=1)
    at = avif.index(b"ispe") + 8
    return avif[:at] + struct.pack(">II", width, height) + avif[at + 8 :]
