"""How far a quantile of simulated latencies may be from the true one, though neighbours resemble each other.

Whether a latency lies below the quantile is a sequence of zeros and ones, correlated as the latencies are. The standard
error of its mean comes from 20 batches of consecutive requests (batch means; Schmeiser 1982 finds 10 to 30 enough),
so whatever correlation is shorter than a batch is in it. The interval is read from the ordered latencies at the
quantile's probability plus and minus 2.093 such errors (Student, 19 degrees of freedom): no density is needed, and
atoms and answers that never came (infinite) are dealt with.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

N_BATCHES = 20
STUDENT = 2.093
"""97.5 % quantile of Student's law with 19 degrees of freedom: intervals of 95 %."""
FEWEST_BEYOND = 5
"""Requests beyond a quantile, and below it, without which nothing is said about it."""


def quantile_interval_s(latency_s: NDArray[np.float64], quantile: float) -> tuple[float, float] | None:
    """Return a 95 % confidence interval of the stationary quantile, or None where the data do not give one.

    Args:
        latency_s: in order of arrival, shape (n,); infinite without an answer.
        quantile: in (0, 1).
    """
    size = latency_s.size
    if size * min(quantile, 1 - quantile) < FEWEST_BEYOND or size < 10 * N_BATCHES:
        return None
    ordered = np.sort(latency_s)
    estimate = ordered[_rank(quantile, size)]
    width = size // N_BATCHES
    tail = latency_s[size - width * N_BATCHES :].reshape(N_BATCHES, width)
    # With an atom at the estimate more than the quantile lies at or below it; half of what is at it counts.
    below = ((tail < estimate).mean(axis=1) + (tail <= estimate).mean(axis=1)) / 2
    error = float(below.std(ddof=1)) / math.sqrt(N_BATCHES)
    # Never less than for independent requests: batches that happen to agree prove nothing.
    error = max(error, math.sqrt(quantile * (1 - quantile) / size))
    high = quantile + STUDENT * error
    if high >= 1 - 1 / size:
        return float(ordered[_rank(max(quantile - STUDENT * error, 0.0), size)]), math.inf
    return float(ordered[_rank(max(quantile - STUDENT * error, 0.0), size)]), float(ordered[_rank(high, size) + 1])


def _rank(probability: float, size: int) -> int:
    return min(size - 2, max(0, math.ceil(probability * size - 1e-9) - 1))
