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
    tried_rps: float = 0.0
    """If positive, the last search has tried lasting rates up to this one, and what happened is not beyond it."""


PAUSE_S = 2
"""Seconds without a request after which nothing is searched: what would be found is for traffic that is gone."""
LEAST_BETWEEN_S = 5.0
"""Between two searches: a search costs CPU, and its answer must come before the next question."""
LULL_S = 20.0
"""A fall of the rate asks for a search only when it has lasted so long: between two bursts nothing is to be gained."""
LONGEST_WAIT = 4.0
"""Regular searches that find nothing to change come ever less often, down to one in so many periods."""


class Lookout:
    """Collects what happened since the last search and says when it is time for the next."""

    def __init__(self, settings: LoopSettings) -> None:
        self._settings = settings
        self._changes: list[TrafficChange] = []
        self._looked_at_s = -math.inf
        self._tried_rps = 0.0
        self._periods = 1.0
        self._look: Look | None = None
        self._lost: Look | None = None

    def take(self, changes: list[TrafficChange]) -> None:
        """Remember changes of the traffic."""
        self._changes += changes
        if changes:
            self._periods = 1.0

    def heed(self, *, is_slow: bool) -> None:
        """Search as often as at first while answers come near the bound."""
        if is_slow:
            self._periods = 1.0

    def next_look(self, now_s: float, traffic: Traffic, *, batches: float) -> Look | None:
        """Return the weightiest reason to search now, or None.

        Args:
            now_s: seconds since the run's start.
            traffic: as it is now.
            batches: that the profile rests on; without any nothing can be predicted.
        """
        settings = self._settings
        waited_s = now_s - self._looked_at_s
        if (
            not batches
            or not traffic.age_s
            or traffic.silent_s >= PAUSE_S
            or (waited_s < LEAST_BETWEEN_S and self._lost is None)
        ):
            return None
        if math.isinf(waited_s):
            if traffic.age_s < settings.first_after_s and batches < settings.first_batches:
                return None
            return Look("start", f"first look, {traffic.age_s} s of traffic at {traffic.rate_rps:.3g}/s")
        due = self._due(now_s)
        if self._lost is not None and (due is None or (self._lost.trigger == "regime" and due.trigger == "alarm")):
            return self._lost
        if due is None and waited_s >= self._periods * settings.periodic_s:
            return Look("periodic", f"still {traffic.rate_rps:.3g}/s")
        return due

    def looked(self, look: Look, now_s: float, *, tried_rps: float) -> None:
        """A search for all that happened so far has begun.

        Args:
            look: the reason for it, which is kept for the case that it is in vain.
            now_s: seconds since the run's start.
            tried_rps: highest lasting rate that settings are tried on, or that they serve with ease.
        """
        self._changes, self._looked_at_s, self._tried_rps = [], now_s, tried_rps
        self._look, self._lost = look, None

    def dismissed(self) -> None:
        """What happened needs no search."""
        self._changes = []

    def found(self, *, is_change: bool) -> None:
        """The search has ended."""
        self._periods = 1.0 if is_change else min(2 * self._periods, LONGEST_WAIT)

    def look_again(self, cause: str = "") -> None:
        """The last search was in vain: it came too late, or its answer was lost; its reason is still there.

        Args:
            cause: another reason, which came to light with its answer.
        """
        self._lost, self._tried_rps = Look("periodic", cause) if cause else self._look, 0.0

    def _due(self, now_s: float) -> Look | None:
        """Return the weightiest change of the traffic that is due, as a reason."""
        due = [each for each in self._changes if _is_due(each, now_s)]
        if not due:
            return None
        weightiest = max(due, key=lambda change: (change.kind == "regime", change.at_s))
        is_known = all(each.kind == "rate" and max(each.before, each.after) <= self._tried_rps for each in due)
        trigger = "regime" if weightiest.kind == "regime" else "alarm"
        return Look(trigger, told(weightiest), self._tried_rps if is_known else 0.0)


def _is_due(change: TrafficChange, now_s: float) -> bool:
    return change.kind != "rate" or change.after > change.before or now_s - change.at_s >= LULL_S


def told(change: TrafficChange) -> str:
    """Return a change of the traffic in words, with its numbers."""
    verb = "rose" if change.after > change.before else "fell"
    lasting = "for good, " if change.kind == "regime" else ""
    return f"rate {verb} {lasting}{change.before:.3g} → {change.after:.3g}/s"
