"""Online detection of a change of rate: a generalised likelihood ratio of over-dispersed counts.

For many splits of the remembered bins into an older and a recent part, the likelihood of two rates is compared with
that of one, counts being negative binomial with a common shape r = m / (phi - 1), so that their Fano factor at the
pooled mean m is phi. Poisson counts are the limit phi = 1. The shape makes the ratio depend on sums alone:

    n0 KL(m0 | m) + n1 KL(m1 | m),   KL(a | b) = a ln(a / b) - (a + r) ln((a + r) / (b + r)).

Dividing a Poisson ratio by phi, as is often done, underestimates the tail of bursty counts.

How many nats an alarm needs depends on what they cost: as many as eight bins of a doubled, or halved, rate would bring,
but no more than make a change sure, and no less than chance brings every few hours. Where eight bins tell next to
nothing, haste gains nothing, and a change has to be sure.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from controller.arrivals.alarm import Alarm
from controller.arrivals.window import CountWindow

if TYPE_CHECKING:
    from collections.abc import Callable

PATIENCE_BINS = 8
"""Bins in which a doubled or halved rate may bring the nats that an alarm needs."""
LEAST_NATS = 6.5
"""Least that an alarm needs; false alarms become rarer by a factor e per nat, and the delay grows in proportion."""
SURE_NATS = 14.0
"""A change is sure with so many; the Bayesian criterion for three numbers and an hour of seconds is 12.3."""
TELLING_NATS = 4.4
"""Where `PATIENCE_BINS` bring fewer, a change has to be sure."""
REMEMBERED_BINS = 600
"""Bins of the present law that are compared with the most recent ones."""
LEAST_BEFORE = 12
"""Bins the older part must have."""
RECENT = (2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 14, 16, 18, 20, 24, 28, 32, 40, 48, 56, 64, 80, 96, 120)
"""Lengths of the recent part that are tried; a single bin is never a change of rate."""
CAUTION = {2: 1.2, 3: 1.2, **dict.fromkeys((32, 40, 48, 56, 64, 80, 96, 120), 0.8)}
"""Nats added to the threshold: where two or three outliers would do, and where there are many splits to choose from."""
SHORT_BEFORE, SHORT_CAUTION = 60, 1.5
"""An older part shorter than this says little of the Fano factor; its splits need this many nats more."""
BURSTY_FANO, BURSTY_CAUTION, MOST_BURSTY_CAUTION = 5.0, 0.2, 0.6
"""Nats more per unit of Fano factor above five, at most 0.6: the tail is then known from few outliers."""
PRIOR_FANO = 2.0
PRIOR_BINS = 20.0
"""Weight, in bins, of the prior Fano factor; the estimate of few bursty bins is far too low otherwise."""
RECENT_PRIOR_BINS = 20.0
"""Weight, in bins, of the older part's Fano factor in that of the recent part."""
LEAST_MEAN = 0.05
"""Counts per bin below which a mean is not resolved."""
SCREEN = 0.5
"""A split is computed in full when a quick upper estimate of its score is above this share of the threshold."""


@dataclass(frozen=True, slots=True)
class Split:
    """The likeliest split of the remembered bins into an older and a recent part; means are counts a bin."""

    nats: float
    """By which two rates are likelier than one, less the caution that its lengths ask for."""
    recent: int
    """Bins of the recent part."""
    before: float
    after: float
    fano: float
    """Fano factor that the likelihoods assume."""


def _any(_split: Split) -> bool:
    return True


