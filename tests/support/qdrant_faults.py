"""Faults that the stand-in for a Qdrant server injects, drawn from a seed."""

from __future__ import annotations

import random
import threading
from collections import Counter
from dataclasses import asdict, dataclass, fields
from typing import Any


@dataclass(frozen=True, kw_only=True, slots=True)
class Faults:
    """What goes wrong from now on. A share is the part of the requests it happens to, 0 to 1."""

    seed: int = 0
    writes_only: bool = False
    """Reads are answered as usual."""
    refuse_s: float = 0.0
    """Refuse connections for so long, beginning now, and drop those that are open."""
    busy_share: float = 0.0
    """Answer 429."""
    retry_after_s: int | None = None
    """The 429's `Retry-After`."""
    error_share: float = 0.0
    """Answer `error_status`; the request has no effect."""
    error_status: int = 503
    slow_share: float = 0.0
    slow_s: float = 0.0
    partial_share: float = 0.0
    """Apply the first half of an upsert, then answer 500."""
    lost_share: float = 0.0
    """Apply the request, then end the connection without an answer."""
    refused_keys: tuple[str, ...] = ()
    """Upserts with a point of such a `key` in its payload: those before it are applied, then 400."""
    waiting_share: float = 0.0
    """Answer a write with 200 and `wait_timeout`; it has no effect yet (nor later)."""

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Faults:
        """Raises ValueError for a fault that is unknown."""
        if unknown := set(data) - {f.name for f in fields(cls)}:
            raise ValueError(f"unknown faults {sorted(unknown)}")
        return cls(**{**data, "refused_keys": tuple(data.get("refused_keys", ()))})

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


class FaultPlan:
    """The faults in force and how often each was injected. Thread-safe."""

    def __init__(self, faults: Faults | None = None) -> None:
        self._lock = threading.Lock()
        self.injected: Counter[str] = Counter()
        self.set(faults or Faults())

    def set(self, faults: Faults) -> None:
        with self._lock:
            self.faults = faults
            self._random = random.Random(faults.seed)

    def happens(self, name: str, *, write: bool) -> bool:
        """Whether the fault befalls this request; counted when it does."""
        share: float = getattr(self.faults, f"{name}_share")
        if not share or (self.faults.writes_only and not write):
            return False
        with self._lock:
            befalls = self._random.random() < share
            self.injected[name] += befalls
        return befalls

    def count(self, name: str) -> None:
        with self._lock:
            self.injected[name] += 1
