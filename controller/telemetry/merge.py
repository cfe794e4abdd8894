"""Merges heartbeats of all servers into one view: arrivals on the run's clock, service times, lengths, instances.

Loss, repeats and disorder are harmless: bins merge by themselves (`arrival_bins`), and all other fields are cumulative,
so the heartbeat with the highest sequence number of a boot says everything.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from controller.telemetry.arrival_bins import ArrivalBins, Counts
from controller.telemetry.heartbeat import BatchKey, BatchSums, Heartbeat, parse_heartbeat

if TYPE_CHECKING:
    from collections.abc import Sequence

BOOTS_PER_INSTANCE = 8


@dataclass(frozen=True, slots=True)
class InstanceSeen:
    """The last word of one server."""

    heartbeat: Heartbeat
    heard_at_s: float


class HeartbeatMerge:
    """The controller's memory of what servers said.

    Args:
        started_at_s: wall clock at which the run's clock shows 0; 0 makes the two the same (virtual time).
        kept_s: how long arrival bins are remembered.
        kept_boots: how many lives of servers are told apart; the longest silent ones are folded into one sum.
    """

    def __init__(self, *, started_at_s: float = 0.0, kept_s: float = 900.0, kept_boots: int = 256) -> None:
        self._bins = ArrivalBins(started_at_s=started_at_s, kept_s=kept_s)
        self._kept_boots = kept_boots
        self._boots: dict[str, InstanceSeen] = {}
        self._folded_batches: dict[BatchKey, BatchSums] = {}
        self._folded_lengths: dict[int, int] = {}
        self._folded_counters: dict[str, float] = {}
        self._folded_latency: dict[float, int] = {}

    def accept(self, document: object, received_at_s: float) -> Heartbeat:
        """Merge one heartbeat; a malformed one changes nothing.

        Args:
            document: parsed JSON.
            received_at_s: seconds since the run's start.

        Raises:
            BadInputError: not a heartbeat.
        """
        heartbeat = parse_heartbeat(document)
        self._bins.add(heartbeat.boot_id, heartbeat.bins, received_at_s)
        known = self._boots.get(heartbeat.boot_id)
        if known is None or heartbeat.seq >= known.heartbeat.seq:
            self._boots[heartbeat.boot_id] = InstanceSeen(heartbeat, received_at_s)
        self._fold(heartbeat.instance)
        return heartbeat

    def counts(self, until_s: float, bin_s: float = 1.0) -> Counts:
        """Return arrivals at the servers on the run's clock; see `ArrivalBins.counts`."""
        return self._bins.counts(until_s, bin_s)

    def profile(self) -> dict[BatchKey, BatchSums]:
        """Return the service times of all batches so far, by batch size and padded tokens."""
        sums = dict(self._folded_batches)
        for seen in self._boots.values():
            _add_batches(sums, seen.heartbeat)
        return sums

    def lengths(self) -> dict[int, int]:
        """Return how many requests had each length, keyed by upper edge in tokens."""
        total = dict(self._folded_lengths)
        for seen in self._boots.values():
            _add_lengths(total, seen.heartbeat)
        return total

    def counters(self) -> dict[str, float]:
        """Return the sum of all servers' counters."""
        total = dict(self._folded_counters)
        for seen in self._boots.values():
            _add_counters(total, seen.heartbeat)
        return total

    def latency(self) -> dict[float, int]:
        """Return how many right answers took how long, keyed by upper edge in seconds."""
        total = dict(self._folded_latency)
        for seen in self._boots.values():
            _add_latency(total, seen.heartbeat)
        return total

    def instances(self) -> Sequence[InstanceSeen]:
        """Return the last word of each server, the latest heard first."""
        return sorted(self._boots.values(), key=lambda seen: -seen.heard_at_s)

    def _surplus(self, instance: str) -> str | None:
        """Return the boot to fold next: the longest silent of this instance, or of all, when there are too many.

        A pod has one life at a time and a few in a row; one that claims more of them only fills our memory.
        """
        lives = [boot_id for boot_id, seen in self._boots.items() if seen.heartbeat.instance == instance]
        if len(lives) <= BOOTS_PER_INSTANCE:
            lives = []
        candidates = lives or (list(self._boots) if len(self._boots) > self._kept_boots else [])
        return min(candidates, key=lambda boot_id: self._boots[boot_id].heard_at_s, default=None)

    def _fold(self, instance: str) -> None:
        """Keep memory bounded: a service that scales to zero all day has thousands of short-lived servers."""
        while (oldest := self._surplus(instance)) is not None:
            gone = self._boots.pop(oldest).heartbeat
            _add_batches(self._folded_batches, gone)
            _add_lengths(self._folded_lengths, gone)
            _add_counters(self._folded_counters, gone)
            _add_latency(self._folded_latency, gone)


def _add_batches(sums: dict[BatchKey, BatchSums], heartbeat: Heartbeat) -> None:
    for key, value in heartbeat.batches.items():
        sums[key] = sums[key] + value if key in sums else value


def _add_lengths(total: dict[int, int], heartbeat: Heartbeat) -> None:
    for edge, count in heartbeat.lengths.items():
        total[edge] = total.get(edge, 0) + count


def _add_counters(total: dict[str, float], heartbeat: Heartbeat) -> None:
    for name, value in heartbeat.counters.items():
        total[name] = total.get(name, 0.0) + value


def _add_latency(total: dict[float, int], heartbeat: Heartbeat) -> None:
    for upper_s, count in heartbeat.latency.items():
        total[upper_s] = total.get(upper_s, 0) + count
