"""Batches, and the cached views that they are made of where a teacher is asked."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from training.augment import shrink
from training.datasets.attributes import UNKNOWN
from training.datasets.record import Record
from training.losses.targets import Targets
from training.order import Place, epoch_order, side_by_side
from training.prefetch import prefetched
from training.teacher import Basis
from training.views import Views

_ERASED_AREA = (0.03, 0.25)
_ERASED_ASPECT = (0.4, 2.5)
"""Share of the area and height over width of an erased rectangle, near Zhong et al. 2020."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Batch:
    """N views and what the student should make of them."""

    pixels: torch.Tensor
    """(N, S, S, 3) uint8."""
    targets: Targets

    def split(self, parts: int) -> list[Batch]:
        """Equal shares of a batch whose size is a multiple of `parts`."""
        columns = {name: tensor.chunk(parts) for name, tensor in _tensors(self.targets)}
        return [
            Batch(pixels=p, targets=Targets(**{name: column[i] for name, column in columns.items()}))
            for i, p in enumerate(self.pixels.chunk(parts))
        ]

    def to(self, device: torch.device) -> Batch:
        """The batch on a device."""
        moved = {name: tensor.to(device, non_blocking=True) for name, tensor in _tensors(self.targets)}
        return Batch(pixels=self.pixels.to(device, non_blocking=True), targets=Targets(**moved))

    def pin_memory(self) -> Batch:
        """The batch in memory that a GPU reads by itself; torch's loader calls this."""
        pinned = {name: tensor.pin_memory() for name, tensor in _tensors(self.targets)}
        return Batch(pixels=self.pixels.pin_memory(), targets=Targets(**pinned))


@dataclass(frozen=True, kw_only=True, slots=True)
class Part:
    """The part of every batch that this process makes: the whole, or one of `count` equal ones."""

    index: int = 0
    count: int = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class Wanted:
    """An epoch's batches."""

    epoch: int
    batch_size: int
    """Of the whole batch, over all parts."""
    size: int
    """Side of the views in pixels."""
    erasing: float = 0.0
    """Share of the views with a rectangle erased."""
    start: int = 0
    """Batches to leave out, because they were seen before the run was stopped."""
    part: Part = Part()


class Feed(Protocol):
    """Where batches come from. The batches of an epoch are a function of the seed and the epoch alone."""

    def __len__(self) -> int:
        """Records an epoch shows."""
        ...

    def batches(self, wanted: Wanted) -> Iterator[Batch]:
        """The epoch's whole batches from `start` on; the rest of the records waits for another epoch."""
        ...

    def close(self) -> None:
        """End what works ahead."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Labels:
    """What is known of every record of a source, by the numbers that the losses use."""

    category: NDArray[np.int64]
    """(N,); any value where `trust` is 0."""
    trust: NDArray[np.float32]
    """(N,)."""
    product: NDArray[np.int64]
    """(N,); -1 unknown."""


def label_arrays(records: Sequence[Record], *, products: dict[str, int]) -> Labels:
    """The labels of records in their order; new products are numbered on in `products`."""
    named = [None if r.product is None else f"{r.source}/{r.product}" for r in records]
    return Labels(
        category=np.array([0 if r.category is None else r.category for r in records], dtype=np.int64),
        trust=np.array([0.0 if r.category is None else r.trust for r in records], dtype=np.float32),
        product=np.array(
            [UNKNOWN if p is None else products.setdefault(p, len(products)) for p in named], dtype=np.int64
        ),
    )


def attribute_rows(records: Sequence[Record], attributes: int) -> NDArray[np.float32]:
    """(N, A) what is known of the attributes of these records; unpacked only here, for they are many."""
    rows = np.full((len(records), attributes), UNKNOWN, dtype=np.float32)
    for row, record in zip(rows, records, strict=True):
        if record.attributes is not None:
            row[:] = np.asarray(record.attributes)
    return rows


@dataclass(frozen=True, kw_only=True, slots=True)
class Source:
    """One source's training records with their views and soft labels."""

    records: Sequence[Record]
    views: Views
    soft: NDArray[np.floating[Any]]
    """(N, V, C)."""
    share: float = 1.0
    """Share of the records an epoch shows, others each time."""


