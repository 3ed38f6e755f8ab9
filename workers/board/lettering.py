"""Text on pixels, with the scalable fonts that OpenCV carries: every script, the same on every machine."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from workers.board.captions import elide, legible

Colour = tuple[int, int, int]
"""Red, green, blue."""

INK: Final[Colour] = (24, 24, 27)
MUTED: Final[Colour] = (94, 94, 104)
PAPER: Final[Colour] = (255, 255, 255)


@dataclass(frozen=True, kw_only=True, slots=True)
class Style:
    """How a line of text looks."""

    size_px: int
    weight: int = 400
    """100 thin, 400 regular, 700 bold."""
    colour: Colour = INK

    @property
    def line_px(self) -> int:
        """Height of a line with the room around it."""
        return round(self.size_px * 1.45)

    @property
    def baseline_px(self) -> int:
        """From the top of the line down to the letters' feet."""
        return round(self.size_px * 1.06)


def width_px(text: str, style: Style) -> int:
    """Width of legible text in pixels."""
    _, _, width, _ = cv2.getTextSize((0, 0), text, (0, 0), cv2.FontFace("sans"), style.size_px, style.weight)
    return int(width)


def visual_order(text: str) -> str:
    """Turn runs of Hebrew and Arabic around: OpenCV draws every script from left to right, without joining letters."""
    return _RIGHT_TO_LEFT.sub(lambda run: run[0][::-1], text)


_RTL_LETTERS: Final = "[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc]"
_RIGHT_TO_LEFT: Final = re.compile(f"{_RTL_LETTERS}+(?: +{_RTL_LETTERS}+)*")


def write(canvas: NDArray[np.uint8], text: str, *, x: int, y: int, max_width: int, style: Style) -> None:
    """Write one line whose top left corner is (x, y), its middle left out where it is too long."""
    line = elide(legible(text), lambda part: width_px(part, style) <= max_width)
    foot = (x, y + style.baseline_px)
    cv2.putText(canvas, visual_order(line), foot, style.colour, cv2.FontFace("sans"), style.size_px, style.weight)


def write_centred(canvas: NDArray[np.uint8], text: str, *, x: int, y: int, width: int, style: Style) -> None:
    """Write one line in the middle of a span that begins at x."""
    line = elide(legible(text), lambda part: width_px(part, style) <= width)
    write(canvas, line, x=x + (width - width_px(line, style)) // 2, y=y, max_width=width, style=style)
