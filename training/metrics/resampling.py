"""Bootstrap intervals. Images of one sender or product are alike, so whole groups are drawn, not single images."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from training.evaluation import Estimate

RESAMPLES = 2000
_SEED = 0
_CHUNK_ELEMENTS = 4_000_000
"""Counts held at a time: about 32 MB."""

Statistic = Callable[[NDArray[np.float64]], NDArray[np.float64]]
"""(R, K) sums of K columns over R resamples to (R,) values."""


class Resampling:
    """Draws of whole groups with replacement (the cluster bootstrap of Field and Welsh 2007).

    Every figure here is a function of sums over images: an accuracy of two sums, a calibration error of one a bin. So a
    figure is given as columns, a row an image, and as a statistic of their sums; resampling is one matrix product.
    """

    def __init__(self, groups: NDArray[np.int64]) -> None:
        """Take (N,) the group of each image; without groups, number the images."""
        self._members = np.unique(groups, return_inverse=True)[1]
        self.groups = int(self._members.max()) + 1 if len(groups) else 0

    def estimate(self, statistic: Statistic, columns: NDArray[np.float64]) -> Estimate:
        """The statistic of the (N, K) columns' sums with its 95 % percentile interval.

        Draws on which it is undefined (NaN, because a class was not drawn) do not count.
        """
        sums = np.zeros((self.groups, columns.shape[1]))
        np.add.at(sums, self._members, columns)
        value = float(statistic(sums.sum(0, keepdims=True))[0])
        if self.groups < 2:
            return Estimate(value=value, low=None, high=None)
        draws = np.concatenate([statistic(part) for part in self._resampled(sums)])
        low, high = np.nanpercentile(draws, [2.5, 97.5])
        return Estimate(value=value, low=float(low), high=float(high))

    def mean(self, values: NDArray[np.float64]) -> Estimate:
        """The mean of (N,) values; NaN ones do not count."""
        known = np.isfinite(values)
        return self.estimate(share, np.column_stack([np.where(known, values, 0.0), known]))

    def draws_of_mean(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """(R,) means of (N,) values over the resamples."""
        sums = np.zeros((self.groups, 2))
        np.add.at(sums, self._members, np.column_stack([values, np.ones(len(values))]))
        return np.concatenate([share(part) for part in self._resampled(sums)])

    def _resampled(self, sums: NDArray[np.float64]) -> list[NDArray[np.float64]]:
        rng = np.random.default_rng(_SEED)
        step = max(1, min(RESAMPLES, _CHUNK_ELEMENTS // max(1, self.groups)))
        chances = np.full(self.groups, 1 / self.groups)
        counts = (
            rng.multinomial(self.groups, chances, size=min(step, RESAMPLES - start))
            for start in range(0, RESAMPLES, step)
        )
        return [part.astype(np.float64) @ sums for part in counts]


def share(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    """The first column's sum over the second's; NaN where that is 0."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(sums[:, 0] / np.where(sums[:, 1] == 0, np.nan, sums[:, 1]))
