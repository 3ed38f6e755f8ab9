"""The page: all sections of a run, rendered into one file that loads nothing from anywhere."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

import jinja2
from markupsafe import Markup, escape

from training.report.attention import Attention, attention
from training.report.balance import class_balance
from training.report.boards import Boards, retrieval_boards
from training.report.boxes import Boxes, boxes
from training.report.charts import Chart
from training.report.confusion import Categories, categories
from training.report.curves import Curves, learning_curves
from training.report.evidence import NOT_EVALUATED, Absent, Measurement, Run
from training.report.headline import Summary, summary
from training.report.material import Material
from training.report.mistakes import Mistakes, worst_mistakes
from training.report.pictures import Pictures
from training.report.reliability import Reliability, reliability
from training.report.words import Figure, figure, shortened
from workers.errors import ConfigurationError

_MOST_TABLES: Final = 4
"""Data sets whose matrix and reliability are shown; pictures come from the first one that has any."""

_MOST_BOARDS: Final = 2
_BOARD_ROWS: Final = 8
"""Of each kind over all data sets. With the other sections that makes 222 pictures of at most 30 kB as text."""

Section = TypeVar("Section")


@dataclass(frozen=True, kw_only=True, slots=True)
class Report:
    """Every section as the template takes it."""

    title: str
    summary: Summary
    curves: Curves | Absent
    figures: tuple[tuple[str, tuple[Figure, ...]], ...]
    """Data set and split, and everything measured on it."""
    categories: tuple[Categories | Absent, ...]
    reliability: tuple[Reliability | Absent, ...]
    mistakes: Mistakes | Absent
    boards: tuple[Boards, ...] | Absent
    attention: Attention | Absent
    boxes: Boxes | Absent
    balance: Chart | Absent
    settings: tuple[tuple[str, tuple[tuple[str, str], ...]], ...]
    """Groups, each with names and values."""
    provenance: tuple[tuple[str, str], ...]


def compose(run: Run, material: Material) -> Report:
    """All sections of a run.

    Args:
        run: What `reading.read_run` gave.
        material: The images, for the pictures (single ones that are missing show as not at hand), and what was measured,
            for the overlays.
    """
    measured: tuple[Measurement | None, ...] = run.measurements or (None,)

    def pictured(make: Callable[[Measurement | None, Pictures], Section | Absent]) -> Section | Absent:
        if isinstance(material.images, Absent):
            return material.images
        pictures = Pictures(material.images)
        return _first(measured, lambda m: make(m, pictures))

    of_categories = tuple(categories(m) for m in measured[:_MOST_TABLES])
    of_reliability = tuple(reliability(m) for m in measured[:_MOST_TABLES])
    return Report(
        title=f"Training run {run.folder.resolve().name}",
        summary=summary(run, of_categories[0], of_reliability[0]),
        curves=learning_curves(run.epochs),
        figures=tuple((m.data, tuple(map(figure, m.figures.metrics))) for m in run.measurements),
        categories=of_categories,
        reliability=of_reliability,
        mistakes=pictured(worst_mistakes),
        boards=_boards(run.measurements, material),
        attention=pictured(lambda m, pictures: attention(m, pictures, material.network)),
        boxes=pictured(boxes),
        balance=class_balance(run.data),
        settings=_grouped(run.settings),
        provenance=tuple(_provenance(run)),
    )


def render(report: Report) -> str:
    """The page as text, to be stored as UTF-8. Light or dark as the reader's device prefers, readable on a phone."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("training.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["shortened"] = shortened
    environment.filters["marked"] = _marked
    environment.tests["absent"] = lambda section: isinstance(section, Absent)
    return environment.get_template("report.html.j2").render(report=report)


def _marked(text: str) -> Markup:
    """A sentence with what stands between backquotes set as code."""
    return Markup(re.sub(r"`([^`]*)`", r"<code>\1</code>", str(escape(text))))  # noqa: S704 - escaped just here


def save(page: str, path: Path) -> None:
    """Write the page; an older one stays until the new one is whole.

    Raises:
        ConfigurationError: the place cannot be written to.
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_bytes(page.encode("utf-8", "replace"))  # a file name may hold half a surrogate pair
        partial.replace(path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise ConfigurationError(f"{path} cannot be written: {error.strerror or error}") from error


def _first(
    measured: Iterable[Measurement | None], make: Callable[[Measurement | None], Section | Absent]
) -> Section | Absent:
    """The section of the first data set that has something to say, or the first reason why none has."""
    reasons: list[Absent] = []
    for measurement in measured:
        section = make(measurement)
        if not isinstance(section, Absent):
            return section
        reasons.append(section)
    return reasons[0]


def _boards(measured: tuple[Measurement, ...], material: Material) -> tuple[Boards, ...] | Absent:
    """Those of the first data sets that can be searched, fewer rows each when there are several."""
    if isinstance(material.images, Absent):
        return material.images
    pictures = Pictures(material.images)
    rows = _BOARD_ROWS // min(max(len(measured), 1), _MOST_BOARDS)
    found = [retrieval_boards(m, pictures, rows=rows) for m in measured] or [NOT_EVALUATED]
    boards = tuple(b for b in found if not isinstance(b, Absent))[:_MOST_BOARDS]
    return boards or next(b for b in found if isinstance(b, Absent))


def _grouped(settings: Iterable[tuple[str, str, str]]) -> tuple[tuple[str, tuple[tuple[str, str], ...]], ...]:
    groups: dict[str, list[tuple[str, str]]] = {}
    for group, name, value in settings:
        groups.setdefault(group or "run", []).append((name, value))
    return tuple((group, tuple(own)) for group, own in groups.items())


def _provenance(run: Run) -> Iterator[tuple[str, str]]:
    yield "Digest of the settings (SHA-256)", run.config_digest
    if run.data is not None:
        yield "Digest of the data set (SHA-256)", run.data.digest
        yield "Licence of the images", run.data.licence
    start = run.setting("loop", "start_from")
    if start is not None and start != "none":
        yield "Started from the checkpoint (SHA-256)", start
    if run.evaluation is None:
        return
    yield "Measured", f"{run.evaluation.source} with {run.evaluation.engine}"
    yield "Temperature of the categories", f"{run.evaluation.temperature:.3f}"
    limit = run.evaluation.no_match
    if limit is not None:
        yield (
            "No match below",
            f"similarity {limit.below:.3f}: with their own {limit.by} taken out of the {limit.gallery:,} images they "
            f"search, at most {limit.false_accepts:.0%} of {limit.images:,} images find one above it ({limit.data})",
        )
    for measured in run.evaluation.splits:
        kept = f", searching {measured.gallery:,}" if measured.gallery is not None else ""
        yield f"Images of {measured.data}", f"{measured.images:,} of {measured.groups:,} senders or products{kept}"
