"""Counts of arrivals in bins of 100 ms on the server's monotonic clock, the last 120 s, for heartbeats (pure)."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

WIDTH_S = 0.1
KEPT_BINS = 1200
CENSORED_START_S = 3.0
"""After a start the arrivals that come are those that something in front had held back."""


@dataclass(slots=True)
class ArrivalBins:
    """Bin i covers [i x WIDTH_S, (i + 1) x WIDTH_S). Mutable: it is counted into at every arrival."""

    started_s: float
    counts: dict[int, int] = field(default_factory=dict[int, int])
    """Bins without arrivals are absent."""
    censored: set[int] = field(default_factory=set[int])
    """Bins whose count is a lower bound: the queue was full, or the server had just started."""

    def add(self, now_s: float, n: int) -> None:
        """Count n arrivals at `now_s`."""
        index = int(now_s / WIDTH_S)
        self.counts[index] = self.counts.get(index, 0) + n
        if len(self.counts) > 2 * KEPT_BINS:  # nobody asks for a heartbeat
            self._forget(index - KEPT_BINS + 1)

    def censor(self, now_s: float) -> None:
        """Say that arrivals of this bin may have been turned away before they were seen."""
        self.censored.add(int(now_s / WIDTH_S))

    def _forget(self, first: int) -> None:
        self.counts = {index: n for index, n in self.counts.items() if index >= first}
        self.censored = {index for index in self.censored if index >= first}

    def document(self, now_s: float) -> dict[str, object]:
        """What a heartbeat says of the last 120 s, up to and including the present, incomplete bin.

        Older bins are forgotten.
        """
        started = int(self.started_s / WIDTH_S)
        first = max(int(now_s / WIDTH_S) - KEPT_BINS + 1, started)
        last = int(now_s / WIDTH_S)
        self._forget(first)
        until = math.ceil((self.started_s + CENSORED_START_S) / WIDTH_S)
        censored = self.censored | set(range(first, min(until, last + 1)))
        return {
            "width_s": WIDTH_S,
            "first": first,
            "counts": [self.counts.get(index, 0) for index in range(first, last + 1)],
            "censored": sorted(censored),
        }
