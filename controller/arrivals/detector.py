"""Both channels of detection over one stream of counts; parameters are fixed, nothing is tuned per trace.

The rate detector is quick and looks at rates alone. The tracker is slower and looks at rate and dispersion: it has the
last word on a step that the other one sees, and names what that one is blind to.
"""

from __future__ import annotations

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
        self._bin_s = bin_s
        self._tracker = ChangeTracker(bin_s=bin_s)
        self.rate = RateDetector(bin_s=bin_s, is_step=self._tracker.is_step)

    @property
    def fano(self) -> float:
        """Variance over mean of the counts since the last change that is beyond doubt; 1 before the first bin."""
        return self._tracker.fano()

    def update(self, count: float, *, is_censored: bool = False) -> list[Alarm]:
        """Take the next bin; return what it revealed, one alarm a channel at most.

        Args:
            count: arrivals in the bin.
            is_censored: the count is a lower bound, because arrivals were turned away or not seen; it is then raised
                to the present mean, so that it can show a rise but never a fall.
        """
        if is_censored:
            count = max(count, self.rate.rate_rps * self._bin_s)
        change = self._tracker.update(count)
        step = self.rate.update(count)
        alarms = [] if step is None else [step]
        return alarms if change is None else alarms + self._alarms(change)

    def _alarms(self, change: Change) -> list[Alarm]:
        """Return an alarm for each channel that has changed and has not said so yet."""
        alarms: list[Alarm] = []
        at, since = change.change_bin, self.rate.since_bin
        if change.is_rate and since < at - SAME_BINS:
            alarms.append(Alarm(change.named_bin, at, "rate", change.rate_before_rps, change.rate_after_rps))
        if change.is_dispersion:
            # A change of both has one place: that which was told.
            place = since if abs(since - at) <= SAME_BINS else at
            alarms.append(Alarm(change.named_bin, place, "dispersion", change.fano_before, change.fano_after))
        if alarms:
            self.rate.adopt_fano(max(change.fano_after, 1.0), since_bin=at)
        return alarms
