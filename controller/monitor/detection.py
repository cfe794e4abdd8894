"""How changes are found and laws fitted, put together from the rooms that do it (`controller.arrivals`).

A regime has changed when a level has lasted for two minutes that the law of what came before makes improbable. Under a
bursty law that takes much: its phases move the mean of two minutes, too, and that is what its dispersion says. So it
does when one law explains all that was seen: a long phase at its beginning is then none of another regime.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from controller.arrivals.change_points import find_segments
from controller.arrivals.rate_detector import RateDetector
from controller.arrivals.selection import Fit, fit_counts
from controller.domain.arrival_process import Map, PoissonProcess, as_map
from controller.domain.arrival_statistics import idc
from controller.monitor.one_law import is_one_law
from controller.monitor.traffic import Detection

if TYPE_CHECKING:
    from numpy.typing import NDArray

LASTED_BINS = 120
"""Seconds that the new level, and the old law, must have lasted."""
COARSE_BINS = 5
"""Seconds taken together to look for levels: ruptures takes time in proportion to the square of their number."""
IMPROBABLE = 0.01
DOUBT = 4.0
"""By this the variance of a law is multiplied whose phases were seen too few times."""


def default_detection() -> Detection:
    """Return the detectors, the confirmation of a regime and the fit that the loop uses."""
    return Detection(detector=RateDetector, confirm=confirm_regime, fit=fit_law)


def fit_law(counts: NDArray[np.int64]) -> PoissonProcess | Map:
    """Return the simplest law that counts a second do not reject; silence is a Poisson process of rate 0."""
    return fit_counts(counts.astype(np.float64), 1.0).process if counts.any() else PoissonProcess(0.0)


def confirm_regime(counts: NDArray[np.int64]) -> int | None:
    """Return the first bin of the regime that has replaced the one at the start of these counts, or None.

    Args:
        counts: a second each, of the present regime so far, shape (n,).
    """
    values = counts.astype(np.float64)
    if values.size < 2 * LASTED_BINS:
        return None
    coarse = values[: values.size // COARSE_BINS * COARSE_BINS].reshape(-1, COARSE_BINS).sum(axis=1)
    edges = [COARSE_BINS * each.first_bin for each in find_segments(coarse, bin_s=COARSE_BINS)[1:]]
    edges = [edge for edge in edges if edge >= LASTED_BINS and values.size - edge >= LASTED_BINS]
    likely = {edge: _probability(values, edge) for edge in edges}
    best = min(likely, key=lambda edge: likely[edge], default=None)
    # Several places were tried, so each must be the more improbable.
    if best is None or likely[best] >= IMPROBABLE / len(likely) or is_one_law(values, best):
        return None
    return best


def _probability(counts: NDArray[np.float64], edge: int) -> float:
    """Return how probable the mean from `edge` on is if nothing has changed there, two-sided and normal.

    The dispersion is the larger of both sides: what came before may have been too short to show all its phases.
    """
    before, after = counts[:edge], counts[edge:]
    if not before.any() or not after.any():
        return 0.0
    old, new = fit_counts(before, 1.0), fit_counts(after, 1.0)
    lasting = max(_variance_of_mean(old, after.size), _variance_of_mean(new, after.size))
    variance = lasting + _variance_of_mean(old, before.size)
    return math.erfc(abs(after.mean() - before.mean()) / math.sqrt(2 * variance))


def _variance_of_mean(fit: Fit, bins: int) -> float:
    doubt = DOUBT if fit.diagnostics.is_insufficient else 1.0
    return doubt * fit.process.rate_rps * idc(as_map(fit.process), float(bins)) / bins
