"""What one image may cost: bounds that are checked on bytes and headers, before memory is spent on pixels."""

from __future__ import annotations

from dataclasses import dataclass

from schemas.outcomes import Reason
from workers.errors import ItemError


@dataclass(frozen=True, kw_only=True, slots=True)
class DecodeLimits:
    """Bounds of one image. The defaults fit a studio camera's file and keep a worker's memory under control."""

    max_bytes: int = 32 * 1024 * 1024
    """Size of the encoded file."""
    max_pixels: int = 64_000_000
    """Width times height of the canvas as the header states it. Measured at 64 million pixels, decoding takes up to 9 bytes
    for each at its peak, and 15 for WebP; a sequential JPEG next to nothing, because it is scaled on its way."""
    min_side: int = 8
    """Pixels; one block of JPEG. Anything narrower is a spacer or a tracking pixel."""

    def check_bytes(self, size: int) -> None:
        """Refuse an empty or an overlong file.

        Raises:
            ItemError: empty or too_large.
        """
        if size == 0:
            raise ItemError(Reason.EMPTY, "the file has no bytes")
        if size > self.max_bytes:
            raise ItemError(Reason.TOO_LARGE, f"{size:,} bytes; at most {self.max_bytes:,} are read")

    def check_canvas(self, width: int, height: int) -> None:
        """Refuse a canvas that is impossible, too small or too large, by the header's figures alone.

        Raises:
            ItemError: corrupt (no area), too_small or too_many_pixels.
        """
        if width <= 0 or height <= 0:
            raise ItemError(Reason.CORRUPT, f"the header states a size of {width} x {height} pixels")
        if width * height > self.max_pixels:
            raise ItemError(
                Reason.TOO_MANY_PIXELS,
                f"{width} x {height} is {width * height:,} pixels; at most {self.max_pixels:,} are decoded",
            )
        if min(width, height) < self.min_side:
            raise ItemError(
                Reason.TOO_SMALL, f"{width} x {height} pixels; both sides need {self.min_side} pixels or more"
            )
