"""Detection over counts that are only known from one scrape to the next: of the rate, never of the dispersion.

Inside a scrape interval counts are interpolated and look more even than any traffic. So seconds are taken together
until they hold whole intervals, and dispersion is measured between those sums only, by the rate detector and the fit.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from controller.arrivals.alarm import Alarm
from controller.arrivals.rate_detector import RateDetector
from controller.arrivals.selection import fit_counts
from controller.domain.arrival_process import Map, PoissonProcess
from controller.monitor.detection import confirm_regime, default_detection
from controller.monitor.traffic import Detection

if TYPE_CHECKING:
    from numpy.typing import NDArray

FINE_S = 1.5
"""Scrapes a second apart, which never is one exactly, are as fine as the counts."""
INTERVALS = 2
"""Scrape intervals taken together: sums of one would share most of theirs with a neighbour."""


def detection_for(resolution_s: float) -> Detection:
    """Return how changes are found in counts by the second that were scraped this often."""
    if resolution_s <= FINE_S:
        return default_detection()
    width = math.ceil(INTERVALS * resolution_s)
    return Detection(
        detector=lambda: CoarseDetector(width),
        confirm=confirm_regime,
        fit=lambda counts: _fit(counts, width),
    )


class CoarseDetector:
    """Takes a count a second, and looks at the rate when `width` of them are together."""

    def __init__(self, width: int) -> None:
        self._width = width
        self._rate = RateDetector(bin_s=float(width))
        self._block: list[float] = []
        self._is_lower = False
        self._bins = 0

    def update(self, count: float, *, is_censored: bool = False) -> Alarm | None:
        """See `OnlineDetector.update`; a block with a lower bound in it is one."""
        self._block.append(count)
        self._is_lower |= is_censored
        self._bins += 1
        if len(self._block) < self._width:
            return None
        alarm = self._rate.update(sum(self._block), is_censored=self._is_lower)
        self._block, self._is_lower = [], False
        if alarm is None:
            return None
        return Alarm(self._bins - 1, alarm.change_bin * self._width, "rate", alarm.before, alarm.after)


def _fit(counts: NDArray[np.int64], width: int) -> PoissonProcess | Map:
    whole = counts[counts.size % width :].reshape(-1, width).sum(axis=1)
    if not whole.any():
        return PoissonProcess(float(counts.mean()) if counts.size else 0.0)
    return fit_counts(whole.astype(np.float64), float(width)).process
