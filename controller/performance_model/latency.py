"""The law of latency: waiting in the buffer plus the service time of the batch, atoms included.

F(t) = sum_n sum_i w_ni C_n(t - S_ni) / E[N], where S_ni are the service times that a batch of n may have and w_ni their
probabilities (one of them when service is deterministic).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from controller.performance_model.batch_queue import BatchLaw
    from controller.performance_model.service_law import ServiceLaw

PROBABILITY_TOLERANCE = 1e-12
"""A distribution function this close below q counts as q, so that rounding cannot skip an atom."""


@dataclass(frozen=True, slots=True, eq=False)
class LatencyLaw:
    """Latency of a request under one setting."""

    batches: BatchLaw
    service: ServiceLaw

    @property
    def mean_s(self) -> float:
        """Mean latency."""
        sizes = np.arange(1, self.batches.max_batch_size + 1)
        in_service = (self.batches.batch_size_pmf * sizes) @ self.service.mean_s / self.batches.mean_batch_size
        return self.batches.mean_wait_s + float(in_service)

    def cdf(self, t_s: float) -> float:
        """Return the share of requests answered within t_s."""
        n, i = np.nonzero(self.service.seconds <= t_s)
        if not n.size:
            return 0.0
        seconds, delay = self.service.seconds[n, i], self.batches.span_s
        # The same sum as in `quantile`'s breakpoints, so that t = S + T counts as a full delay.
        closed = seconds + delay <= t_s
        last = (n + 1) * self.batches.batch_size_pmf[n]
        within = interpolate(self.batches.waiting, n, (t_s - seconds) / delay) if delay else last
        reached = np.where(closed, last, within)
        return min(1.0, float(self.service.weights[n, i] @ reached) / self.batches.mean_batch_size)

    def quantile(self, q: float) -> float:
        """Return inf{t: F(t) >= q}: exactly an atom where q falls inside its jump, else by bisection."""
        used = self.service.weights * self.batches.batch_size_pmf[:, None] > 0
        starts = self.service.seconds[used]
        points = np.unique(np.concatenate([starts, starts + self.batches.span_s]))
        low, high = 0, points.size - 1
        while low < high:
            middle = (low + high) // 2
            if self._reaches(points[middle], q):
                high = middle
            else:
                low = middle + 1
        if low == 0:
            return float(points[0])
        return self._bisect(float(points[low - 1]), float(points[low]), q)

    def _bisect(self, below: float, above: float, q: float) -> float:
        """F < q at `below`, F >= q at `above`, smooth in between; `above` itself is returned if it is an atom."""
        atom = above
        while above - below > 1e-13 * atom:
            middle = (below + above) / 2
            if not below < middle < above:
                break
            if self._reaches(middle, q):
                above = middle
            else:
                below = middle
        return above

    def _reaches(self, t_s: float, q: float) -> bool:
        return self.cdf(float(t_s)) >= q - PROBABILITY_TOLERANCE


def interpolate(table: NDArray[np.float64], rows: NDArray[np.int64], share: NDArray[np.float64]) -> NDArray[np.float64]:
    """Interpolate rows of a table on equally spaced points of [0, 1] by cubics through the four nearest.

    Args:
        table: shape (n_rows, n_points, …).
        rows: shape (k,).
        share: shape (k,), places in [0, 1]; outside, the ends count.

    Returns:
        Shape (k, …).
    """
    intervals = table.shape[1] - 1
    place = np.clip(share, 0.0, 1.0) * intervals
    first = np.clip(place.astype(np.int64) - 1, 0, max(intervals - 3, 0))
    if intervals < 3:
        lower = np.minimum(place.astype(np.int64), intervals - 1)
        u = (place - lower).reshape(-1, *[1] * (table.ndim - 2))
        return table[rows, lower] * (1 - u) + table[rows, lower + 1] * u
    u = (place - first).reshape(-1, *[1] * (table.ndim - 2))
    return (
        table[rows, first] * (-(u - 1) * (u - 2) * (u - 3) / 6)
        + table[rows, first + 1] * (u * (u - 2) * (u - 3) / 2)
        + table[rows, first + 2] * (-u * (u - 1) * (u - 3) / 2)
        + table[rows, first + 3] * (u * (u - 1) * (u - 2) / 6)
    )
