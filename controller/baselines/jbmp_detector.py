"""JBMP's change-point detection: exact offline Bayes on the gaps between the arrivals of the last 300 s, every 300 s.

The posterior over all ways to cut the gaps into stretches of one rate is summed exactly (Fearnhead 2006, "Exact and
efficient Bayesian inference for multiple changepoint problems"), with the settings of the authors' public code
(research/parallel_and_jbmp.md, 2.5): exponential gaps, a prior of 1/n for a change at each position, a change where
the posterior is above one half, and of those the last.

Two things differ. The code tabulates the posterior by number of changes, in n cubed steps; a forward and a backward
pass give the same sum in n squared. And the rate of a stretch has a prior, over which its likelihood is integrated:
Gamma with shape 1 and, as its own rate parameter, the mean gap of the window, so its mean is the mean rate. The digest
says no more than "exponential".
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import gammaln

if TYPE_CHECKING:
    from numpy.typing import NDArray

WINDOW_S = 300.0
PERIOD_S = 300.0
LEAST_PROBABILITY = 0.5
MOST_GAPS = 1000
"""Longer windows are thinned: so many sums of equally many neighbouring gaps keep all that the likelihood needs, and
only where a change may lie gets coarser. At 10 requests a second each stands for 3 gaps, 0.3 s."""


@dataclass(frozen=True, slots=True)
class DetectedRate:
    """What one poll found.

    Attributes:
        rate_rps: one over the mean gap since the last change, or over the whole window.
        change_s: when the last change was, or None.
    """

    rate_rps: float
    change_s: float | None


def detect_rate(arrival_s: NDArray[np.float64], now_s: float) -> DetectedRate | None:
    """Return the present rate by the last window, or None where it has fewer than three arrivals.

    Args:
        arrival_s: instants, ascending, shape (n,); those after `now_s` are not looked at.
        now_s: time of the poll.
    """
    first, end = np.searchsorted(arrival_s, [now_s - WINDOW_S, now_s], side="right")
    seen = arrival_s[first:end]
    if seen.size < 3:
        return None
    width = math.ceil((seen.size - 1) / MOST_GAPS)
    marks = seen[::width]
    probability = change_probabilities(np.diff(marks), gaps_each=width)
    changes = np.flatnonzero(probability > LEAST_PROBABILITY)
    start = int(changes[-1]) + 1 if changes.size else 0
    rate_rps = (seen.size - 1 - start * width) / float(seen[-1] - marks[start])
    return DetectedRate(rate_rps, float(marks[start]) if changes.size else None)


def change_probabilities(sums_s: NDArray[np.float64], *, gaps_each: int = 1) -> NDArray[np.float64]:
    """Return the posterior probability of a change after each sum of gaps but the last, shape (n - 1,).

    Args:
        sums_s: of `gaps_each` neighbouring gaps, shape (n,), n at least 1.
        gaps_each: how many gaps a sum stands for.
    """
    n = sums_s.size
    stretch = _log_likelihoods(sums_s, gaps_each)
    log_prior = -math.log(n)
    backward = np.zeros(n + 1)
    forward = np.full(n + 1, -np.inf)
    forward[0] = 0.0
    for start in range(n - 1, -1, -1):
        ending = stretch[start, start + 1 :] + backward[start + 1 :] + log_prior
        # A stretch up to the end of the data has no change after it: 1 - G of its length, which the prior sums to.
        ending[-1] = stretch[start, n] + math.log1p(-(n - start - 1) / n)
        backward[start] = _log_sum(ending)
    for end in range(1, n):
        forward[end] = _log_sum(forward[:end] + stretch[:end, end]) + log_prior
    return np.exp(np.minimum(forward[1:n] + backward[1:n] - backward[0], 0.0))


def _log_likelihoods(sums_s: NDArray[np.float64], gaps_each: int) -> NDArray[np.float64]:
    """Return the log likelihood of each stretch of gaps, from a start to an end after it, shape (n + 1, n + 1).

    Its rate l is integrated over the prior: that of (mean_s exp(-l mean_s)) l^k exp(-l total_s), with k gaps of
    total_s, is mean_s k! / (mean_s + total_s)^(k + 1). Constants that depend on single gaps alone are left out: they
    are the same for every way to cut the window. Where the end is not after the start the entry has no meaning.
    """
    time_s = np.concatenate([[0.0], np.cumsum(sums_s)])
    mean_s = time_s[-1] / (sums_s.size * gaps_each)
    place = np.arange(time_s.size)
    lengths = np.abs(place[None, :] - place[:, None])
    count = place * gaps_each
    total_s = np.abs(time_s[None, :] - time_s[:, None])
    log_factorial = gammaln(1.0 + count)
    return log_factorial[lengths] + math.log(mean_s) - (1.0 + count)[lengths] * np.log(mean_s + total_s)


def _log_sum(values: NDArray[np.float64]) -> float:
    """Return the logarithm of a sum of exponentials."""
    highest = float(values.max())
    return highest + math.log(float(np.exp(values - highest).sum()))
