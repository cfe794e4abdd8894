"""Merges heartbeats of all servers into one view: arrivals on the run's clock, service times, lengths, instances.

Loss, repeats and disorder are harmless. A bin of one boot only grows, so the largest count seen is the truest; all
other fields are cumulative, so the heartbeat with the highest sequence number says everything.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from controller.telemetry.heartbeat import BatchKey, BatchSums, Heartbeat, parse_heartbeat

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

LARGEST_CLOCK_ERROR_S = 2.0
"""A wall clock further off than this is not believed; the time of arrival takes its place."""
SILENT_AFTER_S = 5.0
"""A server not heard of for this long no longer holds up the bins of the others."""


@dataclass(frozen=True, slots=True)
class InstanceSeen:
    """The last word of one server."""

    heartbeat: Heartbeat
    heard_at_s: float


@dataclass(slots=True)
class _Boot:
    """All that is kept of one life of one server."""

    offset_s: float
    last: Heartbeat
    heard_at_s: float
    bins: dict[int, int] = field(default_factory=dict[int, int])
    censored: set[int] = field(default_factory=set[int])

    def complete_until_s(self) -> float:
        return self.last.monotonic_s + self.offset_s


class HeartbeatMerge:
    """The controller's memory of what servers said.

    Args:
        started_at_s: wall clock at which the run's clock shows 0; 0 makes the two the same (virtual time).
        kept_s: how long bins are remembered.
        kept_boots: how many lives of servers are told apart; the longest silent ones are folded into one sum.
    """

    def __init__(self, *, started_at_s: float = 0.0, kept_s: float = 900.0, kept_boots: int = 256) -> None:
        self._started_at_s = started_at_s
        self._kept_s = kept_s
        self._kept_boots = kept_boots
        self._boots: dict[str, _Boot] = {}
        self._folded_batches: dict[BatchKey, BatchSums] = {}
        self._folded_lengths: dict[int, int] = {}
        self._folded_counters: dict[str, float] = {}

    def accept(self, document: object, received_at_s: float) -> Heartbeat:
        """Merge one heartbeat; a malformed one changes nothing.

        Args:
            document: parsed JSON.
            received_at_s: seconds since the run's start.

        Raises:
            BadInputError: not a heartbeat.
        """
        heartbeat = parse_heartbeat(document)
        boot = self._boots.get(heartbeat.boot_id)
        if boot is None:
            boot = _Boot(self._offset_s(heartbeat, received_at_s), heartbeat, received_at_s)
            self._boots[heartbeat.boot_id] = boot
            self._fold(received_at_s)
        elif heartbeat.seq >= boot.last.seq:
            boot.last, boot.heard_at_s = heartbeat, received_at_s
            offset_s = self._offset_s(heartbeat, received_at_s)
            if abs(offset_s - boot.offset_s) > LARGEST_CLOCK_ERROR_S:  # a clock was set, or a machine slept
                boot.offset_s = offset_s
        for index, count in heartbeat.bins.items():
            boot.bins[index] = max(count, boot.bins.get(index, 0))
        boot.censored |= heartbeat.censored
        self._forget(boot)
        return heartbeat

    def counts(self, until_s: float, bin_s: float = 1.0) -> tuple[int, NDArray[np.int64], NDArray[np.bool_]]:
        """Return the arrivals of all servers together in bins of the run's clock.

        Only bins that every server still heard of has passed are returned, and none after `until_s`.

        Returns:
            First bin (bin i covers [i bin_s, (i + 1) bin_s)), counts, and whether each is a lower bound.
        """
        alive = [boot for boot in self._boots.values() if boot.heard_at_s > until_s - SILENT_AFTER_S]
        complete_s = min([until_s, *(boot.complete_until_s() for boot in alive)])
        starts: list[NDArray[np.int64]] = []
        values: list[NDArray[np.int64]] = []
        doubtful: list[NDArray[np.int64]] = []
        for boot in self._boots.values():
            starts.append(_run_bins(boot, boot.bins, bin_s))
            values.append(np.fromiter(boot.bins.values(), dtype=np.int64, count=len(boot.bins)))
            doubtful.append(_run_bins(boot, boot.censored, bin_s))
        if not starts or not any(each.size for each in starts):
            return 0, np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.bool_)
        index = np.concatenate(starts)
        first, stop = int(index.min()), math.floor(complete_s / bin_s + 1e-9)
        first = max(first, math.floor((until_s - self._kept_s) / bin_s))
        size = max(0, stop - first)
        inside = (index >= first) & (index < stop)
        counts = np.zeros(size, dtype=np.int64)
        np.add.at(counts, index[inside] - first, np.concatenate(values)[inside])
        censored = np.zeros(size, dtype=np.bool_)
        lower = np.concatenate(doubtful)
        censored[lower[(lower >= first) & (lower < stop)] - first] = True
        return first, counts, censored

    def profile(self) -> dict[BatchKey, BatchSums]:
        """Return the service times of all batches so far, by batch size and padded tokens."""
        sums = dict(self._folded_batches)
        for boot in self._boots.values():
            for key, value in boot.last.batches.items():
                sums[key] = sums[key] + value if key in sums else value
        return sums

    def lengths(self) -> dict[int, int]:
        """Return how many requests had each length, keyed by upper edge in tokens."""
        total = dict(self._folded_lengths)
        for boot in self._boots.values():
            for edge, count in boot.last.lengths.items():
                total[edge] = total.get(edge, 0) + count
        return total

    def counters(self) -> dict[str, float]:
        """Return the sum of all servers' counters."""
        total = dict(self._folded_counters)
        for boot in self._boots.values():
            for name, value in boot.last.counters.items():
                total[name] = total.get(name, 0.0) + value
        return total

    def instances(self) -> Sequence[InstanceSeen]:
        """Return the last word of each server, the latest heard first."""
        seen = [InstanceSeen(boot.last, boot.heard_at_s) for boot in self._boots.values()]
        return sorted(seen, key=lambda each: -each.heard_at_s)

    def cold_starts_s(self) -> Sequence[float]:
        """Return how long each server took from exec to its first answer, where it said so."""
        return [sum(boot.last.cold_start_s.values()) for boot in self._boots.values() if boot.last.cold_start_s]

    def _offset_s(self, heartbeat: Heartbeat, received_at_s: float) -> float:
        """Return what turns the server's monotonic clock into the run's clock."""
        by_wall = heartbeat.wall_s - self._started_at_s
        now_s = by_wall if abs(by_wall - received_at_s) <= LARGEST_CLOCK_ERROR_S else received_at_s
        return now_s - heartbeat.monotonic_s

    def _forget(self, boot: _Boot) -> None:
        oldest = (boot.last.monotonic_s - self._kept_s) / boot.last.bin_width_s
        if boot.bins and min(boot.bins) < oldest:
            boot.bins = {index: count for index, count in boot.bins.items() if index >= oldest}
            boot.censored = {index for index in boot.censored if index >= oldest}

    def _fold(self, now_s: float) -> None:
        """Keep memory bounded: a service that scales to zero all day has thousands of short-lived servers."""
        for boot in self._boots.values():
            if boot.heard_at_s < now_s - self._kept_s:
                boot.bins, boot.censored = {}, set()
        while len(self._boots) > self._kept_boots:
            oldest = min(self._boots, key=lambda boot_id: self._boots[boot_id].heard_at_s)
            gone = self._boots.pop(oldest).last
            for key, value in gone.batches.items():
                self._folded_batches[key] = self._folded_batches.get(key, BatchSums(0, 0.0, 0.0)) + value
            for edge, count in gone.lengths.items():
                self._folded_lengths[edge] = self._folded_lengths.get(edge, 0) + count
            for name, amount in gone.counters.items():
                self._folded_counters[name] = self._folded_counters.get(name, 0.0) + amount


def _run_bins(boot: _Boot, indices: dict[int, int] | set[int], bin_s: float) -> NDArray[np.int64]:
    """Return the run's bin of the middle of each of a server's bins."""
    own = np.fromiter(indices, dtype=np.float64, count=len(indices))
    return np.floor(((own + 0.5) * boot.last.bin_width_s + boot.offset_s) / bin_s).astype(np.int64)
