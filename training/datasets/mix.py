"""Which records serve which purpose."""

from __future__ import annotations

from collections.abc import Sequence

from training.config import DataConfig
from training.datasets.record import Record, Split
from training.datasets.sources import load_data_set


def load_records(config: DataConfig) -> tuple[Record, ...]:
    """The records of `load_data_set`."""
    return load_data_set(config).records


def select(records: Sequence[Record], split: Split, *, source: str | None = None) -> tuple[Record, ...]:
    """Records of a split (and a source).

    Of measured splits only those whose category is fully trusted, or masked beside labels of other tasks.
    """
    return tuple(
        r for r in records if r.split == split and source in (None, r.source) and (split == "train" or _measured(r))
    )


def _measured(record: Record) -> bool:
    return record.trust == 1.0 if record.category is not None else record.labelled
