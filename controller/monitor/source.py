"""OBSERVE: where the counts of arrivals come from.

One source serves one run. The activator's bins come first where a platform has an activator: it sees every request,
also those that wait at zero instances or are refused. Elsewhere the servers' own bins are used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from controller.telemetry.arrival_bins import ArrivalBins, Counts, parse_bins
from controller.telemetry.wire import get_text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from controller.telemetry.merge import HeartbeatMerge


class ArrivalSource(Protocol):
    """Anything that can count arrivals."""

    @property
    def resolution_s(self) -> float: ...  # noqa: D102  arrivals closer than this are not told apart

    def counts(self, until_s: float, bin_s: float = 1.0) -> Counts:
        """Return first bin, arrivals by bin, and whether each is only a lower bound; nothing after `until_s`."""
        ...


class ServerArrivals:
    """What the servers counted."""

    resolution_s = 0.1

    def __init__(self, merge: HeartbeatMerge) -> None:
        self._merge = merge

    def counts(self, until_s: float, bin_s: float = 1.0) -> Counts:
        """See `ArrivalSource.counts`."""
        return self._merge.counts(until_s, bin_s)


class FrontArrivals:
    """What the activator counted, read from its state once a tick."""

    resolution_s = 0.1

    def __init__(self, *, started_at_s: float = 0.0) -> None:
        self._bins = ArrivalBins(started_at_s=started_at_s)

    def take(self, document: Mapping[str, object], received_at_s: float) -> None:
        """Merge the arrivals of one state of the platform.

        Raises:
            BadInputError: malformed bins.
        """
        self._bins.add("front", get_text(document.get("boot_id"), "boot_id"), parse_bins(document), received_at_s)

    def counts(self, until_s: float, bin_s: float = 1.0) -> Counts:
        """See `ArrivalSource.counts`."""
        return self._bins.counts(until_s, bin_s)
