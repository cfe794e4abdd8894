"""Arrival bins of several senders, each on its own monotonic clock, as one series on the run's clock.

A bin of one life of one sender only grows, so the largest count seen is the truest: merging is idempotent and does not
depend on order, and a lost report is made good by the next one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from controller.errors import BadInputError
from controller.telemetry.wire import get_list, get_object, get_real, get_whole

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

LARGEST_CLOCK_ERROR_S = 2.0
"""A wall clock further off than this is not believed; the time of arrival takes its place."""
SILENT_AFTER_S = 5.0
"""A sender not heard of for this long no longer holds up the bins of the others."""
MOST_BINS = 4096
"""More bins than this are no report (it carries 120 s at most, 1200 bins of 100 ms)."""

Counts = tuple[int, "NDArray[np.int64]", "NDArray[np.bool_]"]
"""First bin, arrivals by bin, and whether each is only a lower bound."""


@dataclass(frozen=True, slots=True)
class BinReport:
    """The bins of one report. Bin i covers [i width, (i + 1) width) of the sender's monotonic clock."""

    monotonic_s: float
    wall_s: float
    width_s: float
    counts: Mapping[int, int]
    censored: frozenset[int]


def parse_bins(document: Mapping[str, object]) -> BinReport:
    """Parse `bins` and `clock` of a heartbeat or of the activator's state.

    Raises:
        BadInputError: a field is missing, of the wrong type or out of range.
    """
    clock = get_object(document.get("clock"), "clock")
    monotonic_s = get_real(clock.get("monotonic_s"), "clock.monotonic_s")
    bins = get_object(document.get("bins", {}), "bins")
    width_s = get_real(bins.get("width_s", 0.1), "bins.width_s")
    first = get_whole(bins.get("first", 0), "bins.first")
    counts = get_list(bins.get("counts", []), "bins.counts")
    if not 0.001 <= width_s <= 60:
        raise BadInputError(f"heartbeat: bins.width_s needs seconds from 0.001 to 60, got {width_s:g}")
    if len(counts) > MOST_BINS:
        raise BadInputError(f"heartbeat: bins.counts needs at most {MOST_BINS} bins, got {len(counts)}")
    if counts and (first + len(counts) - 1) * width_s > monotonic_s + 1:
        raise BadInputError(f"heartbeat: bins end after the sender's clock, which shows {monotonic_s:g} s")
    by_bin = {first + offset: get_whole(count, "bins.counts") for offset, count in enumerate(counts)}
    censored = {get_whole(each, "bins.censored") for each in get_list(bins.get("censored", []), "bins.censored")}
    wall_s = get_real(clock.get("wall_s"), "clock.wall_s")
    return BinReport(monotonic_s, wall_s, width_s, by_bin, frozenset(censored) & by_bin.keys())


@dataclass(slots=True)
class _Sender:
    offset_s: float
    width_s: float
    monotonic_s: float
    heard_at_s: float
    counts: dict[int, int] = field(default_factory=dict[int, int])
    censored: set[int] = field(default_factory=set[int])


class ArrivalBins:
    """Merges reports of bins.

    Args:
        started_at_s: wall clock at which the run's clock shows 0; 0 makes the two the same (virtual time).
        kept_s: how long bins are remembered.
    """

    def __init__(self, *, started_at_s: float = 0.0, kept_s: float = 900.0) -> None:
        self._started_at_s = started_at_s
        self._kept_s = kept_s
        self._senders: dict[str, _Sender] = {}

    def add(self, boot_id: str, report: BinReport, received_at_s: float) -> None:
        """Merge one report, received at this second of the run."""
        offset_s = self._offset_s(report, received_at_s)
        sender = self._senders.get(boot_id)
        if sender is None:
            self._forget(received_at_s)
            sender = _Sender(offset_s, report.width_s, report.monotonic_s, received_at_s)
            self._senders[boot_id] = sender
        elif report.monotonic_s >= sender.monotonic_s:
            sender.monotonic_s, sender.heard_at_s = report.monotonic_s, received_at_s
            if abs(offset_s - sender.offset_s) > LARGEST_CLOCK_ERROR_S:  # a clock was set, or a machine slept
                sender.offset_s = offset_s
        for index, count in report.counts.items():
            sender.counts[index] = max(count, sender.counts.get(index, 0))
        sender.censored |= report.censored
        oldest = (sender.monotonic_s - self._kept_s) / sender.width_s
        if sender.counts and next(iter(sender.counts)) < oldest:
            sender.counts = {index: count for index, count in sender.counts.items() if index >= oldest}
            sender.censored = {index for index in sender.censored if index >= oldest}

    def counts(self, until_s: float, bin_s: float = 1.0) -> Counts:
        """Return the arrivals of all senders together; bin i covers [i bin_s, (i + 1) bin_s) of the run's clock.

        Only bins that every sender still heard of has passed are returned, and none that ends after `until_s`.
        """
        alive = [each for each in self._senders.values() if each.heard_at_s > until_s - SILENT_AFTER_S]
        complete_s = min([until_s, *(each.monotonic_s + each.offset_s for each in alive)])
        senders = [each for each in self._senders.values() if each.counts]
        if not senders:
            return 0, np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.bool_)
        index = np.concatenate([_run_bins(each, each.counts, bin_s) for each in senders])
        values = np.concatenate([np.fromiter(each.counts.values(), dtype=np.int64) for each in senders])
        lower = np.concatenate([_run_bins(each, each.censored, bin_s) for each in senders])
        # 1e-6: clocks are sums of floats, and a bin must not wait a second longer for the last bit.
        stop = math.floor(complete_s / bin_s + 1e-6)
        first = max(int(index.min()), math.floor((until_s - self._kept_s) / bin_s))
        inside = (index >= first) & (index < stop)
        counts = np.zeros(max(0, stop - first), dtype=np.int64)
        np.add.at(counts, index[inside] - first, values[inside])
        censored = np.zeros(counts.size, dtype=np.bool_)
        censored[lower[(lower >= first) & (lower < stop)] - first] = True
        return first, counts, censored

    def _offset_s(self, report: BinReport, received_at_s: float) -> float:
        """Return what turns the sender's monotonic clock into the run's clock."""
        by_wall = report.wall_s - self._started_at_s
        now_s = by_wall if abs(by_wall - received_at_s) <= LARGEST_CLOCK_ERROR_S else received_at_s
        return now_s - report.monotonic_s

    def _forget(self, now_s: float) -> None:
        gone = [name for name, each in self._senders.items() if each.heard_at_s < now_s - self._kept_s]
        for name in gone:
            del self._senders[name]


def _run_bins(sender: _Sender, indices: Mapping[int, int] | set[int], bin_s: float) -> NDArray[np.int64]:
    """Return the run's bin in which the middle of each of a sender's bins falls."""
    own = np.fromiter(indices, dtype=np.float64, count=len(indices))
    return np.floor(((own + 0.5) * sender.width_s + sender.offset_s) / bin_s).astype(np.int64)
