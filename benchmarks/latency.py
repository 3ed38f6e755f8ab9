"""Times of single calls, gathered in rounds."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass(kw_only=True, slots=True)
class Latencies:
    """Milliseconds of calls, round after round."""

    rounds: list[list[float]] = field(default_factory=list)

    def begin_round(self) -> None:
        """What is measured from here on is a round of its own."""
        self.rounds.append([])

    @contextmanager
    def timed(self) -> Iterator[None]:
        """Measure the block."""
        started = time.perf_counter()
        yield
        self.rounds[-1].append((time.perf_counter() - started) * 1000)

    def quantile(self, share: float) -> float:
        """Of all rounds together."""
        return float(np.quantile(np.concatenate([np.array(part) for part in self.rounds]), share))

    @property
    def spread(self) -> str:
        """Lowest and highest median of a round."""
        medians = [float(np.median(part)) for part in self.rounds if part]
        return f"{min(medians):.2f} to {max(medians):.2f}"

    def row(self) -> tuple[str, ...]:
        """Median, 95th and 99th percentile, worst, spread of the rounds' medians."""
        return (*(f"{self.quantile(share):.2f}" for share in (0.5, 0.95, 0.99, 1.0)), self.spread)

    def to_json(self) -> dict[str, Any]:
        """The same figures for programs."""
        shares = {"p50_ms": 0.5, "p95_ms": 0.95, "p99_ms": 0.99, "max_ms": 1.0}
        return {
            **{name: round(self.quantile(share), 3) for name, share in shares.items()},
            "median_of_rounds_ms": [round(float(np.median(part)), 3) for part in self.rounds if part],
            "calls": sum(len(part) for part in self.rounds),
        }


COLUMNS = ("p50 ms", "p95 ms", "p99 ms", "max ms", "medians of rounds")