class TrainingSet:
    """All sources' cached views as one: an epoch shows each source's share once, in another order and another view."""

    def __init__(
        self, sources: Sequence[Source], basis: Basis, *, seed: int, attributes: int = 0, together: int = 1
    ) -> None:
        """Put sources together.

        Args:
            sources: Their records with views.
            basis: What the teacher's features are expressed in.
            seed: Of order, views and erased rectangles.
            attributes: Attributes that the data set knows.
            together: Images of a product that follow each other.
        """
        self._sources = sources
        self._records = [source.records for source in sources]
        self._basis = basis
        self._seed = seed
        self._shown = [round(source.share * len(source.records)) for source in sources]
        rng = np.random.default_rng(seed)
        self._offsets = [rng.integers(0, 2**31, len(source.records)) for source in sources]
        products: dict[str, int] = {}
        self._labels = [label_arrays(s.records, products=products) for s in sources]
        self._attributes = attributes
        self._together = together

    def __len__(self) -> int:
        """Records an epoch shows."""
        return sum(self._shown)

    def batches(self, wanted: Wanted) -> Iterator[Batch]:
        """The epoch's whole batches from `start` on; the rest of the records waits for another epoch."""
        rng = np.random.default_rng([self._seed, wanted.epoch])
        order = epoch_order(self._records, self._shown, rng)
        if self._together > 1:
            order = side_by_side(order, self._records, self._together, rng)
        count = len(order) // wanted.batch_size
        seeds = rng.integers(0, 2**31, count)

        def make(b: int) -> Batch:
            chosen = order[b * wanted.batch_size : (b + 1) * wanted.batch_size]
            whole = self._make(chosen, wanted, np.random.default_rng(seeds[b]))
            return whole.split(wanted.part.count)[wanted.part.index]

        yield from prefetched(make, range(wanted.start, count))

    def close(self) -> None:
        """Nothing works ahead between epochs."""

    def _make(self, chosen: Sequence[Place], wanted: Wanted, rng: np.random.Generator) -> Batch:
        pixels = np.empty((len(chosen), wanted.size, wanted.size, 3), dtype=np.uint8)
        pooled, positions, soft = [], [], []
        for row, (s, i) in enumerate(chosen):
            source = self._sources[s]
            view = int((self._offsets[s][i] + wanted.epoch) % source.views.pixels.shape[1])
            mirrored = rng.random() < 0.5
            image = shrink(np.asarray(source.views.pixels[i, view]), wanted.size)
            pixels[row] = image[:, ::-1] if mirrored else image
            if rng.random() < wanted.erasing:
                erase(pixels[row], rng)
            pooled.append(source.views.pooled[i, view])
            positions.append(_grid(np.asarray(source.views.positions[i, view], dtype=np.float32), mirrored))
            soft.append(np.asarray(source.soft[i, view], dtype=np.float32))
        labels = [self._labels[s] for s, _ in chosen]
        rows = [(own, i) for own, (_, i) in zip(labels, chosen, strict=True)]
        targets = Targets(
            category=torch.tensor([int(own.category[i]) for own, i in rows]),
            trust=torch.tensor([float(own.trust[i]) for own, i in rows], dtype=torch.float32),
            soft=torch.from_numpy(np.stack(soft)),
            pooled=torch.from_numpy(self._basis.standardise(np.stack(pooled))),
            positions=torch.from_numpy(np.stack(positions)),
            attributes=torch.from_numpy(attribute_rows([self._records[s][i] for s, i in chosen], self._attributes)),
            product=torch.tensor([int(own.product[i]) for own, i in rows]),
        )
        return Batch(pixels=torch.from_numpy(pixels), targets=targets)


def erase(pixels: NDArray[np.uint8], rng: np.random.Generator) -> None:
    """Fill a random rectangle with noise, in place."""
    side = pixels.shape[0]
    area = rng.uniform(*_ERASED_AREA) * side * side
    aspect = np.exp(rng.uniform(*np.log(_ERASED_ASPECT)))
    height = int(min(side, (area * aspect) ** 0.5))
    width = int(min(side, (area / aspect) ** 0.5))
    top, left = rng.integers(0, side - height + 1), rng.integers(0, side - width + 1)
    pixels[top : top + height, left : left + width] = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)


def _grid(positions: NDArray[np.float32], mirrored: bool) -> NDArray[np.float32]:
    """(G * G, K) positions as a (K, G, G) map, mirrored with its view."""
    side = round(len(positions) ** 0.5)
    grid = positions.reshape(side, side, -1).transpose(2, 0, 1)
    return np.ascontiguousarray(grid[:, :, ::-1] if mirrored else grid)


def _tensors(targets: Targets) -> list[tuple[str, torch.Tensor]]:
    found = [(f.name, getattr(targets, f.name)) for f in fields(Targets)]
    return [(name, tensor) for name, tensor in found if tensor is not None]
