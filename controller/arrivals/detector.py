"""Both channels of detection over one stream of counts; parameters are fixed, nothing is tuned per trace.

The rate detector is quick and looks at rates alone. The tracker is slower and looks at rate and dispersion: it has the
last word on a step that the other one sees, and names what that one is blind to.

The tuning loop uses the rate detector alone: a false alarm costs it one more search, and searches replay the last two
minutes, bursts and all (docs/reproduce.md).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from controller.arrivals.alarm import Alarm
from controller.arrivals.change_tracker import ChangeTracker
from controller.arrivals.rate_detector import RateDetector

if TYPE_CHECKING:
    from controller.arrivals.change_tracker import Change

SAME_BINS = 8
"""A step that was told no earlier than so many bins before a change is that change."""


class Detector:
    """Watches the rate and the dispersion of counts, online and causally.

    Args:
        bin_s: width of a bin; alarms give rates per second.
    """

    def __init__(self, *, bin_s: float = 1.0) -> None:
        self._tracker = ChangeTracker(bin_s=bin_s)
        self._rate = RateDetector(bin_s=bin_s, is_step=self._tracker.is_step)
        self._told_at = -math.inf
        """First bin of the last change of the rate that was told."""

    def update(self, count: float) -> list[Alarm]:
        """Take the next bin's count; return what it revealed, one alarm a channel at most."""
        change = self._tracker.update(count)
        step = self._rate.update(count)
        if step is not None:
            self._told_at = step.change_bin
        alarms = [] if step is None else [step]
        return alarms if change is None else alarms + self._alarms(change, is_told=step is not None)

    def _alarms(self, change: Change, *, is_told: bool) -> list[Alarm]:
        """Return an alarm for each channel that has changed and has not said so yet, now or before."""
        alarms: list[Alarm] = []
        at = change.change_bin
        if change.is_rate and not is_told and self._told_at < at - SAME_BINS:
            alarms.append(Alarm(change.named_bin, at, "rate", change.rate_before_rps, change.rate_after_rps))
            self._told_at = at
        if change.is_dispersion:
            # A change of both has one place: that which was told.
            place = int(self._told_at) if abs(self._told_at - at) <= SAME_BINS else at
            alarms.append(Alarm(change.named_bin, place, "dispersion", change.fano_before, change.fano_after))
        if alarms:
            self._rate.adopt_fano(max(change.fano_after, 1.0), since_bin=at)
        return alarms
