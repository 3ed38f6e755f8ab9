"""Manifest columns that a catalog keeps beyond the standard ones."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class ExtraKind(StrEnum):
    """What a kept column holds, which decides how it can be filtered."""

    TEXT = "text"
    """Filtered by values and counted; what a Parquet file types otherwise is kept as it is."""
    NUMBER = "number"
    """Filtered by ranges."""
    FLAG = "flag"
    """True or false."""


@dataclass(frozen=True, slots=True)
class ExtraField:
    """A kept column; written `season`, `weight:number` or `vegan:flag`."""

    name: str
    kind: ExtraKind = ExtraKind.TEXT

    @classmethod
    def parse(cls, written: str) -> ExtraField:
        """Inverse of `str`. ValueError: no such kind."""
        name, mark, kind = written.rpartition(":")
        if not mark:
            return cls(written)
        try:
            return cls(name, ExtraKind(kind))
        except ValueError:
            kinds = ", ".join(ExtraKind)
            raise ValueError(f"{written!r}: there is no kind {kind!r} of field; there are {kinds}") from None

    def __str__(self) -> str:
        return self.name if self.kind is ExtraKind.TEXT else f"{self.name}:{self.kind.value}"
