"""Samples of cumulative counters, a scrape apart, as arrivals by bin; no I/O and no clock.

What a counter grew by between two scrapes is spread evenly over the time between them: more is not known. The counts of
one bin are therefore smoother than the traffic was, whenever a bin is shorter than `resolution_s`.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from itertools import pairwise
from statistics import median
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from numpy.typing import NDArray

    from controller.monitor.prometheus_api import RawSeries
    from controller.telemetry.arrival_bins import Counts

UNKNOWN_RESOLUTION_S = 60.0
"""Prometheus' own default of the scrape interval; supposed until two samples of a counter tell."""
SILENT_AFTER = 2.5
"""Scrape intervals after which a counter that gave no sample no longer holds up the bins of the others."""
MOST_BEFORE_FIRST = 10_000
"""A counter that begins above this is an old one that is scraped only now, not a pod that has just started."""
MOST_BETWEEN = 1e12
"""A counter that grew by more between two scrapes is broken; sums stay whole numbers below this."""
FORGET_AFTER_S = 3600.0
GAPS_KEPT = 256
SCRAPING_LABELS = frozenset({"job", "endpoint", "service", "prometheus", "prometheus_replica", "replica"})
"""Two series that differ in these alone are one counter, scraped twice."""

Key = tuple[tuple[str, str], ...]


@dataclass(slots=True)
class _Counter:
    last_s: float
    value: float
    has_ended: bool = False


