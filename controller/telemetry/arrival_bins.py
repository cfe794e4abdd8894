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
SHORTEST_BIN_S = 0.05
"""Servers and the activator count by 0.1 s; finer bins would only take memory."""
MOST_LIVES = 64
"""Lives of one sender that are told apart. A kubelet that waits a minute at most before it starts a container again
does so 21 times in the 900 s that bins are remembered."""

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
    counts = get_list(bins.get("counts", []), "bins.counts", MOST_BINS)
    lower_bounds = get_list(bins.get("censored", []), "bins.censored", MOST_BINS)
    if not SHORTEST_BIN_S <= width_s <= 60:
        raise BadInputError(f"heartbeat: bins.width_s needs seconds from {SHORTEST_BIN_S:g} to 60, got {width_s:g}")
    if counts and (first + len(counts) - 1) * width_s > monotonic_s + 1:
        raise BadInputError(f"heartbeat: bins end after the sender's clock, which shows {monotonic_s:g} s")
    by_bin = {first + offset: get_whole(count, "bins.counts") for offset, count in enumerate(counts)}
    censored = {get_whole(each, "bins.censored") for each in lower_bounds}
    wall_s = get_real(clock.get("wall_s"), "clock.wall_s")
    return BinReport(monotonic_s, wall_s, width_s, by_bin, frozenset(censored) & by_bin.keys())


@dataclass(slots=True)
class _Life:
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
        # A life is remembered until it was silent for `kept_s`, with the `kept_s` before: more cannot be had honestly,
        # and as servers' bins are twice as long as the shortest, they come to half of it.
        self._most_held = 2 * kept_s / SHORTEST_BIN_S
        self._senders: dict[str, dict[str, _Life]] = {}

    def add(self, sender: str, boot_id: str, report: BinReport, received_at_s: float) -> None:
        """Merge one report.

        Args:
            sender: a pod, or whatever else has one life at a time.
            boot_id: of the life that the report tells of.
            report: what it says.
            received_at_s: second of the run.

        Raises:
            BadInputError: the sender has more lives or bins than one can have; nothing is merged.
        """
        lives = self._senders.get(sender, {})
        if boot_id not in lives:
            self._forget(received_at_s)
            lives = self._senders.setdefault(sender, {})
        self._check(sender, lives, lives.get(boot_id), report)
        offset_s = self._offset_s(report, received_at_s)
        life = lives.setdefault(boot_id, _Life(offset_s, report.width_s, report.monotonic_s, received_at_s))
        if report.monotonic_s >= life.monotonic_s:
            life.monotonic_s, life.heard_at_s = report.monotonic_s, received_at_s
            if abs(offset_s - life.offset_s) > LARGEST_CLOCK_ERROR_S:  # a clock was set, or a machine slept
                life.offset_s = offset_s
        oldest = (life.monotonic_s - self._kept_s) / life.width_s
        for index, count in report.counts.items():
            if index >= oldest:
                life.counts[index] = max(count, life.counts.get(index, 0))
        life.censored |= {index for index in report.censored if index >= oldest}
        if life.counts and next(iter(life.counts)) < oldest:
            life.counts = {index: count for index, count in life.counts.items() if index >= oldest}
            life.censored = {index for index in life.censored if index >= oldest}

    def counts(self, until_s: float, bin_s: float = 1.0) -> Counts:
        """Return the arrivals of all senders together; bin i covers [i bin_s, (i + 1) bin_s) of the run's clock.

        Only bins that every sender still heard of has passed are returned, and none that ends after `until_s`.
        """
        lives = [life for each in self._senders.values() for life in each.values()]
        alive = [each for each in lives if each.heard_at_s > until_s - SILENT_AFTER_S]
        complete_s = min([until_s, *(each.monotonic_s + each.offset_s for each in alive)])
        lives = [each for each in lives if each.counts]
        if not lives:
            return 0, np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.bool_)
        index = np.concatenate([_run_bins(each, each.counts, bin_s) for each in lives])
        values = np.concatenate([np.fromiter(each.counts.values(), dtype=np.int64) for each in lives])
        lower = np.concatenate([_run_bins(each, each.censored, bin_s) for each in lives])
        # 1e-6: clocks are sums of floats, and a bin must not wait a second longer for the last bit.
        stop = math.floor(complete_s / bin_s + 1e-6)
        first = max(int(index.min()), math.floor((until_s - self._kept_s) / bin_s))
        inside = (index >= first) & (index < stop)
        counts = np.zeros(max(0, stop - first), dtype=np.int64)
        np.add.at(counts, index[inside] - first, values[inside])
        censored = np.zeros(counts.size, dtype=np.bool_)
        censored[lower[(lower >= first) & (lower < stop)] - first] = True
        return first, counts, censored

    def _check(self, sender: str, lives: Mapping[str, _Life], life: _Life | None, report: BinReport) -> None:
        if life is None and len(lives) >= MOST_LIVES:
            why = f"{sender} needs at most {MOST_LIVES} boot_ids in {self._kept_s:g} s"
            raise BadInputError(f"heartbeat: {why}; keep one while the process lives")
        if life is not None and report.width_s != life.width_s:
            why = f"was {life.width_s:g} s in this life and may not become {report.width_s:g} s"
            raise BadInputError(f"heartbeat: bins.width_s {why}; take a new boot_id with it")
        held = sum(len(each.counts) for each in lives.values())
        if held > self._most_held:
            why = f"{sender} needs at most {self._most_held:g} bins in all its lives, has {held}"
            raise BadInputError(
                f"heartbeat: {why}; no server of tidegate has as many, see what else sends from its pod"
            )

    def _offset_s(self, report: BinReport, received_at_s: float) -> float:
        """Return what turns the sender's monotonic clock into the run's clock."""
        by_wall = report.wall_s - self._started_at_s
        now_s = by_wall if abs(by_wall - received_at_s) <= LARGEST_CLOCK_ERROR_S else received_at_s
        return now_s - report.monotonic_s

    def _forget(self, now_s: float) -> None:
        since_s = now_s - self._kept_s
        kept = {
            sender: {boot_id: each for boot_id, each in lives.items() if each.heard_at_s >= since_s}
            for sender, lives in self._senders.items()
        }
        self._senders = {sender: lives for sender, lives in kept.items() if lives}


def _run_bins(life: _Life, indices: Mapping[int, int] | set[int], bin_s: float) -> NDArray[np.int64]:
    """Return the run's bin in which the middle of each of a life's bins falls."""
    own = np.fromiter(indices, dtype=np.float64, count=len(indices))
    return np.floor(((own + 0.5) * life.width_s + life.offset_s) / bin_s).astype(np.int64)
