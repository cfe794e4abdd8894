"""Time that requests spent in the servers while one setting was in force, from cumulative sums of heartbeats."""

from __future__ import annotations

import math
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
MOST_ANSWERED = 10_000
"""What was measured is simulated as well, and that must not take long."""
SETTLING_S = 20.0
"""After a change, in which requests that had waited before it may still be answered."""


@dataclass(frozen=True, slots=True)
class LatencySeen:
    """What was measured in [from_s, until_s).

    Attributes:
        from_s: on the clock of the run.
        until_s: the same.
        slow_s: mean time of the slow stretches, see `slow_stretch_s`.
    """

    from_s: float
    until_s: float
    slow_s: float

    def bins(self, first: int, bin_s: float) -> slice:
        """Return where that time stands among bins of the run's clock of which the first has this number."""
        return slice(*(max(0, round(at_s / bin_s) - first) for at_s in (self.from_s, self.until_s)))


class ServerLatency:
    """Remembers sums by stretch of time; a change of setting or of the number of instances begins anew.

    Args:
        quantile: of the objective.
    """

    def __init__(self, quantile: float) -> None:
        self._quantile = quantile
        self._sums: deque[tuple[float, float, float]] = deque()
        self._began_s = 0.0
        self._compared_until_s = -math.inf
        self.seen: LatencySeen | None = None
        """The latency over the remembered time; None while that says too little."""

    @property
    def news(self) -> LatencySeen | None:
        """What is seen, unless nearly all of it has been compared: one error is learned from once."""
        is_old = self.seen is None or self.seen.until_s < self._compared_until_s + SHORTEST_S
        return None if is_old else self.seen

    def compared(self, seen: LatencySeen) -> None:
        """Take note that this was compared with its simulation."""
        self._compared_until_s = seen.until_s

    def begin(self) -> None:
        """Forget what was measured under other conditions."""
        self._sums.clear()
        self.seen = None

    def observe(self, merge: HeartbeatMerge, now_s: float) -> None:
        """Take the sums of all servers as they stand now, once in a stretch."""
        sums = self._sums
        if sums and now_s - sums[-1][0] < STRETCH_S - 1e-6:
            return
        if not sums:
            self._began_s = now_s
        counters = merge.counters()
        served_s = sum(size * each.sum_s for (size, _), each in merge.profile().items())
        sums.append((now_s, counters.get("answered", 0.0), counters.get("queue_wait_s", 0.0) + served_s))
        while now_s - sums[0][0] > LONGEST_S or (len(sums) > 2 and sums[-1][1] - sums[0][1] > MOST_ANSWERED):
            sums.popleft()
        self.seen = self._measured()

    def _measured(self) -> LatencySeen | None:
        if len(self._sums) < 2:
            return None
        sums = np.array(self._sums)
        _, answered, total_s = np.diff(sums, axis=0).T
        settling = int((sums[:-1, 0] < self._began_s + SETTLING_S - 1e-6).sum())
        first = _settled_at(total_s / np.maximum(answered, 1.0), settling) if settling else 0
        from_s, until_s = float(sums[first, 0]), float(sums[-1, 0])
        if until_s - from_s < SHORTEST_S or answered[first:].sum() < LEAST_ANSWERED:
            return None
        return LatencySeen(from_s, until_s, slow_stretch_s(answered[first:], total_s[first:], self._quantile))


def _settled_at(mean_s: NDArray[np.float64], settling: int) -> int:
    """Return where a backlog from before is gone: from the slowest of the first stretches on they become quicker."""
    slowest = int(np.argmax(mean_s[:settling]))
    quicker = np.diff(mean_s[slowest:]) < 0
    return mean_s.size if quicker.all() else slowest + int(np.argmin(quicker))
