"""When to search: at the start of traffic, at an alarm, at a new regime, and now and then; never in silence."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from controller.monitor.traffic import Traffic, TrafficChange
    from controller.settings import LoopSettings


@dataclass(frozen=True, slots=True)
class Look:
    """A reason to search now."""

    trigger: Literal["start", "alarm", "regime", "periodic"]
    cause: str
    """In words, with its numbers."""


PAUSE_S = 2
"""Seconds without a request after which nothing is searched: what would be found is for traffic that is gone."""


class Lookout:
    """Collects what happened since the last search and says when it is time for the next."""

    def __init__(self, settings: LoopSettings) -> None:
        self._settings = settings
        self._changes: list[TrafficChange] = []
        self._looked_at_s = -math.inf

    def take(self, changes: list[TrafficChange]) -> None:
        """Remember changes of the traffic."""
        self._changes += changes

    def next_look(self, now_s: float, traffic: Traffic, *, batches: float) -> Look | None:
        """Return the weightiest reason to search now, or None.

        Args:
            now_s: seconds since the run's start.
            traffic: as it is now.
            batches: that the profile rests on; without any nothing can be predicted.
        """
        settings = self._settings
        if not batches or traffic.silent_s >= PAUSE_S:
            return None
        if math.isinf(self._looked_at_s):
            if traffic.age_s < settings.first_after_s and batches < settings.first_batches:
                return None
            return Look("start", f"first look, {traffic.age_s} s of traffic at {traffic.rate_rps:.3g}/s")
        if self._changes:
            weightiest = max(self._changes, key=lambda change: (change.kind == "regime", change.at_s))
            return Look("regime" if weightiest.kind == "regime" else "alarm", _told(weightiest))
        if now_s - self._looked_at_s >= settings.periodic_s:
            return Look("periodic", f"still {traffic.rate_rps:.3g}/s")
        return None

    def looked(self, now_s: float) -> None:
        """A search for all that happened so far has begun."""
        self._changes, self._looked_at_s = [], now_s

    def look_again(self) -> None:
        """The last search came too late to be of use."""
        self._looked_at_s = -math.inf


def _told(change: TrafficChange) -> str:
    if change.kind == "dispersion":
        return f"bursts changed, variance over mean {change.before:.2g} → {change.after:.2g}"
    verb = "rose" if change.after > change.before else "fell"
    lasting = "for good, " if change.kind == "regime" else ""
    return f"rate {verb} {lasting}{change.before:.3g} → {change.after:.3g}/s"
