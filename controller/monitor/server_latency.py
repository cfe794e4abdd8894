"""Mean time that requests spent in the servers since the setting last changed, from cumulative sums of heartbeats."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from controller.telemetry.merge import HeartbeatMerge

LONGEST_S = 60.0
SHORTEST_S = 10.0
LEAST_ANSWERED = 100


@dataclass(frozen=True, slots=True)
class LatencySeen:
    """What was measured over the last `duration_s` seconds."""

    duration_s: float
    mean_s: float


class ServerLatency:
    """Remembers sums by second; a change of setting or of the number of instances begins anew."""

    def __init__(self) -> None:
        self._sums: deque[tuple[float, float, float]] = deque()

    def begin(self) -> None:
        """Forget what was measured under other conditions."""
        self._sums.clear()

    def observe(self, merge: HeartbeatMerge, now_s: float) -> None:
        """Take the sums of all servers as they stand now."""
        counters = merge.counters()
        served_s = sum(size * each.sum_s for (size, _), each in merge.profile().items())
        self._sums.append((now_s, counters.get("answered", 0.0), counters.get("queue_wait_s", 0.0) + served_s))
        while self._sums[-1][0] - self._sums[0][0] > LONGEST_S:
            self._sums.popleft()

    def seen(self) -> LatencySeen | None:
        """Return the mean over the remembered time; None while that says too little."""
        if not self._sums:
            return None
        (from_s, answered0, total0), (until_s, answered1, total1) = self._sums[0], self._sums[-1]
        answered = answered1 - answered0
        if until_s - from_s < SHORTEST_S or answered < LEAST_ANSWERED:
            return None
        return LatencySeen(until_s - from_s, (total1 - total0) / answered)