class ScrapedCounts:
    """Remembers what counters grew by. Times are seconds of the run.

    Args:
        kept_s: how long bins are remembered.
    """

    def __init__(self, *, kept_s: float) -> None:
        self._kept_s = kept_s
        self._counters: dict[Key, _Counter] = {}
        self._gaps: deque[float] = deque(maxlen=GAPS_KEPT)
        self._grown: deque[tuple[float, float, float]] = deque()
        """From, until, and how many arrivals."""
        self._grown_before = 0.0
        """Arrivals no longer among these: every bin is a difference of two sums since the start, rounded alike."""
        self._lower: list[tuple[float, float]] = []
        self._oldest_s = -math.inf
        """Samples before this are of no use."""
        self._watched_s = self._known_s = self._complete_s = math.nan
        """First second that is counted; since when a counter that appears is new; until when all is in."""

    @property
    def resolution_s(self) -> float:
        """Time between two scrapes, the median of those seen; counts in shorter bins are interpolated."""
        return median(self._gaps) if self._gaps else UNKNOWN_RESOLUTION_S

    @property
    def heard_s(self) -> float:
        """Time of the last sample; minus infinity before the first."""
        return max((each.last_s for each in self._counters.values()), default=-math.inf)

    def add(self, series: Iterable[RawSeries], now_s: float, *, offset_s: float = 0.0) -> None:
        """Take in what counters read; samples that were seen before are skipped.

        Args:
            series: of all counters, each sample's time being the run's plus `offset_s`.
            now_s: time at which they were asked for.
            offset_s: Unix time at which the run's clock showed 0.
        """
        oldest_s = max(self._oldest_s, now_s - FORGET_AFTER_S)
        samples = {
            key: [
                (at_s - offset_s, value) for at_s, value in sorted(each.samples) if oldest_s <= at_s - offset_s <= now_s
            ]
            for key, each in _once(series).items()
        }
        samples = {key: each for key, each in samples.items() if each}
        for key, each in samples.items():
            known = self._counters.get(key)
            fresh = [at_s for at_s, _ in each if known is None or at_s > known.last_s]
            before = fresh if known is None else [known.last_s, *fresh]
            self._gaps.extend(later - earlier for earlier, later in pairwise(before))
        if math.isnan(self._known_s):
            self._known_s = min((each[0][0] for each in samples.values()), default=now_s)
        if math.isnan(self._watched_s):
            self._watched_s = self._complete_s = self._known_s
        for key, each in samples.items():
            for at_s, value in each:
                self._take(key, at_s, value)
        self._complete(now_s)

    def begin_anew(self) -> None:
        """Other counters follow, which count the same requests: what they show at first is no growth.

        Nor is what they grew by before the last bin that was told.
        """
        self._counters.clear()
        self._known_s = math.nan
        if not math.isnan(self._complete_s):
            self._oldest_s = self._complete_s

    def counts(self, until_s: float, bin_s: float = 1.0) -> Counts:
        """See `ArrivalSource.counts`; bins before second 0 of the run are left out."""
        if math.isnan(self._watched_s):
            return 0, np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.bool_)
        oldest_s = max(0.0, self._watched_s, until_s - self._kept_s)
        # 1e-6: times are sums of floats, and a bin must not wait a second longer for the last bit.
        first = math.ceil(oldest_s / bin_s - 1e-6)
        stop = max(first, math.floor(min(until_s, self._complete_s) / bin_s + 1e-6))
        grown = self._grown_until(bin_s * np.arange(first, stop + 1, dtype=np.float64))
        whole = np.maximum.accumulate(np.floor(grown + 0.5 - 1e-6)).astype(np.int64)
        censored = np.zeros(stop - first, dtype=np.bool_)
        for from_s, end_s in self._lower:
            censored[max(0, math.floor(from_s / bin_s) - first) : max(0, math.ceil(end_s / bin_s) - first)] = True
        return first, np.diff(whole), censored

    def _take(self, key: Key, at_s: float, value: float) -> None:
        known = self._counters.get(key)
        if known is None:
            self._counters[key] = _Counter(at_s, value)
            if at_s > self._known_s + 2 * self.resolution_s:
                self._begun(at_s, value)
            return
        if at_s <= known.last_s:
            return
        growth = value - known.value
        if growth < 0:  # it began anew, and what came between the last sample and that is lost
            growth = value
            self._lower.append((max(known.last_s, self._complete_s), at_s))
        self._grow(known.last_s, at_s, growth)
        known.last_s, known.value, known.has_ended = at_s, value, False

    def _begun(self, at_s: float, value: float) -> None:
        """A counter appeared: what it shows came since the scrape before, when it was not there."""
        from_s = at_s - self.resolution_s
        if value <= MOST_BEFORE_FIRST:
            self._grow(from_s, at_s, value)
        else:
            self._lower.append((max(from_s, self._complete_s), at_s))

    def _grow(self, from_s: float, until_s: float, count: float) -> None:
        """Add arrivals, but none to bins that were told already."""
        from_s = max(from_s, self._complete_s)
        if until_s - from_s < 1e-3:  # the sample came later than others of a later time
            until_s = from_s + self.resolution_s
        if count > 0:
            self._grown.append((from_s, until_s, min(count, MOST_BETWEEN)))

    def _complete(self, now_s: float) -> None:
        """Find until when every counter still heard of has told, and forget what is old."""
        silent_s = now_s - SILENT_AFTER * self.resolution_s
        for each in self._counters.values():
            if each.last_s <= silent_s and not each.has_ended:
                # Its pod is gone, with what it counted after the last scrape.
                each.has_ended = True
                self._lower.append((max(each.last_s, self._complete_s), each.last_s + self.resolution_s))
        alive = [each.last_s for each in self._counters.values() if not each.has_ended]
        self._complete_s = max(self._complete_s, min(alive, default=silent_s))
        old_s = self._complete_s - self._kept_s
        while self._grown and self._grown[0][1] < old_s:
            self._grown_before += self._grown.popleft()[2]
        self._lower = [each for each in self._lower if each[1] > max(each[0], old_s)]
        forgotten = [key for key, each in self._counters.items() if each.last_s < now_s - FORGET_AFTER_S]
        for key in forgotten:
            del self._counters[key]

    def _grown_until(self, edges_s: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the arrivals since the start up to each of these times, shape (n,)."""
        if not self._grown:
            return np.full(edges_s.size, self._grown_before)
        from_s, until_s, count = np.array(self._grown, dtype=np.float64).T
        rates = count / (until_s - from_s)
        times_s = np.concatenate([from_s, until_s])
        order = np.argsort(times_s, kind="stable")
        times_s, steps = times_s[order], np.concatenate([rates, -rates])[order]
        grown = np.concatenate([[0.0], np.cumsum(np.cumsum(steps)[:-1] * np.diff(times_s))])
        return self._grown_before + np.interp(edges_s, times_s, grown)


def _once(series: Iterable[RawSeries]) -> Mapping[Key, RawSeries]:
    """Return each counter once, the first by its labels where it is scraped twice."""
    ordered = sorted(series, key=lambda each: sorted(each.labels.items()), reverse=True)
    return {
        tuple(sorted((name, text) for name, text in each.labels.items() if name not in SCRAPING_LABELS)): each
        for each in ordered
    }
