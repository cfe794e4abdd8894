"""Moments of counts and gaps: rate, dispersion at several time scales, third cumulant, variability of gaps.

Symbols: `N(t)` arrivals in a window of t; IDC(t) = Var N(t) / E N(t).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

LEAST_WINDOWS = 20
"""Windows a time scale must have to be used."""


@dataclass(frozen=True, slots=True, eq=False)
class CountMoments:
    """What counts in equal bins tell.

    Attributes:
        n: arrivals.
        duration_s: length of the observation.
        scales_s: window lengths, doubling, shape (k,).
        idc: dispersion at each scale, from overlapping windows, shape (k,).
        third: third factorial cumulant of N(t) at each scale, shape (k,); 0 for Poisson.
    """

    n: int
    duration_s: float
    scales_s: NDArray[np.float64]
    idc: NDArray[np.float64]
    third: NDArray[np.float64]

    @property
    def rate_rps(self) -> float:
        """Arrivals per second."""
        return self.n / self.duration_s


def measure_counts(counts: NDArray[np.float64], bin_s: float) -> CountMoments:
    """Return the moments of counts, shape (n_bins,), at windows of 1, 2, 4, … bins while 20 of them fit."""
    sums = np.concatenate(([0.0], np.cumsum(counts)))
    widths = [1]
    while 2 * widths[-1] * LEAST_WINDOWS <= counts.size:
        widths.append(2 * widths[-1])
    idc, third = [], []
    for width in widths:
        windows = sums[width:] - sums[:-width]
        mean = windows.mean()
        away = windows - mean
        variance = float((away**2).mean())
        idc.append(variance / mean if mean > 0 else 1.0)
        third.append(float((away**3).mean()) - 3 * variance + 2 * float(mean))
    scales = np.array(widths) * bin_s
    return CountMoments(int(counts.sum()), counts.size * bin_s, scales, np.array(idc), np.array(third))


def idc_at(counts: NDArray[np.float64], bin_s: float, scale_s: float) -> float | None:
    """Return the dispersion of counts in windows of about `scale_s`; None where fewer than five such windows fit."""
    width = max(1, round(scale_s / bin_s))
    if counts.size < 5 * width or counts.sum() == 0:
        return None
    sums = np.concatenate(([0.0], np.cumsum(counts)))
    windows = sums[width:] - sums[:-width]
    return float(windows.var() / windows.mean())


def gap_statistics(times_s: NDArray[np.float64]) -> tuple[float, float]:
    """Return the squared coefficient of variation of gaps and their lag-1 correlation; needs four instants."""
    gaps = np.diff(times_s)
    away = gaps - gaps.mean()
    variance = float((away**2).mean())
    if variance == 0:
        return 0.0, 0.0
    return variance / float(gaps.mean()) ** 2, float((away[:-1] * away[1:]).mean()) / variance
