"""Changes of rate or dispersion, named online once they are beyond doubt, and a second look at steps of the rate.

All bins since the last change are split in an older and a recent part; the change is named when two laws, each with a
rate and a dispersion of its own, are likelier than one by a fixed number of nats. Nats of modulated counts are divided
by their clumping (`joint_likelihood`), whose estimate outlives the changes.

A few loud bins may be a higher rate or a wider spread. What they do not tell is asked again of the bins after them: the
likelihood of every Fano factor is kept from all stretches since the dispersion last changed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from controller.arrivals.joint_likelihood import BLOCK_BINS, Clumping, CountSums
from controller.arrivals.rate_detector import SURE_NATS, log_ratio, wanted_nats

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from controller.arrivals.rate_detector import Split

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
CLUMPING_DOUBT = 1.0
"""Standard errors by which the clumping is taken to be less when haste matters: chance must not delay a real step."""
FANOS = np.geomspace(1.001, 64.0, 40)
BURST_NATS = 5.0
"""By so many a step of the rate must be likelier than a burst of the old rate."""
NO_BURST_NATS = 2 * SURE_NATS
"""No burst brings so many by chance: a rate that jumps sixfold is told by its second bin."""
PART_NATS = 5.0
"""Rate and dispersion have both changed if each part of the evidence is worth so much."""


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
    is_rate: bool
    """Whether the rate has changed."""
    is_dispersion: bool
    """Whether the Fano factor has changed; where both have, it may be told later, as a change of its own."""


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
        # Log likelihood by Fano factor of the stretches of one dispersion that have ended; all 0 while there are none.
        self._by_fano = np.zeros(FANOS.size)

    def update(self, count: float) -> Change | None:
        """Take the next bin's count; return a change if the law has changed beyond doubt."""
        sums = self._sums
        sums.append(count)
        end = sums.bins
        first = self._first()
        if end % PERIOD_BINS or end - first < LEAST_BEFORE + RECENT[0]:
            return None
        splits = end - RECENT[: np.searchsorted(RECENT, end - first - LEAST_BEFORE, side="right")]
        gain = self._gains(first, splits)
        # Clumping only ever lessens what is gained, so it is asked for seldom.
        if gain.max() >= SURE_NATS:
            clumping = sums.clumping(self._clumping, first, splits)
            best = int((gain / clumping).argmax())
            if gain[best] >= SURE_NATS * clumping[best]:
                return self._name(first, float(clumping[best]))
        return self._named_late(first, splits[:1]) if self._by_fano.any() else None

    def is_step(self, split: Split) -> bool:
        """Say whether a split that a detector of rates found is one, clumping and bursts considered.

        The last bin must have been taken by `update`.
        """
        sums, end = self._sums, self._sums.bins
        at, first = end - split.recent, self._first()
        if at > first:
            clumping = sums.clumping(self._clumping, first, np.array([at]), doubt=CLUMPING_DOUBT)[0]
            if split.nats < clumping * wanted_nats(split):
                return False
        if split.nats >= NO_BURST_NATS:
            return True
        step = sums.by_fano(at, end, split.after, np.array([max(split.fano, FANOS[0])]))[0]
        return step - sums.by_fano(at, end, split.before, FANOS).max() >= BURST_NATS

    def _first(self) -> int:
        """Return the first bin of the present law that is remembered."""
        return max(self._since, self._sums.bins - REMEMBERED_BINS)

    def _gains(self, first: int, splits: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return by how many nats two laws are likelier than one, for each split."""
        n, end = splits.size, self._sums.bins
        # One call for all stretches: before each split, the whole, after each split.
        begins = np.concatenate((np.full(n + 1, first), splits))
        each = self._sums.log_likelihood(begins, np.concatenate((splits, np.full(n + 1, end))))
        return each[:n] + each[n + 1 :] - each[n]

    def _name(self, first: int, clumping: float) -> Change:
        sums, end = self._sums, self._sums.bins
        places = np.arange(first + LEAST_BEFORE // 2, end - 1)
        at = int(places[self._gains(first, places).argmax()])
        learnt = self._clumping.weight_bins + max(at - first - BLOCK_BINS, 0)
        self._clumping = Clumping(clumping, min(learnt, MOST_WEIGHT_BINS))
        self._since = at
        before, after = sums.mean(first, at), sums.mean(at, end)
        self._by_fano = self._by_fano + sums.by_fano(first, at, before, FANOS)
        now = sums.by_fano(at, end, after, FANOS)
        fano = float(FANOS[(self._by_fano + now).argmax()])
        of_rate = log_ratio(before, at - first, after, end - at, fano) / clumping
        of_fano = self._gain_of_fano(now) / clumping
        is_dispersion = of_fano >= min(PART_NATS, of_rate)
        change = Change(
            named_bin=end - 1,
            change_bin=at,
            rate_before_rps=before / self._bin_s,
            rate_after_rps=after / self._bin_s,
            fano_before=sums.fano(first, at),
            fano_after=sums.fano(at, end),
            is_rate=of_rate >= min(PART_NATS, of_fano),
            is_dispersion=is_dispersion,
        )
        if is_dispersion:
            self._by_fano[:] = 0.0
        return change

    def _named_late(self, first: int, split: NDArray[np.int64]) -> Change | None:
        """Tell, if it is sure by now, that the dispersion changed with the present law, too."""
        sums, at, end = self._sums, self._since, self._sums.bins
        mean = sums.mean(first, end)
        now = sums.by_fano(first, end, mean, FANOS)
        gain = self._gain_of_fano(now)
        if gain < SURE_NATS or gain < SURE_NATS * sums.clumping(self._clumping, first, split)[0]:
            return None
        rate, before, after = mean / self._bin_s, float(FANOS[self._by_fano.argmax()]), float(FANOS[now.argmax()])
        self._by_fano[:] = 0.0
        return Change(end - 1, at, rate, rate, before, after, is_rate=False, is_dispersion=True)

    def _gain_of_fano(self, now: NDArray[np.float64]) -> float:
        """Return by how many nats the present law has a Fano factor of its own; `now` is its likelihood by it."""
        return float(self._by_fano.max() + now.max() - (self._by_fano + now).max())