class RateDetector:
    """Raises an alarm when the rate has changed. Feed one count per bin.

    Args:
        bin_s: width of a bin.
        is_step: has the last word on a split that would raise an alarm.
    """

    def __init__(self, *, bin_s: float = 1.0, is_step: Callable[[Split], bool] = _any) -> None:
        self._bin_s, self._is_step = bin_s, is_step
        self._window = CountWindow(REMEMBERED_BINS)
        self._prior_fano = PRIOR_FANO

    @property
    def rate_rps(self) -> float:
        """Mean rate since the last change; 0 before the first bin."""
        return self._window.mean / self._bin_s

    @property
    def since_bin(self) -> int:
        """First bin that is taken for the present law."""
        return self._window.first_bin

    @property
    def fano(self) -> float:
        """Variance over mean of the counts since the last change, at least 1, drawn toward what it was before."""
        window = self._window
        if not len(window):
            return 1.0
        return max(1.0, self._fano_of(window.sums[-1] - window.sum_before, window.squares[-1], len(window)))

    def update(self, count: float, *, is_censored: bool = False) -> Alarm | None:
        """Take the next bin; return an alarm if the rate has changed.

        Args:
            count: arrivals in the bin.
            is_censored: the count is a lower bound, because arrivals were turned away or not seen; it is then raised
                to the present mean, so that it can show a rise but never a fall.
        """
        window = self._window
        if is_censored:
            count = max(count, window.mean)
        window.append(count)
        split = self._best_split()
        if split.nats < LEAST_NATS or split.nats < wanted_nats(split) or not self._is_step(split):
            return None
        change_bin = self._most_likely_change(split)
        alarm = Alarm(window.next_bin - 1, change_bin, "rate", split.before / self._bin_s, split.after / self._bin_s)
        self.adopt_fano(split.fano, since_bin=change_bin)
        return alarm

    def adopt_fano(self, fano: float, *, since_bin: int) -> None:
        """Compare only with bins from `since_bin` on, when counts began to have this Fano factor."""
        self._prior_fano = fano
        self._window.forget_before(max(since_bin, self._window.first_bin))

    def _best_split(self) -> Split:
        window, best = self._window, Split(-math.inf, 0, 0.0, 0.0, 1.0)
        n, sums, start = len(window), window.sums, window.sum_before
        total = sums[-1] - start
        rough = SCREEN * LEAST_NATS * 2 * max(1.0, 0.7 * self._fano_of(total, window.squares[-1], n))
        for recent in RECENT:
            n0 = n - recent
            if n0 < LEAST_BEFORE:
                break
            sum1 = sums[-1] - sums[-1 - recent]
            m0, m1 = (total - sum1) / n0, sum1 / recent
            # Normal approximation with the smaller variance: never below the score but for a small factor.
            if (m1 - m0) ** 2 * recent * n0 < rough * n * min(m0, m1):
                continue
            fano = self._fano_of_split(recent)
            nats = log_ratio(m0, n0, m1, recent, fano) - caution(n0, recent, fano)
            if nats > best.nats:
                best = Split(nats, recent, m0, m1, fano)
        return best

    def _fano_of(self, total: float, squares_end: float, n: int) -> float:
        """Return the Fano factor of all bins, drawn toward the prior."""
        mean = total / n
        excess = (squares_end - self._window.squares_before - n * mean * mean) / max(mean, LEAST_MEAN)
        return (excess + PRIOR_BINS * self._prior_fano) / (n - 1 + PRIOR_BINS)

    def _fano_of_split(self, recent: int) -> float:
        """Return the larger Fano factor of the two parts, that of the recent one drawn toward the older one's."""
        window = self._window
        n0 = len(window) - recent
        fano0 = self._fano_of(window.sums[-1 - recent] - window.sum_before, window.squares[-1 - recent], n0)
        mean1 = (window.sums[-1] - window.sums[-1 - recent]) / recent
        squares1 = window.squares[-1] - window.squares[-1 - recent]
        excess1 = (squares1 - recent * mean1 * mean1) / max(mean1, LEAST_MEAN)
        fano1 = (excess1 + RECENT_PRIOR_BINS * fano0) / (recent - 1 + RECENT_PRIOR_BINS)
        return max(fano0, fano1, 1.0)

    def _most_likely_change(self, split: Split) -> int:
        """Return the bin where the likelihood of a change is greatest, among all splits up to twice the best one."""
        window, best = self._window, (-math.inf, 1)
        n, total = len(window), window.sums[-1] - window.sum_before
        for recent in range(1, min(2 * split.recent + 2, n - 1)):
            sum1 = window.sums[-1] - window.sums[-1 - recent]
            score = log_ratio((total - sum1) / (n - recent), n - recent, sum1 / recent, recent, split.fano)
            best = max(best, (score, recent))
        return window.next_bin - best[1]


def wanted_nats(split: Split) -> float:
    """Return the nats that an alarm needs there."""
    before = max(split.before, LEAST_MEAN)
    after = 2 * before if split.after > before else before / 2
    told = PATIENCE_BINS * divergence(after, before, split.fano)
    return SURE_NATS if told < TELLING_NATS else min(max(told, LEAST_NATS), SURE_NATS)


def caution(n0: int, recent: int, fano: float) -> float:
    """Return the nats a split needs above the threshold."""
    bursty = min(max(fano - BURSTY_FANO, 0.0) * BURSTY_CAUTION, MOST_BURSTY_CAUTION)
    return CAUTION.get(recent, 0.0) + bursty + (SHORT_CAUTION if n0 < SHORT_BEFORE else 0.0)


def log_ratio(m0: float, n0: int, m1: float, n1: int, fano: float) -> float:
    """Return ln of the likelihood of two means over that of one, in nats."""
    m0, m1 = max(m0, 1e-9), max(m1, 1e-9)
    pooled = (n0 * m0 + n1 * m1) / (n0 + n1)
    # The Fano factor holds at the pooled mean: the shape is the same on both sides.
    return n0 * divergence(m0, pooled, fano) + n1 * divergence(m1, pooled, fano)


def divergence(mean: float, other: float, fano: float) -> float:
    """Return by how many nats a count of this mean is likelier than under the other one, on average.

    Negative binomial, of one shape; `fano` is the Fano factor at the other mean.
    """
    # 1e-3: a Fano factor of 1 would make the shape infinite; 1.001 is Poisson to three digits.
    shape = other / max(fano - 1, 1e-3)
    return mean * math.log(mean / other) - (mean + shape) * math.log((mean + shape) / (other + shape))
