"""Arrivals in bins of 100 ms, in the form a heartbeat carries them."""

from __future__ import annotations

from collections import deque

WIDTH_S = 0.1
KEPT_BINS = 1200
"""120 s, as much as a heartbeat carries."""


class ArrivalBins:
    """Counts arrivals; bin i covers [i WIDTH_S, (i + 1) WIDTH_S) of the clock that is given."""

    def __init__(self, now_s: float) -> None:
        self._first = int(now_s / WIDTH_S)
        self._counts: deque[int] = deque([0])

    def count(self, now_s: float) -> None:
        """Count one arrival."""
        self._extend(now_s)
        self._counts[-1] += 1

    def to_document(self, now_s: float) -> dict[str, object]:
        """Return the bins up to now."""
        self._extend(now_s)
        return {"width_s": WIDTH_S, "first": self._first, "counts": list(self._counts), "censored": []}

    def _extend(self, now_s: float) -> None:
        last = int(now_s / WIDTH_S)
        missing = last - (self._first + len(self._counts) - 1)
        if missing > KEPT_BINS:
            self._first, self._counts = last, deque([0])
            return
        for _ in range(missing):
            self._counts.append(0)
        while len(self._counts) > KEPT_BINS:
            self._counts.popleft()
            self._first += 1
