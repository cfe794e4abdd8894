"""Both channels of detection over one stream of counts; parameters are fixed, nothing is tuned per trace."""

from __future__ import annotations

from typing import TYPE_CHECKING

from controller.arrivals.dispersion_detector import DispersionDetector
from controller.arrivals.rate_detector import RateDetector

if TYPE_CHECKING:
    from controller.arrivals.alarm import Alarm


class Detector:
    """Watches the rate and the dispersion of counts, online and causally.

    Args:
        bin_s: width of a bin; alarms give rates per second.
    """

    def __init__(self, *, bin_s: float = 1.0) -> None:
        self._bin_s = bin_s
        self.rate = RateDetector(bin_s=bin_s)
        self.dispersion = DispersionDetector()

    def update(self, count: float, *, is_censored: bool = False) -> list[Alarm]:
        """Take the next bin; return what it revealed, one alarm a channel at most.

        Args:
            count: arrivals in the bin.
            is_censored: the count is a lower bound, because arrivals were turned away or not seen; it is then raised
                to the present mean, so that it can show a rise but never a fall.
        """
        if is_censored:
            count = max(count, self.rate.rate_rps * self._bin_s)
        alarms = [alarm for alarm in (self.rate.update(count), self.dispersion.update(count)) if alarm is not None]
        for alarm in alarms:
            if alarm.kind == "dispersion":
                self.rate.adopt_fano(alarm.after, since_bin=alarm.change_bin)
        return alarms
