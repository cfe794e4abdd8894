"""Regimes, found offline by ruptures: which stretches of the past had one level.

The online detector alarms at once and may follow the phases of a bursty law; a regime change is a level that lasts, and
is confirmed here on the whole window. Counts are made of equal variance (2 sqrt(x + 3/8), Anscombe 1948) and divided by
the square root of the local Fano factor, so that one penalty fits every rate and burstiness.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import ruptures

from controller.domain.arrival_process import as_map
from controller.domain.arrival_statistics import idc

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from controller.domain.arrival_map import Map
    from controller.domain.arrival_process import PoissonProcess

PENALTY_PER_LOG = 3.0
"""Cost of one more change point per ln(n), in variances; 2 is the Bayesian criterion for a known variance."""
LEAST_BINS = 10
"""Shortest stretch that is told apart."""
MOST_BINS = 1200
"""Longer windows are first averaged into at most this many bins, which bounds the time to a few tenths of a second."""


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch of bins [first_bin, end_bin) with one level."""

    first_bin: int
    end_bin: int
    rate_rps: float
    fano: float


def find_segments(counts: NDArray[np.float64], *, bin_s: float = 1.0) -> list[Segment]:
    """Return the stretches of constant rate, oldest first; they cover all bins.

    Args:
        counts: shape (n,), n >= 1.
        bin_s: width of a bin.
    """
    fano = local_fano(counts)
    width = math.ceil(counts.size / MOST_BINS)
    n = counts.size // width
    coarse = counts[: n * width].reshape(n, width).sum(axis=1)
    edges = [0, counts.size]
    if n >= 2 * LEAST_BINS:
        signal = 2 * np.sqrt(coarse + 0.375) / math.sqrt(fano)
        # The linear kernel's cost is the squared distance to the mean; this form of PELT is in C, 100 times as fast.
        search = ruptures.KernelCPD(kernel="linear", min_size=LEAST_BINS).fit(signal[:, None])
        # By ruptures' convention the last breakpoint is the length of the signal.
        found: list[int] = search.predict(pen=PENALTY_PER_LOG * math.log(n)) or []
        edges = [0, *(place * width for place in found[:-1]), counts.size]
    return [
        Segment(first, end, float(counts[first:end].mean()) / bin_s, local_fano(counts[first:end]))
        for first, end in pairwise(edges)
    ]


def local_fano(counts: NDArray[np.float64]) -> float:
    """Return the Fano factor from differences of neighbours, at least 1, so that steps of the rate do not count."""
    pairs = counts[: counts.size // 2 * 2].reshape(-1, 2)
    total = float(pairs.sum())
    if total == 0:
        return 1.0
    return max(1.0, float(((pairs[:, 1] - pairs[:, 0]) ** 2).sum()) / total)


def level_probability(process: PoissonProcess | Map, *, rate_rps: float, duration_s: float) -> float:
    """Return how probable it is that this process shows a mean rate as far from its own over such a duration.

    Two-sided, normal, with the variance of counts over the duration (IDC): what is left for a change of regime after
    the phases of a bursty law have had their share.
    """
    expected = process.rate_rps
    deviation = math.sqrt(expected * idc(as_map(process), duration_s) / duration_s)
    return math.erfc(abs(rate_rps - expected) / deviation / math.sqrt(2))
