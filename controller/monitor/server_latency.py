"""Time that requests spent in the servers while one setting was in force, from cumulative sums of heartbeats."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from controller.domain.slo import STRETCH_S, slow_stretch_s

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from controller.telemetry.merge import HeartbeatMerge

LONGEST_S = 120.0
SHORTEST_S = 10.0
LEAST_ANSWERED = 100
SETTLING = 4
"""Stretches after a change in which requests that had waited before it may still be answered."""


@dataclass(frozen=True, slots=True)
class LatencySeen:
    """What was measured over the last `duration_s` seconds.

    Attributes:
        duration_s: since when.
        slow_s: mean time of the slow stretches, see `slow_stretch_s`.
    """

    duration_s: float
    slow_s: float


class ServerLatency:
    """Remembers sums by stretch of time; a change of setting or of the number of instances begins anew.

    Args:
        quantile: of the objective.
    """

    def __init__(self, quantile: float) -> None:
        self._quantile = quantile
        self._sums: deque[tuple[float, float, float]] = deque()

    def begin(self) -> None:
        """Forget what was measured under other conditions."""
        self._sums.clear()

    def observe(self, merge: HeartbeatMerge, now_s: float) -> None:
        """Take the sums of all servers as they stand now, once in a stretch."""
        if self._sums and now_s - self._sums[-1][0] < STRETCH_S - 1e-6:
            return
        counters = merge.counters()
        served_s = sum(size * each.sum_s for (size, _), each in merge.profile().items())
        self._sums.append((now_s, counters.get("answered", 0.0), counters.get("queue_wait_s", 0.0) + served_s))
        while now_s - self._sums[0][0] > LONGEST_S:
            self._sums.popleft()

    def seen(self) -> LatencySeen | None:
        """Return the latency over the remembered time; None while that says too little."""
        if len(self._sums) < 2:
            return None
        length_s, answered, total_s = np.diff(np.array(self._sums), axis=0).T
        settled = slice(_settled_at(total_s / np.maximum(answered, 1.0)), None)
        duration_s = float(length_s[settled].sum())
        if duration_s < SHORTEST_S or answered[settled].sum() < LEAST_ANSWERED:
            return None
        return LatencySeen(duration_s, slow_stretch_s(answered[settled], total_s[settled], self._quantile))


def _settled_at(mean_s: NDArray[np.float64]) -> int:
    """Return where a backlog from before is gone: from the slowest of the first stretches on they become quicker."""
    slowest = int(np.argmax(mean_s[:SETTLING]))
    quicker = np.diff(mean_s[slowest:]) < 0
    return mean_s.size if quicker.all() else slowest + int(np.argmin(quicker))
