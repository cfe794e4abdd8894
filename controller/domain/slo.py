"""The latency objective and window attainment, the notion of it that the loop, reports and baselines share."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from controller.errors import BadInputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

WINDOW_ARRIVALS = 256
"""Consecutive arrivals in one window."""
ALLOWED_VIOLATION_RATIO = 0.05
"""Share of windows that may violate."""
STRETCH_S = 5.0
"""At tens of requests a second a window lasts about as long."""


@dataclass(frozen=True, slots=True)
class LatencySlo:
    """At least `quantile` of requests are answered within `bound_s` seconds."""

    quantile: float
    bound_s: float

    def __post_init__(self) -> None:
        if not 0 < self.quantile < 1:
            raise BadInputError(f"slo quantile: needs a number between 0 and 1, such as 0.95; got {self.quantile!r}")
        if not (math.isfinite(self.bound_s) and self.bound_s > 0):
            raise BadInputError(f"slo bound: needs a positive number of seconds, got {self.bound_s!r}")


def violating_windows(late: NDArray[np.bool_], quantile: float) -> NDArray[np.bool_]:
    """Return for each window of 256 consecutive arrivals whether more than 256 (1 - q) of its answers are late.

    Windows slide by one arrival, so where a burst falls on the grid of windows does not matter. A run with fewer
    arrivals is one window of its own length.

    Args:
        late: shape (n_requests,), in order of arrival; errors, rejections and cold starts beyond the bound are late.
        quantile: of the objective, in (0, 1).

    Returns:
        Shape (max(n_requests - 255, 1),), or (0,) without arrivals.
    """
    if late.size == 0:
        return np.zeros(0, dtype=np.bool_)
    width = min(WINDOW_ARRIVALS, late.size)
    total = np.concatenate(([0], np.cumsum(late, dtype=np.int64)))
    late_in_window = total[width:] - total[:-width]
    # 1e-9: 256 (1 - 0.95) is 12.8 in the reals, and a quantile such as 0.75 must not fail by a rounding error.
    return late_in_window > width * (1 - quantile) + 1e-9


def window_violation_ratio(late: NDArray[np.bool_], quantile: float) -> float:
    """Return the share of windows that violate; 0 without arrivals."""
    windows = violating_windows(late, quantile)
    return float(windows.mean()) if windows.size else 0.0


def slow_stretch_s(answered: NDArray[np.float64], total_s: NDArray[np.float64], quantile: float) -> float:
    """Return the mean latency of the stretch of time in which the answer at this quantile falls, quickest first.

    What the mean of all hides, such as a neighbour that takes the core now and then, shows here, and so it does where
    only sums of latencies are known.

    Args:
        answered: answers by stretch of `STRETCH_S`.
        total_s: sum of their latencies, same shape.
        quantile: of the objective.

    Returns:
        Seconds; infinite without an answer.
    """
    known = answered > 0
    if not known.any():
        return math.inf
    mean_s, answers = total_s[known] / answered[known], answered[known]
    order = np.argsort(mean_s)
    place = np.searchsorted(np.cumsum(answers[order]), quantile * answers.sum() - 1e-9)
    return float(mean_s[order][place])
