"""Merges heartbeats of all servers into one view: arrivals on the run's clock, service times, lengths, instances.

Loss, repeats and disorder are harmless: bins merge by themselves (`arrival_bins`), and all other fields are cumulative,
so the heartbeat with the highest sequence number of a boot says everything.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from controller.telemetry.arrival_bins import ArrivalBins, Counts
from controller.telemetry.heartbeat import MOST_KINDS, BatchKey, BatchSums, Heartbeat, parse_heartbeat

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

BOOTS_PER_INSTANCE = 8
MOST_TOLD_APART = 2 * MOST_KINDS
"""Kinds of batches, or classes of lengths, of all servers of one service together. Those of one service do not exceed
those of one server by much; the sums of lives that are long gone must not grow without an end."""

_Class = TypeVar("_Class")
_Sum = TypeVar("_Sum", int, float, BatchSums)


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
            BadInputError: not a heartbeat, or the instance says more than one server can.
        """
        heartbeat = parse_heartbeat(document)
        self._bins.add(heartbeat.instance, heartbeat.boot_id, heartbeat.bins, received_at_s)
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
            _add(sums, seen.heartbeat.batches)
        return sums

    def lengths(self) -> dict[int, int]:
        """Return how many requests had each length, keyed by upper edge in tokens."""
        total = dict(self._folded_lengths)
        for seen in self._boots.values():
            _add(total, seen.heartbeat.lengths)
        return total

    def counters(self) -> dict[str, float]:
        """Return the sum of all servers' counters."""
        total = dict(self._folded_counters)
        for seen in self._boots.values():
            _add(total, seen.heartbeat.counters)
        return total

    def latency(self) -> dict[float, int]:
        """Return how many right answers took how long, keyed by upper edge in seconds."""
        total = dict(self._folded_latency)
        for seen in self._boots.values():
            _add(total, seen.heartbeat.latency)
        return total

    def instances(self) -> Sequence[InstanceSeen]:
        """Return the last word of each server, the latest heard first."""
        return sorted(self._boots.values(), key=lambda seen: -seen.heard_at_s)

    def _surplus(self, instance: str) -> str | None:
        """Return the boot to fold next: the longest silent of this instance, or of all, when there are too many.

        A pod has one life at a time and a few in a row; one that claims more of them only fills our memory, and so
        does one whose lives together have more kinds of batches than a single heartbeat may tell of.
        """
        lives = [boot_id for boot_id, seen in self._boots.items() if seen.heartbeat.instance == instance]
        kinds = sum(len(self._boots[boot_id].heartbeat.batches) for boot_id in lives)
        if len(lives) <= BOOTS_PER_INSTANCE and kinds <= MOST_KINDS:
            lives = []
        candidates = lives or (list(self._boots) if len(self._boots) > self._kept_boots else [])
        return min(candidates, key=lambda boot_id: self._boots[boot_id].heard_at_s, default=None)

    def _fold(self, instance: str) -> None:
        """Keep memory bounded: a service that scales to zero all day has thousands of short-lived servers."""
        while (oldest := self._surplus(instance)) is not None:
            gone = self._boots.pop(oldest).heartbeat
            _add(self._folded_batches, gone.batches)
            _add(self._folded_lengths, gone.lengths)
            _add(self._folded_counters, gone.counters)
            _add(self._folded_latency, gone.latency)


def _add(total: dict[_Class, _Sum], more: Mapping[_Class, _Sum]) -> None:
    for key, value in more.items():
        if key in total:
            total[key] += value
        elif len(total) < MOST_TOLD_APART:
            total[key] = value
