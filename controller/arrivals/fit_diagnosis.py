"""What is said beside a fitted arrival process: how sure it is, and whether the data suffice for it."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import chdtrc, stdtrit

from controller.domain.arrival_process import PoissonProcess, as_map
from controller.domain.arrival_statistics import idc

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from controller.domain.arrival_map import Map

LEAST_ARRIVALS = 100
"""Arrivals below which only a rate is estimated."""
LEAST_SWITCHES = 40.0
"""Changes of phase expected in the data below which an estimate of phases is called insufficient."""
COVERAGE = 0.95
MOST_FREEDOM = 1e6
"""Degrees of freedom that stand for a known variance."""
PARTS = 10
"""Equal parts of the observation between which the rate is compared."""
LEAST_PAIRS = 1.0
"""Pairs of long gaps, expected of independent ones, below which the error of the correlation cannot be estimated."""
DRIFTS_BELOW = 1e-4
"""Probability of so much difference between the parts below which the fitted law is not believed to hold throughout."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A process that was tried; log-likelihoods on arrivals that it was not fitted to, with time in mean gaps."""

    name: str
    held_out_log_likelihood_per_arrival: float
    behind_best: float | None
    """Standard errors by which it is behind the best candidate; None for the best, and where they are alike."""


@dataclass(frozen=True, slots=True)
class Diagnostics:
    """How a fit came about; times in seconds, None where the data cannot tell or nobody asked."""

    n: int
    duration_s: float
    rate_rps: float
    rate_error_rps: float
    """Standard error of the rate, with the dispersion of the fitted process over the whole observation."""
    scv: float | None
    lag1: float | None
    idc: dict[str, float | None]
    """Dispersion of counts by window length in seconds."""
    log_likelihood: float | None
    why: str
    is_insufficient: bool
    """The data do not suffice for what was fitted."""
    rate_interval_rps: tuple[float, float] | None = None
    """95 % interval."""
    scv_interval: tuple[float, float] | None = None
    lag1_interval: tuple[float, float] | None = None
    """None also where too few long gaps stand beside another long one, which make most of the correlation's error."""
    candidates: tuple[Candidate, ...] = ()

    def to_document(self) -> dict[str, object]:
        """Return the JSON object."""
        values = asdict(self)
        values["insufficient_data"] = values.pop("is_insufficient")
        return values


@dataclass(frozen=True, slots=True)
class Fit:
    """An arrival process and how well the data support it."""

    process: PoissonProcess | Map
    diagnostics: Diagnostics


def rate_error(process: PoissonProcess | Map, rate_rps: float, duration_s: float) -> float:
    """Return the standard error of arrivals over time, per second."""
    return math.sqrt(rate_rps * idc(as_map(process), duration_s) / duration_s)


def rate_interval(rate_rps: float, error_rps: float, changes: float) -> tuple[float, float]:
    """Return the 95 % interval of the rate, from 0 on, from its standard error and the changes of phase seen.

    The variance of the rate goes with the length of phases, which k changes of phase tell with a relative error of
    1/sqrt(k): as if from 2k degrees of freedom, hence Student's law.
    """
    freedom = min(max(3.0, 2 * changes), MOST_FREEDOM)
    reach = float(stdtrit(freedom, 0.5 + COVERAGE / 2)) * error_rps
    return max(0.0, rate_rps - reach), rate_rps + reach


def changes_of_phase(process: PoissonProcess | Map, duration_s: float) -> float:
    """Return how often the phase that is entered and left least often is, in this time; infinite with one phase.

    Phases may also come in groups that change slowly: those count by the slowest decay of the phase process.
    """
    if isinstance(process, PoissonProcess) or len(process.D0) == 1:
        return math.inf
    Q = process.D0 + process.D1
    seldom = float((process.stationary * -np.diag(Q)).min())
    if len(Q) == 2:
        return 2 * duration_s * seldom
    slowest = float(np.sort(np.abs(np.linalg.eigvals(Q).real))[1])
    return duration_s * min(2 * seldom, slowest / 2)


def drift(process: PoissonProcess | Map, counts: NDArray[np.float64], duration_s: float) -> float:
    """Return how many times the variance between equal parts is that of the process; 1 where it may well be its own.

    The counts of the parts have shape (n_parts,), the duration is that of the whole observation.
    """
    expected, freedom = float(counts.mean()), counts.size - 1
    variance = expected * idc(as_map(process), duration_s / counts.size)
    squares = float(((counts - expected) ** 2).sum()) / variance
    return squares / freedom if float(chdtrc(freedom, squares)) < DRIFTS_BELOW else 1.0


def gap_intervals(
    times_s: NDArray[np.float64], edges_s: NDArray[np.float64]
) -> tuple[tuple[float, float], tuple[float, float] | None] | None:
    """Return 95 % intervals of the variability of gaps and of their lag-1 correlation; None with too few gaps.

    By the jackknife over segments of time (Tukey 1958): what each leaves if left out. Of the correlation there is none
    where fewer than `LEAST_PAIRS` pairs of long gaps are expected: with k long ones among n gaps k²/n, k being the
    number of equal squares that have the spread of these, (sum d²)² / sum d⁴. Exponential gaps have n/81 such pairs.

    Args:
        times_s: instants, ascending.
        edges_s: ends of the segments, ascending, shape (n_segments + 1,).
    """
    gaps = np.diff(times_s)
    if gaps.size < LEAST_ARRIVALS:
        return None
    segment = np.clip(np.searchsorted(edges_s, times_s[1:], side="right") - 1, 0, edges_s.size - 2)
    n_segments = edges_s.size - 1
    terms = (np.ones(gaps.size), gaps, gaps**2, np.append(gaps[:-1] * gaps[1:], 0.0))
    sums = np.array([np.bincount(segment, term, n_segments) for term in terms])
    n, first, second, product = sums.sum(axis=1, keepdims=True) - sums
    if n.min() < 2:
        return None
    mean = first / n
    variance = np.maximum(second / n - mean**2, np.finfo(float).tiny)
    scv, lag1 = variance / mean**2, np.clip((product / n - mean**2) / variance, -1, 1)
    squares = (gaps - gaps.mean()) ** 2
    long_gaps = squares.sum() ** 2 / max(float((squares**2).sum()), np.finfo(float).tiny)
    return _jackknife(scv), _jackknife(lag1) if long_gaps**2 / gaps.size >= LEAST_PAIRS else None


def _jackknife(left_out: NDArray[np.float64]) -> tuple[float, float]:
    n, middle = left_out.size, float(left_out.mean())
    error = math.sqrt((n - 1) / n * float(((left_out - middle) ** 2).sum()))
    reach = float(stdtrit(n - 1, 0.5 + COVERAGE / 2)) * error
    return middle - reach, middle + reach
