"""A board as one page that loads nothing from anywhere: style and pictures are inside."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import Final

import jinja2

from workers.board.captions import (
    LEGEND,
    NO_NEIGHBOURS,
    NO_PICTURE,
    NO_QUERIES,
    SAME_PRODUCT,
    description,
    elide,
    facts,
    legible,
)
from workers.board.picture import fitted, jpeg
from workers.board.tiles import Board, Tile

_PICTURE_WIDTH: Final = 480
_PICTURE_HEIGHT: Final = 640
"""Twice what a tile measures on a page, for dense screens."""
_TITLE_CHARS: Final = 72
"""About three lines under a picture; the whole title is its tooltip."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Figure:
    """A tile as the template takes it."""

    label: str
    source: str | None
    """Data URI."""
    description: str
    title: str
    whole_title: str
    facts: tuple[str, ...]
    same_product: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class _Figures:
    """A row as the template takes it."""

    query: _Figure
    hits: tuple[_Figure, ...]


def render_html(board: Board) -> str:
    """The page as text, to be stored as UTF-8. Light or dark as the reader's device prefers, readable on a phone."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("workers.board"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    rows = tuple(
        _Figures(
            query=_figure(row.query, "Query"),
            hits=tuple(_figure(tile, str(rank)) for rank, tile in enumerate(row.hits, 1)),
        )
        for row in board.rows
    )
    return environment.get_template("board.html.j2").render(
        heading=legible(board.heading),
        subheading=legible(board.subheading),
        rows=rows,
        legend=LEGEND,
        no_neighbours=NO_NEIGHBOURS,
        no_picture=NO_PICTURE,
        no_queries=NO_QUERIES,
        same_product=SAME_PRODUCT,
    )


def _figure(tile: Tile, label: str) -> _Figure:
    pixels = fitted(tile, width=_PICTURE_WIDTH, height=_PICTURE_HEIGHT, enlarge=False)
    source = None if pixels is None else f"data:image/jpeg;base64,{base64.b64encode(jpeg(pixels)).decode()}"
    title = legible(tile.title)
    return _Figure(
        label=label,
        source=source,
        description=description(tile, "Query" if label == "Query" else f"Neighbour {label}"),
        title=elide(title, lambda part: len(part) <= _TITLE_CHARS),
        whole_title=title,
        facts=facts(tile),
        same_product=tile.same_product,
    )
