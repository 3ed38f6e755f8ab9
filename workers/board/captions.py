"""The words of a board, the same for both forms."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from typing import Final

from workers.board.tiles import Tile

NO_NEIGHBOURS: Final = "no neighbours"
NO_QUERIES: Final = "no queries"
NO_PICTURE: Final = "picture could not be read"
SAME_PRODUCT: Final = "same product"
LEGEND: Final = (
    "Under each picture: the category the model predicts and how sure it is of it; under a neighbour also its cosine "
    "similarity to the query. A green frame with a tick marks the query's own product."
)
_MAX_CHARS: Final = 400
"""No line of a board can show more; longer text is cut before it is measured."""
_BIDI_CONTROLS: Final = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
"""They could make one tile's text swallow or reverse what stands beside it."""


def legible(text: str) -> str:
    """One line of text that every renderer takes: no control characters, no halves of a surrogate pair, composed."""
    kept = "".join(_safe(character) for character in elide(text, lambda part: len(part) <= _MAX_CHARS))
    return " ".join(unicodedata.normalize("NFC", kept).split())


def elide(text: str, fits: Callable[[str], bool]) -> str:
    """The text if it fits, or with as little as possible left out of its middle: a key's folder and its end both count."""
    if fits(text):
        return text
    low, high = 0, max(len(text) - 1, 0)  # `low` characters fit, more than `high` do not
    while low < high:
        kept = (low + high + 1) // 2
        if fits(_without_middle(text, kept)):
            low = kept
        else:
            high = kept - 1
    return _without_middle(text, low)


def facts(tile: Tile) -> tuple[str, ...]:
    """What stands under a tile's title: category with confidence, similarity, further lines."""
    category = legible(tile.category) if tile.category else "category unknown"
    if tile.category and tile.confidence is not None:
        category += f", {tile.confidence:.0%} sure"
    similarity = () if tile.score is None else (f"similarity {tile.score:.3f}",)
    return (category, *similarity, *(legible(line) for line in tile.lines))


def description(tile: Tile, label: str) -> str:
    """The picture in words, for who does not see it."""
    parts = [f"{label}: {legible(tile.title)}"]
    if tile.category:
        parts.append(legible(tile.category))
    if tile.same_product:
        parts.append(SAME_PRODUCT)
    if tile.image is None:
        parts.append(NO_PICTURE)
    return ", ".join(parts)


def _safe(character: str) -> str:
    if character in _BIDI_CONTROLS:
        return ""
    kind = unicodedata.category(character)
    if kind == "Cs":
        return "\ufffd"
    return " " if kind in ("Cc", "Zl", "Zp") else character


def _without_middle(text: str, kept: int) -> str:
    head = (kept + 1) // 2
    return f"{text[:head]}…{text[len(text) - (kept - head) :]}"
