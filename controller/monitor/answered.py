"""Latency of right answers over the last minutes, from cumulative counts by bucket in heartbeats.

It is what servers measured, from the arrival of a call at the server to its answer: what a call waited at an activator
before is not in it.
"""

from __future__ import annotations

import math
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from controller.telemetry.merge import HeartbeatMerge

KEPT_S = 120.0
STEP_S = 5.0
LATE = ("rejected", "expired", "failed")


class AnsweredLatency:
    """Remembers counts every few seconds."""

    def __init__(self) -> None:
        self._counts: deque[tuple[float, dict[float, int]]] = deque()

    def observe(self, merge: HeartbeatMerge, now_s: float) -> None:
        """Take the counts as they stand now; a request without a right answer counts as endless."""
        if self._counts and now_s - self._counts[-1][0] < STEP_S:
            return
        counts, counters = merge.latency(), merge.counters()
        counts[math.inf] = counts.get(math.inf, 0) + round(sum(counters.get(name, 0.0) for name in LATE))
        self._counts.append((now_s, counts))
        while now_s - self._counts[0][0] > KEPT_S:
            self._counts.popleft()

    def counted(self) -> dict[float, int]:
        """Return the requests of the remembered time by latency, keyed by rising upper edge in seconds."""
        if len(self._counts) < 2:
            return {}
        first, last = self._counts[0][1], self._counts[-1][1]
        # A controller that has just started may hear of a server's past in one word: that is not of these minutes.
        return {edge: max(0, last[edge] - first.get(edge, 0)) for edge in sorted(last)}


def quantile_s(counted: Mapping[float, int], quantile: float) -> float | None:
    """Return a quantile in seconds, linear inside a bucket; infinite where it falls on no right answer.

    Args:
        counted: requests by rising upper edge in seconds.
        quantile: in (0, 1).
    """
    total = sum(counted.values())
    if not total:
        return None
    wanted, below, lower_s = quantile * total, 0, 0.0
    for upper_s, count in counted.items():
        if count and below + count >= wanted:
            if math.isinf(upper_s):
                return math.inf
            return lower_s + (upper_s - lower_s) * (wanted - below) / count
        below, lower_s = below + count, upper_s
    return math.inf


def share_within(counted: Mapping[float, int], bound_s: float) -> float | None:
    """Return the share of requests answered within a bound, linear inside a bucket; None without requests."""
    total = sum(counted.values())
    if not total:
        return None
    inside, lower_s = 0.0, 0.0
    for upper_s, count in counted.items():
        if upper_s <= bound_s:
            inside += count
        elif lower_s < bound_s and not math.isinf(upper_s):
            inside += count * (bound_s - lower_s) / (upper_s - lower_s)
        lower_s = upper_s
    return inside / total
