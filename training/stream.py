"""Batches decoded on the fly: every epoch shows new views of every image, and boxes follow them.

Images go through `workers.imaging`, as in serving. What a view looks like depends on seed, epoch and record alone, so
neither the number of decoding processes nor of training processes changes what is learned.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset

from schemas.model_card import Preprocessing
from training.augment import Box, augment_located, crop_to_box
from training.batches import Batch, Wanted, attribute_rows, erase, label_arrays
from training.config import Config
from training.datasets.record import Record
from training.losses.targets import Targets
from training.order import epoch_order, side_by_side
from training.prefetch import prefetched
from training.strong import strengthen
from training.views import DECODE_MARGIN, decode_record
from workers.errors import ConfigurationError
from workers.imaging.preprocess import to_input

_AHEAD = 2
"""Batches a decoding process prepares ahead."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Ticket:
    """An order for one batch; it carries all that a decoding process must know."""

    rows: tuple[int, ...]
    """Records."""
    epoch: int
    size: int
    erasing: float


class ViewMaker(Dataset[Batch]):
    """Makes batches from tickets; runs in decoding processes, which share its records with the training process."""

    def __init__(self, records: Sequence[Record], config: Config, *, attributes: int) -> None:
        self._records = records
        self._config = config
        self._attributes = attributes
        self._labels = label_arrays(records, products={})

    def __getitem__(self, ticket: Ticket) -> Batch | str:  # type: ignore[override]
        """The batch, or one line on why it cannot be: exceptions would not cross the process border in one piece."""
        try:
            return self.make(ticket)
        except ConfigurationError as error:
            return str(error)

    def make(self, ticket: Ticket) -> Batch:
        """The batch of a ticket.

        Raises:
            ConfigurationError: an image cannot be read or decoded.
        """
        count = len(ticket.rows)
        pixels = np.empty((count, ticket.size, ticket.size, 3), dtype=np.uint8)
        boxes = np.full((count, 4), np.nan, dtype=np.float32)
        for at, row in enumerate(ticket.rows):
            pixels[at], box = self._view(row, ticket)
            if box is not None:
                boxes[at] = box
        return Batch(pixels=torch.from_numpy(pixels), targets=self._targets(ticket.rows, boxes))

    def _targets(self, rows: tuple[int, ...], boxes: NDArray[np.float32]) -> Targets:
        at = np.array(rows)
        return Targets(
            category=torch.from_numpy(self._labels.category[at]),
            trust=torch.from_numpy(self._labels.trust[at]),
            attributes=torch.from_numpy(attribute_rows([self._records[r] for r in rows], self._attributes)),
            box=torch.from_numpy(boxes),
            product=torch.from_numpy(self._labels.product[at]),
        )

    def _view(self, row: int, ticket: Ticket) -> tuple[NDArray[np.uint8], Box | None]:
        record, stream, views = self._records[row], self._config.stream, self._config.views
        rng = np.random.default_rng([self._config.loop.seed, ticket.epoch, row])
        plain = rng.random() < stream.plain_share
        decoded = decode_record(record, round(ticket.size * (1 if plain else DECODE_MARGIN)))
        box = record.box
        if stream.box_margin is not None and box is not None:
            cut, box = crop_to_box(decoded.pixels, box, stream.box_margin)
            decoded = replace(decoded, pixels=cut)
        if plain:
            return to_input(decoded, Preprocessing(input_size=ticket.size)), box
        view = augment_located(decoded.pixels, box, views, rng, size=ticket.size)
        shown = strengthen(view.pixels, stream.strong, rng)
        if rng.random() < ticket.erasing:
            erase(shown, rng)
        return shown, view.box if view.visible >= stream.visible_box else None


class ImageStream:
    """All sources decoded on the fly, by processes of their own or on one thread."""

    def __init__(
        self,
        sources: Sequence[Sequence[Record]],
        shares: Sequence[float],
        config: Config,
        *,
        attributes: int,
        pin: bool,
    ) -> None:
        """Start the decoding processes.

        Args:
            sources: Training records of each source.
            shares: Share of each source that an epoch shows.
            config: Of the run.
            attributes: Attributes that records know of.
            pin: Hand batches over in pinned memory, for a GPU.
        """
        self._sources = sources
        self._starts = np.cumsum([0, *(len(records) for records in sources)])
        self._shown = [round(share * len(records)) for share, records in zip(shares, sources, strict=True)]
        self._config = config
        self._maker = ViewMaker([r for records in sources for r in records], config, attributes=attributes)
        self._tickets = _Tickets()
        self._loader = _loader(self._maker, self._tickets, config.stream.processes, pin)

    def __len__(self) -> int:
        """Records an epoch shows."""
        return sum(self._shown)

    def batches(self, wanted: Wanted) -> Iterator[Batch]:
        """The epoch's whole batches from `start` on; the rest of the records waits for another epoch."""
        tickets = self._make_tickets(wanted)
        if self._loader is None:
            yield from prefetched(lambda b: self._maker.make(tickets[b]), range(len(tickets)))
            return
        self._tickets.pending = tickets
        ready = iter(self._loader)
        for _ in tickets:
            batch = _next(ready)
            if isinstance(batch, str):
                raise ConfigurationError(batch)
            yield batch

    def close(self) -> None:
        """End the decoding processes."""
        self._loader = None

    def _make_tickets(self, wanted: Wanted) -> list[Ticket]:
        rng = np.random.default_rng([self._config.loop.seed, wanted.epoch])
        order = epoch_order(self._sources, self._shown, rng)
        together = self._config.loop.images_per_product
        if together > 1:
            order = side_by_side(order, self._sources, together, rng)
        rows = [int(self._starts[s]) + i for s, i in order]
        own = wanted.batch_size // wanted.part.count
        first = wanted.part.index * own
        return [
            Ticket(
                rows=tuple(rows[start + first : start + first + own]),
                epoch=wanted.epoch,
                size=wanted.size,
                erasing=wanted.erasing,
            )
            for start in range(
                wanted.start * wanted.batch_size, len(rows) // wanted.batch_size * wanted.batch_size, wanted.batch_size
            )
        ]


class _Tickets:
    """The sampler: the tickets of the epoch that is about to begin."""

    def __init__(self) -> None:
        self.pending: list[Ticket] = []

    def __iter__(self) -> Iterator[Ticket]:
        return iter(self.pending)

    def __len__(self) -> int:
        return len(self.pending)


def _loader(maker: ViewMaker, tickets: _Tickets, processes: int, pin: bool) -> DataLoader[Batch] | None:
    """Forked once for the whole run: records stay shared memory, and nothing is imported again."""
    if processes == 0:
        return None
    return DataLoader(
        maker,
        batch_size=None,
        sampler=cast(Any, tickets),
        num_workers=processes,
        multiprocessing_context="fork",
        worker_init_fn=_begin_decoding,
        collate_fn=cast(Any, _as_it_is),
        persistent_workers=True,
        prefetch_factor=_AHEAD,
        pin_memory=pin,
        generator=torch.Generator(),  # it draws a number an epoch, which must not come out of the run's own generator
    )


def _begin_decoding(_number: int) -> None:
    cv2.setNumThreads(0)  # a thread pool does not survive the fork, and processes are the parallelism here


def _as_it_is(batch: Batch) -> Batch:
    return batch


def _next(ready: Iterator[Any]) -> Batch | str:
    try:
        return cast(Batch | str, next(ready))
    except RuntimeError as error:
        raise ConfigurationError(
            f"a decoding process ended ({str(error).splitlines()[0]}): resume the run, with less in memory or with "
            "stream.processes 0"
        ) from error
