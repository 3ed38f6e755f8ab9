"""Charts as SVG inside the page: drawn by matplotlib, coloured by the page's own style, so that they follow its theme."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.typing import RcKeyType

INK: Final = "#010101"
MUTED: Final = "#010102"
LINE: Final = "#010103"
SERIES: Final = ("#010111", "#010112", "#010113", "#010114", "#010115", "#010116")
"""Stand-ins that matplotlib can draw with; `_themed` turns each into the style sheet's variable. Nobody sees them."""
_VARIABLES: Final = {INK: "--ink", MUTED: "--muted", LINE: "--line"} | {
    stand_in: f"--series-{number}" for number, stand_in in enumerate(SERIES, 1)
}
DASHES: Final = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 3)))
MARKERS: Final = ("o", "s", "^", "D", "v", "P")
"""A series is told apart by line and mark as well, for readers and printers without colours."""
_WIDTH_IN: Final = 5.0
_HEIGHT_IN: Final = 3.1
"""360 x 223 points with 10-point letters: read as it is on a phone, and two or three beside each other on a desktop."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Table:
    """Numbers behind a chart, for who does not see it and for who wants to know exactly."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Chart:
    """A picture of numbers."""

    title: str
    description: str
    """What the picture shows, in words."""
    svg: str
    """An `<svg>` element; safe to put into a page as it is."""
    table: Table


@dataclass(slots=True)
class Canvas:
    """What `canvas` hands out: draw on `axes`, take `svg` after the block."""

    axes: Axes
    svg: str = ""


@contextmanager
def canvas(identity: str, *, height_in: float = _HEIGHT_IN) -> Iterator[Canvas]:
    """Axes to draw on inside the block; the canvas has its SVG when the block ends.

    Args:
        identity: A word of its own for each chart of a page; it begins the ids inside the SVG.
        height_in: The width is always five inches.
    """
    from matplotlib import rc_context
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    with rc_context(_style()):
        figure = Figure(figsize=(_WIDTH_IN, height_in), layout="constrained")
        FigureCanvasSVG(figure)
        axes = figure.add_subplot()
        axes.spines[["top", "right"]].set_visible(False)
        drawn = Canvas(axes=axes)
        yield drawn
        buffer = io.StringIO()
        with warnings.catch_warnings():  # letters that the measuring font lacks are still letters in the page
            warnings.filterwarnings("ignore", message="Glyph", category=UserWarning)
            figure.savefig(buffer, format="svg", transparent=True, metadata=dict.fromkeys(_METADATA))
    drawn.svg = _themed(buffer.getvalue(), identity)


def legend(axes: Axes, columns: int = 2) -> None:
    """Name the series above the axes, where no line can run through the words."""
    axes.legend(loc="lower left", bbox_to_anchor=(0.0, 1.0), ncols=columns, borderaxespad=0.2, handlelength=3.2)


def plain(text: str) -> str:
    """Text of unknown origin, such as a label, that matplotlib takes as it stands: no formulas."""
    return text.replace("$", r"\$")


_METADATA: Final = ("Date", "Creator", "Format", "Type")
"""What matplotlib would say of itself and of the clock: left out, so that equal runs give equal pages."""


def _style() -> dict[RcKeyType, object]:
    return {
        "svg.fonttype": "none",
        "svg.hashsalt": "report",
        "font.family": "sans-serif",
        "font.sans-serif": ["DejaVu Sans"],
        "font.size": 10.0,
        "legend.fontsize": 9.5,
        "legend.frameon": False,
        "text.color": INK,
        "axes.edgecolor": MUTED,
        "axes.labelcolor": INK,
        "xtick.color": MUTED,
        "ytick.color": MUTED,
        "xtick.labelcolor": INK,
        "ytick.labelcolor": INK,
        "axes.grid": True,
        "axes.axisbelow": True,
        "grid.color": LINE,
        "lines.linewidth": 1.8,
        "lines.markersize": 4.0,
    }


def _themed(svg: str, identity: str) -> str:
    """The bare element: colours as variables, the page's own letters, ids that no other chart has."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r"<style.*?</style>|<!--.*?-->", "", svg, flags=re.DOTALL)
    svg = re.sub(r'(<svg[^>]*?) width="[^"]*" height="[^"]*"', r'\1 aria-hidden="true" focusable="false"', svg, count=1)
    svg = re.sub(r"font-family: [^;\"]*;? ?", "", svg)
    svg = svg.replace("xlink:href=", "href=")
    wanted = set(re.findall(r"#([\w.-]+)[\")]", svg))
    svg = re.sub(r' id="([^"]+)"', lambda m: f' id="{identity}-{m[1]}"' if m[1] in wanted else "", svg)
    svg = re.sub(r'(href="|url\()#', rf"\1#{identity}-", svg)
    for stand_in, variable in _VARIABLES.items():
        svg = svg.replace(stand_in, f"var({variable})")
    return re.sub(r"\s*\n\s*", " ", svg).strip()
