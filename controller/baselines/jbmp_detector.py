"""JBMP's change-point detection: exact offline Bayes on the gaps between the arrivals of the last 300 s, every 300 s.

The posterior over all ways to cut the gaps into stretches of one rate is summed exactly (Fearnhead 2006, "Exact and
efficient Bayesian inference for multiple changepoint problems"), with the settings of the authors' public code
(research/parallel_and_jbmp.md, 2.5): exponential gaps, a prior of 1/n for a change at each position, a change where
the posterior is above one half, and of those the last.

Two things differ. The code tabulates the posterior by number of changes, in n cubed steps; a forward and a backward
pass give the same sum in n squared. And the likelihood of a stretch integrates its rate over a Gamma(1, mean gap)
prior, where the digest says no more than "exponential".
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import gammaln, logsumexp

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
        is_thinned: whether gaps were summed.
    """

    rate_rps: float
    change_s: float | None
    is_thinned: bool


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
    return DetectedRate(rate_rps, float(marks[start]) if changes.size else None, width > 1)


def change_probabilities(sums_s: NDArray[np.float64], *, gaps_each: int = 1) -> NDArray[np.float64]:
    """Return the posterior probability of a change after each sum of gaps but the last, shape (n - 1,).

    Args:
        sums_s: of `gaps_each` neighbouring gaps, shape (n,), n at least 1.
        gaps_each: how many gaps a sum stands for.
    """
    n = sums_s.size
    time_s = np.concatenate([[0.0], np.cumsum(sums_s)])
    mean_s = time_s[-1] / (n * gaps_each)
    log_prior = -math.log(n)
    backward = np.zeros(n + 1)
    forward = np.full(n + 1, -np.inf)
    forward[0] = 0.0
    for start in range(n - 1, -1, -1):
        ends = np.arange(start + 1, n + 1)
        # A stretch up to the end of the data has no change after it: 1 - G of its length, which the prior sums to.
        ending = np.full(ends.size, log_prior)
        ending[-1] = math.log1p(-(n - start - 1) / n)
        stretch = _log_likelihood(time_s[ends] - time_s[start], (ends - start) * gaps_each, mean_s)
        backward[start] = logsumexp(stretch + ending + backward[ends])
    for end in range(1, n):
        starts = np.arange(end)
        stretch = _log_likelihood(time_s[end] - time_s[starts], (end - starts) * gaps_each, mean_s)
        forward[end] = logsumexp(forward[starts] + stretch + log_prior)
    return np.exp(np.minimum(forward[1:n] + backward[1:n] - backward[0], 0.0))


def _log_likelihood(total_s: NDArray[np.float64], count: NDArray[np.int64], mean_s: float) -> NDArray[np.float64]:
    """Return the log likelihood of gaps by their sum and number, the rate integrated over Gamma(1, mean_s).

    Constants that depend on single gaps alone are left out: they are the same for every way to cut the window.
    """
    return gammaln(1.0 + count) + math.log(mean_s) - (1.0 + count) * np.log(mean_s + total_s)
