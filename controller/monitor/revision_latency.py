"""Latency by revision since a moment, from the servers' counts: how a new revision does beside the old one."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from controller.monitor.answered import LATE, share_within

if TYPE_CHECKING:
    from controller.telemetry.merge import HeartbeatMerge

_POD = "-deployment-"
"""Knative calls the pods of a revision REVISION-deployment-…"""
Counts = dict[float, int]
"""Requests by upper edge of their latency in seconds; without a right answer it is infinite."""


class RevisionLatency:
    """Counts since each step of a rollout.

    Args:
        merge: heartbeats of all servers, under their pods' names.
    """

    def __init__(self, merge: HeartbeatMerge) -> None:
        self._merge = merge
        self._step: object = None
        self._before: dict[str, Counts] = {}

    def begin(self, step: object) -> None:
        """Count anew if this is another step than the last."""
        if step != self._step:
            self._step, self._before = step, self._counts()

    def measured(self, revision: str, bound_s: float) -> tuple[int, float | None]:
        """Return how many requests a revision has taken in this step, and the share of them inside a bound."""
        before = self._before.get(revision, {})
        now = self._counts().get(revision, {})
        counted = {upper_s: max(0, now[upper_s] - before.get(upper_s, 0)) for upper_s in sorted(now)}
        return sum(counted.values()), share_within(counted, bound_s)

    def _counts(self) -> dict[str, Counts]:
        found: dict[str, Counts] = {}
        for seen in self._merge.instances():
            heartbeat = seen.heartbeat
            counts = found.setdefault(heartbeat.instance.partition(_POD)[0], {})
            late = round(sum(heartbeat.counters.get(name, 0.0) for name in LATE))
            for upper_s, count in [*heartbeat.latency.items(), (math.inf, late)]:
                counts[upper_s] = counts.get(upper_s, 0) + count
        return found
