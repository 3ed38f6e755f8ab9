"""The result board: queries and their neighbours side by side, as a picture (PNG) and as one self-contained page (HTML)."""

from workers.board.html import render_html
from workers.board.png import render_png
from workers.board.save import save
from workers.board.tiles import Board, Row, Tile

__all__ = ["Board", "Row", "Tile", "render_html", "render_png", "save"]
