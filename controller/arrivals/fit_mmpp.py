"""A Markov-modulated Poisson process with two phases from the moments of counts.

Symbols: rates l1 < l2, switching w1 (1 to 2) and w2 (2 to 1), g = w1 + w2, p = w1 / g the share of time in phase 2,
s² = p (1 - p) (l2 - l1)² the variance of the rate, k3 = s² (1 - 2p) (l2 - l1) its third central moment. Then

    IDC(t) - 1 = 2 s² / (l g) (1 - (1 - e^{-gt}) / (g t))                     (Heffes and Lucantoni 1986, eq. 11)
    third factorial cumulant of N(t) = 6 k3 ((g t - 2) + (g t + 2) e^{-gt}) / g³

The second line follows from the two-state identity z² = s² + (1 - 2p)(l2 - l1) z for the rate z less its mean.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from controller.domain.arrival_map import mmpp

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from controller.arrivals.moments import CountMoments
    from controller.domain.arrival_map import Map

CANDIDATES_PER_DECADE = 40
"""Resolution of the search for the switching rate g."""
LEAST_SHARE = 1e-3
"""Smallest share of time that a phase is given; a rarer one cannot be told from an outlier."""

SILENT = 1e-6
"""Share of the mean rate below which a phase is silent."""


def fit_mmpp(moments: CountMoments) -> Map | None:
    """Return the process with these moments, or None where counts are no more dispersed than Poisson.

    Where the moments ask for a negative rate, the quiet phase is silent and the skewness gives way.
    """
    rate = moments.rate_rps
    switching, amplitude = _fit_dispersion(moments)
    if amplitude <= 0:
        return None
    variance = amplitude * rate * switching / 2
    share = _share_of_busy_phase(moments, switching, variance)
    step = np.sqrt(variance / (share * (1 - share)))
    if rate < share * step:
        share = 1 / (1 + variance / rate**2)
        step = rate / share
    quiet = rate - share * step
    # What is left by rounding is silence: no process has a rate of 1e-15.
    rates = np.array([quiet if quiet > SILENT * rate else 0.0, rate + (1 - share) * step])
    return mmpp(rates, np.array([[0.0, share * switching], [(1 - share) * switching, 0.0]]))


def _fit_dispersion(moments: CountMoments) -> tuple[float, float]:
    """Return g and the limit of IDC - 1, by weighted least squares over all scales."""
    scales, excess = moments.scales_s, moments.idc - 1
    # An estimate of IDC(t) from T seconds has a variance of about 2 t IDC(t)² / T.
    weights = 1 / (scales * moments.idc**2)
    low, high = np.log10(0.1 / scales[-1]), np.log10(3 / scales[0])
    candidates = np.logspace(low, high, max(2, int((high - low) * CANDIDATES_PER_DECADE)))
    shapes = saturation(candidates[:, None] * scales)
    amplitudes = (shapes * weights * excess).sum(axis=1) / (shapes**2 * weights).sum(axis=1)
    errors = (weights * (excess - amplitudes[:, None] * shapes) ** 2).sum(axis=1)
    best = int(np.argmin(errors))
    return float(candidates[best]), float(amplitudes[best])


def _share_of_busy_phase(moments: CountMoments, switching: float, variance: float) -> float:
    """Return p from the skewness of the rate, measured at the scale nearest to one sojourn."""
    at = int(np.argmin(np.abs(np.log(moments.scales_s * switching))))
    y = switching * float(moments.scales_s[at])
    third = float(moments.third[at]) * switching**3 / (6 * ((y - 2) + (y + 2) * np.exp(-y)))
    skewness = third / variance**1.5
    share = 0.5 * (1 - skewness / np.sqrt(4 + skewness**2))
    return float(np.clip(share, LEAST_SHARE, 1 - LEAST_SHARE))


def saturation(y: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return 1 - (1 - e^{-y}) / y, which rises from 0 to 1."""
    return 1 + np.expm1(-y) / y
