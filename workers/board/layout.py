"""Where everything of a board stands, in pixels: a grid of equal columns, the query on the left of a divider."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from workers.board.captions import facts
from workers.board.lettering import MUTED, Style
from workers.board.tiles import Board, Row, Tile
from workers.errors import ContractError

HEADING: Final = Style(size_px=34, weight=650)
SUBHEADING: Final = Style(size_px=19, colour=MUTED)
TITLE: Final = Style(size_px=17, weight=560)
FACT: Final = Style(size_px=17, colour=MUTED)

MARGIN: Final = 48
SUBHEADING_Y: Final = MARGIN + HEADING.line_px + 6
PICTURE_WIDTH: Final = 264
PICTURE_HEIGHT: Final = 352
"""3 : 4, the usual portrait of a product photograph."""
STRIP_HEIGHT: Final = 34
"""Above the picture: its rank, and the mark of the same product."""
FRAME: Final = 5
"""Width of the frame around strip and picture."""
GAP: Final = 24
DIVIDER_GAP: Final = 34
"""On either side of the divider."""
MIN_COLUMNS: Final = 3
MAX_COLUMNS: Final = 6
"""Neighbours beside each other before the next line begins: 2,132 pixels, which a wide screen shows whole."""
MAX_PIXELS: Final = 60_000_000
"""Of the whole sheet (180 MB while it is drawn); below the 89 million at which Pillow warns of a bomb."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Placed:
    """A tile at its place."""

    tile: Tile
    rank: int
    """Of a neighbour, from 1; 0 for a query."""
    x: int
    y: int
    """Upper left corner of the strip; frame outside, picture below it."""

    @property
    def label(self) -> str:
        """What the strip says."""
        return str(self.rank) if self.rank else "Query"

    @property
    def picture_y(self) -> int:
        """Upper edge of the picture."""
        return self.y + STRIP_HEIGHT

    @property
    def caption_y(self) -> int:
        """Upper edge of the text below."""
        return self.picture_y + PICTURE_HEIGHT + FRAME + 8


@dataclass(frozen=True, kw_only=True, slots=True)
class Divider:
    """The vertical line between a query and its neighbours."""

    x: int
    top: int
    bottom: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Sheet:
    """A board laid out."""

    width: int
    height: int
    placed: tuple[Placed, ...]
    """In reading order: query, its neighbours, next query."""
    dividers: tuple[Divider, ...]
    without_hits: tuple[Placed, ...]
    """Queries that have no neighbours."""


def lay_out(board: Board) -> Sheet:
    """Place every tile.

    Raises:
        ContractError: the sheet would have more than 60 million pixels.
    """
    columns = min(max([len(row.hits) for row in board.rows] + [MIN_COLUMNS]), MAX_COLUMNS)
    hits_x = MARGIN + PICTURE_WIDTH + 2 * DIVIDER_GAP
    width = hits_x + columns * PICTURE_WIDTH + (columns - 1) * GAP + MARGIN
    y = SUBHEADING_Y + (SUBHEADING.line_px if board.subheading.strip() else 0) + 30
    placed: list[Placed] = []
    dividers: list[Divider] = []
    without_hits: list[Placed] = []
    for row in board.rows:
        query = Placed(tile=row.query, rank=0, x=MARGIN, y=y)
        placed.append(query)
        if not row.hits:
            without_hits.append(query)
        line_height = _line_height(row)
        top = y
        for first in range(0, max(len(row.hits), 1), columns):
            for column, tile in enumerate(row.hits[first : first + columns]):
                x = hits_x + column * (PICTURE_WIDTH + GAP)
                placed.append(Placed(tile=tile, rank=first + column + 1, x=x, y=y))
            y += line_height + GAP
        dividers.append(Divider(x=hits_x - DIVIDER_GAP, top=top - FRAME, bottom=y - GAP))
        y += 2 * GAP
    height = y - 3 * GAP + MARGIN if board.rows else y + MARGIN + HEADING.line_px
    if width * height > MAX_PIXELS:
        raise ContractError(
            f"a picture of {len(placed):,} tiles would have {width * height / 1e6:,.0f} million pixels, "
            f"over {MAX_PIXELS / 1e6:.0f} million; draw fewer, or write the board as .html"
        )
    return Sheet(
        width=width, height=height, placed=tuple(placed), dividers=tuple(dividers), without_hits=tuple(without_hits)
    )


def _line_height(row: Row) -> int:
    """Height of one line of tiles: the longest caption of the row sets it for all."""
    fact_lines = max(len(facts(tile)) for tile in (row.query, *row.hits))
    return STRIP_HEIGHT + PICTURE_HEIGHT + FRAME + 8 + TITLE.line_px + fact_lines * FACT.line_px
