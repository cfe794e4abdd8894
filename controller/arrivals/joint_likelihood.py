"""How likely stretches of counts are if each has one rate and one dispersion, both free: what splits are compared by.

Negative binomial counts of mean m and shape r have the Fano factor 1 + m/r. For a given shape a stretch of n bins with
sum S is likeliest at m = S/n, and its log likelihood is, but for terms of no parameter,

    sum_i [ln Γ(x_i + r) - ln Γ(r)] - n r ln(1 + m/r) - S ln(1 + r/m),

so cumulated sums for a grid of shapes give any stretch at once. Bins of modulated traffic go together with their
neighbours, and a likelihood of independent bins is then too sure of itself: by the clumping, the ratio of the variance
of blocks of bins to that of as many independent ones.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import gammaln

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Bins = NDArray[np.int64] | int

SHAPES = np.geomspace(0.1, 5000.0, 20)
BLOCK_BINS = 15
"""Bins of a block; modulation that is slower is a change of rate."""
LEAST_MEAN = 0.05
"""Counts per bin below which a mean is not resolved."""
LEAST_FANO = 0.2
"""Below this, counts are more even than any arrivals, and no measure of their clumping."""
_GAMMALN_SHAPES = gammaln(SHAPES)
_LOG_SHAPES = np.log(SHAPES)


@dataclass(frozen=True, slots=True)
class Clumping:
    """What is believed of the clumping so far: its ratio, and how many bins that belief is worth."""

    ratio: float
    weight_bins: float


class CountSums:
    """Cumulated sums over counts, of which the last `capacity` bins can be asked for; bins are numbered from 0."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        # Twice the capacity, so that the rows seldom have to be moved to the front.
        rows = 2 * capacity + 2
        self._gammas = np.zeros((rows, SHAPES.size))
        # Columns: counts, squared counts, squared sums of the BLOCK_BINS bins up to this one, over BLOCK_BINS.
        self._powers = np.zeros((rows, 3))
        self._last_row = 0
        self._moved = 0

    @property
    def bins(self) -> int:
        """Number of bins appended so far."""
        return self._moved + self._last_row

    def append(self, count: float) -> None:
        """Add the next bin."""
        if self._last_row == self._powers.shape[0] - 1:
            self._move()
        row = self._last_row
        self._gammas[row + 1] = self._gammas[row] + gammaln(count + SHAPES) - _GAMMALN_SHAPES
        block = self._powers[row, 0] + count - self._powers[max(row + 1 - BLOCK_BINS, 0), 0]
        self._powers[row + 1] = self._powers[row] + (count, count * count, block * block / BLOCK_BINS)
        self._last_row += 1

    def mean(self, first: int, end: int) -> float:
        """Return the mean count of the bins [first, end)."""
        return float(self._powers[end - self._moved, 0] - self._powers[first - self._moved, 0]) / (end - first)

    def fano(self, first: int, end: int) -> float:
        """Return the Fano factor of the likeliest shape of the bins [first, end)."""
        shape = SHAPES[self._by_shape(first, end).argmax()]
        return 1.0 + self.mean(first, end) / float(shape)

    def log_likelihood(self, first: Bins, end: Bins) -> NDArray[np.float64]:
        """Return the greatest log likelihood of the bins [first, end), in nats; shape of the two, broadcast."""
        return self._by_shape(first, end).max(axis=-1)

    def by_fano(self, first: int, end: int, mean: float, fanos: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the log likelihood of the bins [first, end) at this mean, by Fano factor above 1; shape (n_fanos,)."""
        mean = max(mean, LEAST_MEAN)
        return np.interp(np.log(mean / (fanos - 1)), _LOG_SHAPES, self._by_shape(first, end, mean))

    def clumping(
        self, prior: Clumping, first: int, splits: NDArray[np.int64], *, doubt: float = 0.0
    ) -> NDArray[np.float64]:
        """Return the clumping of the bins from `first` to the last if their law changes at each of these splits.

        Args:
            prior: what was believed before, from bins before `first`.
            first: first bin of the present law.
            splits: where it may change, shape (n,).
            doubt: standard errors by which it is taken to be less than it seems.
        """
        counted, blocks, singles = (
            old + new
            for old, new in zip(self._departures(first, splits), self._departures(splits, self.bins), strict=True)
        )
        fano = np.maximum(singles / (self.bins - first), LEAST_FANO)
        known = counted + prior.weight_bins
        ratio = (blocks / fano + prior.weight_bins * prior.ratio) / known
        # Of n overlapping blocks of b independent bins the mean square varies as that of 3 n / (2 b) separate ones.
        return np.maximum(ratio - doubt * np.sqrt(4 * BLOCK_BINS / 3 / known), 1.0)

    def _by_shape(self, first: Bins, end: Bins, mean: float | None = None) -> NDArray[np.float64]:
        """Return the log likelihood by shape at this mean or, without one, at the likeliest; shape (..., n_shapes)."""
        first, end = np.asarray(first) - self._moved, np.asarray(end) - self._moved
        n = (end - first)[..., None]
        total = (self._powers[end, 0] - self._powers[first, 0])[..., None]
        means = np.maximum(total / n, 1e-9) if mean is None else np.array([mean])
        # ln(1 + r/m) = ln(1 + m/r) - ln(m/r), and of the last one m and r are apart.
        log_odds = np.log1p(means / SHAPES)
        gain = self._gammas[end] - self._gammas[first]
        return gain - (n * SHAPES + total) * log_odds + total * (np.log(means) - _LOG_SHAPES)

    def _departures(self, first: Bins, end: Bins) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
        """Return how many blocks end in [first, end), their summed squared departures, and those of single bins.

        From the mean of these bins, over what a Poisson count of that mean would show.
        """
        first, end = np.asarray(first) - self._moved, np.asarray(end) - self._moved
        n, whole = end - first, np.minimum(first + BLOCK_BINS - 1, end)
        mean = np.maximum((self._powers[end, 0] - self._powers[first, 0]) / n, LEAST_MEAN)
        counted = end - whole
        blocks = (self._powers[end, 2] - self._powers[whole, 2]) / mean - counted * BLOCK_BINS * mean
        singles = (self._powers[end, 1] - self._powers[first, 1]) / mean - n * mean
        return counted, np.maximum(blocks, 0.0), singles

    def _move(self) -> None:
        rows = self._last_row - self._capacity
        for sums in (self._gammas, self._powers):
            sums[: self._capacity + 1] = sums[rows : self._last_row + 1] - sums[rows]
        self._last_row -= rows
        self._moved += rows
