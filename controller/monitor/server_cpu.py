"""CPU seconds that a request takes, from the servers' own count over the last minutes."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from controller.telemetry.merge import HeartbeatMerge

KEPT_S = 120.0
STEP_S = 5.0
LEAST_ANSWERED = 50


class ServerCpu:
    """Remembers the sums of all servers every few seconds."""

    def __init__(self) -> None:
        self._sums: deque[tuple[float, float, float]] = deque()

    def observe(self, merge: HeartbeatMerge, now_s: float) -> None:
        """Take the sums as they stand now."""
        if self._sums and now_s - self._sums[-1][0] < STEP_S:
            return
        counters = merge.counters()
        self._sums.append((now_s, counters.get("cpu_s", 0.0), counters.get("answered", 0.0)))
        while now_s - self._sums[0][0] > KEPT_S:
            self._sums.popleft()

    def per_request_s(self) -> float | None:
        """Return CPU seconds over answers; None while too few were answered.

        What a server needs without any request, its start above all, is in it: it is CPU that a pod must have.
        """
        if not self._sums:
            return None
        (_, cpu0, answered0), (_, cpu1, answered1) = self._sums[0], self._sums[-1]
        answered = answered1 - answered0
        return None if answered < LEAST_ANSWERED else (cpu1 - cpu0) / answered
