"""A board as one picture."""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from workers.board.captions import NO_NEIGHBOURS, NO_PICTURE, NO_QUERIES, SAME_PRODUCT, facts
from workers.board.layout import (
    FACT,
    FRAME,
    HEADING,
    MARGIN,
    PICTURE_HEIGHT,
    PICTURE_WIDTH,
    STRIP_HEIGHT,
    SUBHEADING,
    SUBHEADING_Y,
    TITLE,
    Placed,
    Sheet,
    lay_out,
)
from workers.board.lettering import INK, MUTED, PAPER, Colour, Style, width_px, write, write_centred
from workers.board.picture import fitted
from workers.board.tiles import Board

GREEN: Final[Colour] = (21, 128, 61)
"""White text on it has a contrast of 5 : 1."""
_LINE: Final[Colour] = (212, 212, 216)
_GROUND: Final[Colour] = (244, 244, 245)
"""Behind a picture that does not fill its place."""


def render_png(board: Board) -> bytes:
    """Draw the board; the same product is framed green, with a tick and the words for it.

    Raises:
        ContractError: the board is too large for one picture.
    """
    sheet = lay_out(board)
    canvas = np.full((sheet.height, sheet.width, 3), PAPER, dtype=np.uint8)
    inner = sheet.width - 2 * MARGIN
    write(canvas, board.heading, x=MARGIN, y=MARGIN, max_width=inner, style=HEADING)
    write(canvas, board.subheading, x=MARGIN, y=SUBHEADING_Y, max_width=inner, style=SUBHEADING)
    for placed in sheet.placed:
        _draw_tile(canvas, placed)
    _draw_lines(canvas, sheet)
    _, data = cv2.imencode(".png", cv2.cvtColor(canvas, cv2.COLOR_RGB2BGR))
    return bytes(data)


def _draw_lines(canvas: NDArray[np.uint8], sheet: Sheet) -> None:
    for divider in sheet.dividers:
        cv2.line(canvas, (divider.x, divider.top), (divider.x, divider.bottom), _LINE, 2)
    if not sheet.placed:
        write(canvas, NO_QUERIES, x=MARGIN, y=sheet.height - MARGIN - 40, max_width=sheet.width, style=HEADING)
    for query in sheet.without_hits:
        x = query.x + PICTURE_WIDTH
        middle = query.picture_y + PICTURE_HEIGHT // 2
        style = Style(size_px=24, colour=MUTED)
        write_centred(canvas, NO_NEIGHBOURS, x=x, y=middle - 20, width=sheet.width - x - MARGIN, style=style)


def _draw_tile(canvas: NDArray[np.uint8], placed: Placed) -> None:
    x, y = placed.x, placed.y
    frame = GREEN if placed.tile.same_product else _LINE if placed.rank else INK
    outer = (x - FRAME, y - FRAME), (x + PICTURE_WIDTH + FRAME - 1, placed.picture_y + PICTURE_HEIGHT + FRAME - 1)
    cv2.rectangle(canvas, *outer, frame, cv2.FILLED)
    _draw_strip(canvas, placed, ink=INK if frame == _LINE else PAPER)
    _draw_picture(canvas, placed)
    y = placed.caption_y
    write(canvas, placed.tile.title, x=x, y=y, max_width=PICTURE_WIDTH, style=TITLE)
    y += TITLE.line_px
    for fact in facts(placed.tile):
        write(canvas, fact, x=x, y=y, max_width=PICTURE_WIDTH, style=FACT)
        y += FACT.line_px


def _draw_strip(canvas: NDArray[np.uint8], placed: Placed, *, ink: Colour) -> None:
    style = Style(size_px=18, weight=600, colour=ink)
    inset = 8
    x, y = placed.x + inset, placed.y + (STRIP_HEIGHT - style.line_px) // 2 - 2
    write(canvas, placed.label, x=x, y=y, max_width=PICTURE_WIDTH // 3, style=style)
    if placed.tile.same_product:
        room = width_px(SAME_PRODUCT, style)
        x = placed.x + PICTURE_WIDTH - inset - room
        middle = placed.y + STRIP_HEIGHT // 2 - 2
        tick = np.array([(x - 24, middle), (x - 18, middle + 6), (x - 7, middle - 7)], dtype=np.int32)
        cv2.polylines(canvas, [tick], isClosed=False, color=ink, thickness=3, lineType=cv2.LINE_AA)
        write(canvas, SAME_PRODUCT, x=x, y=y, max_width=room, style=style)


def _draw_picture(canvas: NDArray[np.uint8], placed: Placed) -> None:
    ground = canvas[placed.picture_y : placed.picture_y + PICTURE_HEIGHT, placed.x : placed.x + PICTURE_WIDTH]
    ground[:] = _GROUND
    pixels = fitted(placed.tile, width=PICTURE_WIDTH, height=PICTURE_HEIGHT, enlarge=True)
    if pixels is None:
        middle = placed.picture_y + PICTURE_HEIGHT // 2
        style = Style(size_px=18, colour=MUTED)
        write_centred(canvas, NO_PICTURE, x=placed.x, y=middle - 14, width=PICTURE_WIDTH, style=style)
        return
    height, width = pixels.shape[:2]
    top, left = (PICTURE_HEIGHT - height) // 2, (PICTURE_WIDTH - width) // 2
    ground[top : top + height, left : left + width] = pixels
