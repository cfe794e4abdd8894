"""Changes of rate or dispersion that an alarm announced, or should have, named online once they are beyond doubt.

An alarm costs little when it is false and comes within seconds; this is its slower companion. All bins since the last
change are split in an older and a recent part; the change is named when two laws, each with a rate and a dispersion of
its own, are likelier than one by a fixed number of nats. Nats of modulated counts are divided by their clumping
(`joint_likelihood`), whose estimate outlives the changes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from controller.arrivals.joint_likelihood import BLOCK_BINS, Clumping, CountSums

if TYPE_CHECKING:
    from numpy.typing import NDArray

THRESHOLD = 14.0
"""Nats; the Bayesian criterion for three more numbers (rate, shape, place) and an hour of seconds is 12.3."""
REMEMBERED_BINS = 900
PERIOD_BINS = 5
"""Bins between two tests, which keeps the mean cost of a bin at a few tens of microseconds."""
LEAST_BEFORE = 20
"""Bins the older part must have."""
RECENT = np.array(
    [3, 4, 5, 6, 8, 10, 12, 15, 18, 22, 27, 33, 40, 48, 58, 70, 85, 105, 130, 160, 200, 250, 310, 400, 500, 650, 800]
)
"""Lengths of the recent part that are tried."""
FIRST_CLUMPING = Clumping(ratio=1.6, weight_bins=120.0)
MOST_WEIGHT_BINS = 480.0
"""Most that is believed of the clumping from before the last change."""


@dataclass(frozen=True, slots=True)
class Change:
    """A change of law; rates are per second, dispersions Fano factors of a bin."""

    named_bin: int
    """Bin after which it was named, counted from 0; only bins up to it were used."""
    change_bin: int
    """First bin of the new law, the most likely one."""
    rate_before_rps: float
    rate_after_rps: float
    fano_before: float
    fano_after: float


class ChangeTracker:
    """Names the changes of counts. Feed one count per bin.

    Args:
        bin_s: width of a bin.
    """

    def __init__(self, *, bin_s: float = 1.0) -> None:
        self._bin_s = bin_s
        self._sums = CountSums(REMEMBERED_BINS)
        self._since = 0
        self._clumping = FIRST_CLUMPING

    def update(self, count: float) -> Change | None:
        """Take the next bin's count; return a change if the law has changed beyond doubt."""
        sums = self._sums
        sums.append(count)
        end = sums.bins
        first = max(self._since, end - REMEMBERED_BINS)
        if end % PERIOD_BINS or end - first < LEAST_BEFORE + RECENT[0]:
            return None
        splits = end - RECENT[: np.searchsorted(RECENT, end - first - LEAST_BEFORE, side="right")]
        clumping = sums.clumping(self._clumping, first, splits)
        gain = (self._two_laws(first, splits) - sums.log_likelihood(first, end)) / clumping
        best = int(gain.argmax())
        return self._name(first, float(clumping[best])) if gain[best] >= THRESHOLD else None

    def _two_laws(self, first: int, splits: NDArray[np.int64]) -> NDArray[np.float64]:
        sums = self._sums
        return sums.log_likelihood(first, splits) + sums.log_likelihood(splits, sums.bins)

    def _name(self, first: int, clumping: float) -> Change:
        sums, end = self._sums, self._sums.bins
        places = np.arange(first + LEAST_BEFORE // 2, end - 1)
        at = int(places[self._two_laws(first, places).argmax()])
        before, after = sums.mean(first, at) / self._bin_s, sums.mean(at, end) / self._bin_s
        learnt = self._clumping.weight_bins + max(at - first - BLOCK_BINS, 0)
        self._clumping = Clumping(clumping, min(learnt, MOST_WEIGHT_BINS))
        self._since = at
        return Change(end - 1, at, before, after, sums.fano(first, at), sums.fano(at, end))
